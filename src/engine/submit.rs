//! `submit`: a person hands in the key that they have made, or found.

use cutover_api::{Call, KeyRecord, KeyRef, Secret, Span, Stamp};
use cutover_machine::event::{Event, Order};
use cutover_machine::manual::Handed;
use cutover_machine::plan::Lifecycle;
use cutover_machine::state::Key;
use tokio::sync::oneshot;

use super::Engine;
use super::effects::Landed;
use super::learn::Learn;
use super::orders::OrderRefused;
use super::run::{Ordered, Runner};

/// The longest value that is taken, in bytes.
pub const LONGEST_VALUE: usize = 16 * 1024;
/// The longest id.
const LONGEST_ID: usize = 512;
/// An old key's end further away than this is a mistyped one.
const FURTHEST: Span = Span(3_660 * Span::DAY.0);

/// A key that is handed in. It has no `Debug` and no `Clone`: it holds the value.
pub struct Submission {
    /// The key's value.
    pub value: Secret,
    /// Its id at the provider.
    pub id: Option<String>,
    /// Until when the old key lives, as the provider shows it.
    pub old_expires_at: Option<Stamp>,
}

impl Submission {
    /// Whether it can be a key at all, without knowing for which policy.
    ///
    /// # Errors
    /// What is wrong with it; never a part of the value.
    pub fn check(&self, now: Stamp) -> Result<(), String> {
        check_value(&self.value)?;
        if let Some(id) = &self.id {
            let plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
            if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(plain) {
                return Err(format!(
                    "the id is empty, longer than {LONGEST_ID} bytes, or holds a space or a control character"
                ));
            }
            // The wrong thing pasted into the wrong place must not be written down.
            if self.value.expose() == id {
                return Err(String::from("the id is the value itself: --id takes the key's id, never its secret"));
            }
        }
        if self.old_expires_at.is_some_and(|at| at > now.plus(FURTHEST)) {
            return Err(String::from("--old-expires-at is more than ten years away: is it the time the provider shows?"));
        }
        Ok(())
    }
}

/// Whether a text can be a key's value: visible ASCII, spaces only inside.
///
/// # Errors
/// What is wrong with it; never a part of it.
pub fn check_value(value: &Secret) -> Result<(), String> {
    let value = value.expose();
    if value.is_empty() {
        return Err(String::from("the value is empty"));
    }
    if value.len() > LONGEST_VALUE {
        return Err(format!("the value is longer than {LONGEST_VALUE} bytes: that is no key"));
    }
    if value.bytes().any(|byte| !(byte.is_ascii_graphic() || byte == b' ')) {
        return Err(String::from(
            "the value holds a character that is not printable ASCII (a line break, a tab, a typographic quote): hand in the key alone",
        ));
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err(String::from("the value begins or ends with a space: hand in the key alone"));
    }
    Ok(())
}

impl Engine {
    /// Hands a key in to the rotation of a policy: sealed and durable before anything else is done with it. Returns the rotation's id.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed, and nothing of the value was kept.
    pub async fn submit(
        &self,
        policy: &str,
        rotation: Option<&str>,
        submission: Submission,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<String, OrderRefused> {
        let refuse = |reason: String| OrderRefused { reason };
        submission.check(self.shared.clock.now()).map_err(refuse)?;
        let (open, inbox) = self.addressed(policy, rotation)?;
        let Submission { value, id, old_expires_at } = submission;
        let print = value.fingerprint().0;
        let current = self.shared.policy_state(policy).and_then(|state| state.current).and_then(|key| key.fingerprint);
        if self.shared.known_keys(policy).contains(&print) || current.is_some_and(|current| current.0 == print) {
            return Err(refuse(format!(
                "policy {policy} has or had this key already: it is not a new one; nothing was changed"
            )));
        }
        let order = Order::Submit(Handed { key: Key { id, fingerprint: print, expires_at: None }, old_expires_at });
        let (reply, answer) = oneshot::channel();
        let reason = reason.map(ToOwned::to_owned);
        let ordered = Ordered {
            order,
            actor: actor.to_owned(),
            reason,
            plan: None,
            adopt: false,
            emergency: None,
            value: Some(value),
            reply,
        };
        let gone = || refuse(format!("rotation {open} has just ended; nothing was changed"));
        inbox.send(ordered).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(refuse)?;
        Ok(open)
    }

    /// Whether a rotation would take an order now. Returns its id.
    ///
    /// # Errors
    /// Why not; nothing has changed either way.
    pub fn would_take(&self, policy: &str, rotation: Option<&str>, order: &Order) -> Result<String, OrderRefused> {
        let (open, _) = self.addressed(policy, rotation)?;
        let view =
            self.shared.view(policy).ok_or_else(|| OrderRefused { reason: format!("policy {policy} is not seen yet") })?;
        let now = cutover_machine::Now::open(self.shared.clock.now());
        let event = Event::Ordered(order.clone());
        match cutover_machine::decide(event, &view.record.machine, &view.snapshot.plan, now) {
            Ok(_) => Ok(open),
            Err(illegal) => Err(OrderRefused { reason: illegal.to_string() }),
        }
    }

    /// What is handed in with a key of a policy, beside its value: its id, and the old key's end.
    #[must_use]
    pub fn submission_wants(&self, policy: &str) -> (bool, bool) {
        let Some(view) = self.shared.view(policy) else { return (false, false) };
        let (plan, machine) = (&view.snapshot.plan, &view.record.machine);
        let by_hand = plan.provider.lifecycle == Lifecycle::Manual;
        (plan.provider.verbs.new_id, by_hand && machine.old.is_some() && plan.provider_ends_old())
    }
}

impl Runner {
    /// Where a person makes the key: the intent that their instructions are rendered from, and these. Both are durable before they are told.
    pub(super) fn asked(&self, first: &KeyRecord) -> Vec<Learn> {
        if self.snapshot.plan.provider.lifecycle != Lifecycle::Manual {
            return Vec::new();
        }
        let Some(intent) = self.record.intent.clone().or_else(|| self.mint_intent().ok()) else { return Vec::new() };
        let call = Call { params: &self.snapshot.params, intent: Some(&intent), signer: None };
        let old = first.fingerprint.as_ref().map(|_| KeyRef { record: first, secret: None, outputs: None });
        let ask = self.plugins.account.provider.ask(call, old);
        let mut learned = vec![Learn::Ask(ask)];
        if self.record.intent.is_none() {
            learned.push(Learn::Intent(intent));
        }
        learned
    }

    /// What stands against a value that the machine would take: what only the plugins and the targets can tell.
    pub(super) async fn refuses_value(&self, handed: &Handed, value: Option<&Secret>) -> Option<String> {
        let provider = &self.plugins.account.provider;
        if value.is_none_or(|value| !provider.fits(value)) {
            return Some(format!(
                "the value does not look like a key of {} (`declares.secret` of its definition): was the right one copied, and all of \
                 it? Nothing was changed",
                self.snapshot.account.name
            ));
        }
        if !provider.outputs().is_empty() {
            return Some(String::from(
                "keys of this provider have further parts that cannot be handed in; nothing was changed",
            ));
        }
        let recorded = self.performer_job(|performer| Box::pin(async move { performer.targets().recorded().await })).await;
        let holds =
            |fields: &std::collections::BTreeMap<String, String>| fields.values().any(|print| *print == handed.key.fingerprint);
        let place = recorded.iter().position(holds)?;
        let name = self.snapshot.targets.get(place).map(super::snapshot::TargetTable::name).unwrap_or_default();
        Some(format!(
            "target {name} holds this key already, so it did not come by this rotation: put the key from before back there and hand it in \
             again, or end this rotation with `cutover abandon {}` and say `cutover adopt {} --from-target`; nothing was changed",
            self.policy, self.policy
        ))
    }

    /// The value is sealed in the commit that takes the order; one that is replaced stays sealed beside it until the rotation ends.
    pub(super) fn hand_in(&self, landed: &mut Landed, handed: &Handed, value: Secret) {
        if let Some(before) = &self.values.made.secret {
            landed.seal.push((format!("replaced.{}", self.record.machine.mint.intents), before.duplicate()));
        }
        let keeps_id = self.snapshot.plan.provider.lifecycle != Lifecycle::Manual;
        let id = handed.key.id.clone().or_else(|| self.record.first.id.clone().filter(|_| keeps_id));
        let made = KeyRecord { id, fingerprint: Some(value.fingerprint()), ..KeyRecord::default() };
        landed.seal.push((String::from("made"), value));
        landed.learn.push(Learn::Made(made));
        if let Some(at) = handed.old_expires_at {
            landed.learn.push(Learn::OldSaid(KeyRecord { expires_at: Some(at), ..KeyRecord::default() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Secret, Span, Stamp};

    use super::{LONGEST_VALUE, Submission, check_value};

    #[test]
    fn only_what_can_be_a_key_is_taken() {
        for good in ["x", "pa_live_AB7K2XYZ1", "two words", "!\"#$~"] {
            assert_eq!(check_value(&Secret::new(good.into())), Ok(()), "{good}");
        }
        for bad in ["", " x", "x ", "a\nb", "a\r", "\u{1b}[31m", "a\tb", "\u{201c}x\u{201d}", "x\u{200b}", "\u{feff}x", "\0"] {
            let told = check_value(&Secret::new(bad.into())).expect_err("refused");
            assert!(bad.trim().is_empty() || !told.contains(bad), "{told}");
        }
        assert!(check_value(&Secret::new("x".repeat(LONGEST_VALUE))).is_ok());
        assert!(check_value(&Secret::new("x".repeat(LONGEST_VALUE + 1))).is_err());
    }

    #[test]
    fn an_id_that_is_the_value_and_a_time_that_cannot_be_are_refused() {
        let with = |id: Option<&str>, at| Submission {
            value: Secret::new("pa_live_1".into()),
            id: id.map(str::to_owned),
            old_expires_at: at,
        };
        let now = Stamp(1_000_000_000_000);
        assert!(with(Some("key_1"), Some(now.plus(Span::DAY))).check(now).is_ok());
        assert!(with(None, None).check(now).is_ok());
        assert!(with(Some("pa_live_1"), None).check(now).expect_err("refused").contains("--id"));
        assert!(with(Some("a b"), None).check(now).is_err() && with(Some(""), None).check(now).is_err());
        assert!(with(None, Some(now.plus(Span(Span::DAY.0 * 4_000)))).check(now).is_err());
    }
}
