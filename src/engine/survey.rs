//! The preflight: everything a rotation will need is looked at, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_api::{Class, Clock, KeyRecord, Outcome, Reading, Refusal, Secret, Span, WitnessVars};
use cutover_ledger::Ledger;
use cutover_machine::event::Survey;
use cutover_machine::plan::{Authority, ListBy};
use cutover_machine::state::Key;

use super::calls::AccountCall;
use super::plugins::Plugins;
use super::snapshot::TargetTable;
use super::snapshot::{Record, Snapshot};
use super::targets::fingerprints;
use super::values::{KeyValues, current_fields, own_fields};
use crate::alert::Channels;

/// A credential must outlive the rotation's calls by this.
const CREDENTIAL_MARGIN: Span = Span::minutes(10);

/// How long an emergency waits for one target.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);

/// What a survey found beside the machine's part of it.
pub struct Found {
    /// For the machine.
    pub survey: Survey,
    /// The record of the key in use.
    pub first: KeyRecord,
    /// Its values, to be sealed.
    pub values: KeyValues,
    /// What every target held, by fingerprint.
    pub recorded: Vec<BTreeMap<String, String>>,
    /// The ids the provider lists.
    pub baseline: Option<Vec<String>>,
    /// Warnings that stop nothing.
    pub notes: Vec<String>,
}

/// What stands in a rotation's way.
#[derive(Debug, Default)]
pub struct Wrong {
    /// Every finding, in the order of the checks.
    pub findings: Vec<String>,
    /// The account's own credential is dead, or so nearly that it would die on the way.
    pub denied: bool,
}

/// What a survey needs.
pub struct Surveyor<'a> {
    /// The plan.
    pub snapshot: &'a Snapshot,
    /// The plugins.
    pub plugins: &'a Plugins,
    /// The rotation's record; of a rotation that has done nothing for `check --online`.
    pub record: &'a Record,
    /// The key that is recorded as current, and whether it is ours.
    pub current: Option<(&'a KeyRecord, bool)>,
    /// The channels that must take an alert.
    pub channels: &'a Channels,
    /// The ledger, for room on disk.
    pub ledger: &'a Arc<dyn Ledger>,
    /// The time.
    pub clock: &'a dyn Clock,
}

impl Surveyor<'_> {
    /// Looks at everything.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub async fn survey(&self) -> Result<Found, Wrong> {
        let mut wrong = Vec::new();
        let (readings, recorded) = self.targets(&mut wrong).await;
        let mut found = self.key_in_use(&readings, &mut wrong);
        found.recorded = recorded;
        if let Err(detail) = self.ledger.room().await {
            wrong.push(detail);
        }
        let mut denied = self.credential(&mut wrong).await;
        if wrong.is_empty() {
            denied = self.provider(&mut found, &mut wrong).await;
        }
        self.hooks(&mut wrong).await;
        self.witnesses(&found, &mut wrong).await;
        if let Err(detail) = self.channels.greet_one(&self.snapshot.notify).await {
            wrong.push(detail);
        }
        if wrong.is_empty() { Ok(found) } else { Err(Wrong { findings: wrong, denied }) }
    }

    /// What an emergency needs: which key is in use, and a provider that answers. A store, a hook or a channel that fails does not stop it,
    /// and a target that does not answer soon is not waited for.
    ///
    /// # Errors
    /// What keeps a new key from being made.
    pub async fn survey_in_emergency(&self) -> Result<Found, Wrong> {
        let mut wrong = Vec::new();
        let mut notes = Vec::new();
        let reads = self.snapshot.targets.iter().map(|target| self.read_soon(target));
        let mut readings = Vec::new();
        for read in reads {
            readings.push(read.await);
        }
        let recorded = readings.iter().map(|reading| reading.as_ref().map(fingerprints).unwrap_or_default()).collect();
        let mut found = self.key_in_use(&readings, &mut notes);
        if found.survey.old.is_none()
            && let Some((current, ours)) = self.current
        {
            // No target could be read: what is recorded as the key in use is what is cut off.
            let print = current.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default();
            found.survey.old = Some(Key { id: current.id.clone(), fingerprint: print, expires_at: current.expires_at });
            found.survey.old_is_ours = ours;
            found.first = current.clone();
        }
        found.recorded = recorded;
        if self.plugins.account.provider.replaces_credential() {
            wrong.push(format!("provider {}: its mint replaces the credential it is signed with", self.snapshot.account.name));
        }
        let denied = self.credential(&mut wrong).await;
        if wrong.is_empty() {
            let mut in_the_way = Vec::new();
            self.provider(&mut found, &mut in_the_way).await;
            // A full house is made room in by the cut; what the mint must be told decides for itself.
            notes.append(&mut in_the_way);
        }
        found.notes.append(&mut notes);
        if wrong.is_empty() { Ok(found) } else { Err(Wrong { findings: wrong, denied }) }
    }

    async fn read_soon(&self, target: &TargetTable) -> Option<Reading> {
        let store = self.plugins.stores.get(&target.store)?;
        let fields = own_fields(target);
        let read = store.read(&target.spec, &fields);
        match tokio::time::timeout(SOON, read).await {
            Ok(Outcome::Done(reading)) => Some(reading),
            _ => None,
        }
    }

    /// The key that stands in the targets now, whatever is recorded; nothing is proven and nothing changed.
    ///
    /// # Errors
    /// A target cannot be read, or they do not agree.
    pub async fn key_now(&self) -> Result<KeyRecord, Vec<String>> {
        let mut wrong = Vec::new();
        let mut readings = Vec::new();
        for target in &self.snapshot.targets {
            let Some(store) = self.plugins.stores.get(&target.store) else { continue };
            readings.push(match store.read(&target.spec, &own_fields(target)).await {
                Outcome::Done(reading) => Some(reading),
                Outcome::Refused(refusal) => self.fault(&mut wrong, &target.name(), "cannot be read", &refusal.to_string()),
                Outcome::Unknown(cause) => self.fault(&mut wrong, &target.name(), "cannot be read", &cause.to_string()),
            });
        }
        let found = self.key_in_use(&readings, &mut wrong);
        if found.first.fingerprint.is_none() {
            wrong.push(String::from("the targets hold no key"));
        }
        if wrong.is_empty() { Ok(found.first) } else { Err(wrong) }
    }

    /// Every target readable, and its store writable, shown by a write that changes nothing.
    async fn targets(&self, wrong: &mut Vec<String>) -> (Vec<Option<Reading>>, Vec<BTreeMap<String, String>>) {
        let mut readings = Vec::new();
        let mut recorded = Vec::new();
        for target in &self.snapshot.targets {
            let Some(store) = self.plugins.stores.get(&target.store) else {
                wrong.push(format!("target {}: its store is gone", target.name()));
                continue;
            };
            let reading = match store.read(&target.spec, &own_fields(target)).await {
                Outcome::Done(reading) => Some(reading),
                Outcome::Refused(refusal) => self.fault(wrong, &target.name(), "cannot be read", &refusal.to_string()),
                Outcome::Unknown(cause) => self.fault(wrong, &target.name(), "cannot be read", &cause.to_string()),
            };
            if reading.is_some() {
                match store.prove(&target.spec).await {
                    Outcome::Done(()) => {}
                    Outcome::Refused(refusal) => {
                        let _: Option<()> = self.fault(wrong, &target.name(), "cannot be written", &refusal.to_string());
                    }
                    Outcome::Unknown(cause) => {
                        let _: Option<()> = self.fault(wrong, &target.name(), "cannot be written", &cause.to_string());
                    }
                }
            }
            recorded.push(reading.as_ref().map(fingerprints).unwrap_or_default());
            readings.push(reading);
        }
        (readings, recorded)
    }

    #[expect(clippy::unused_self, reason = "reads as part of the survey")]
    fn fault<T>(&self, wrong: &mut Vec<String>, target: &str, what: &str, detail: &str) -> Option<T> {
        wrong.push(format!("target {target} {what}: {detail}"));
        None
    }

    /// The key in use: what the targets hold in the fields that will hold the new one. Those present must agree.
    fn key_in_use(&self, readings: &[Option<Reading>], wrong: &mut Vec<String>) -> Found {
        let mut parts: BTreeMap<String, Secret> = BTreeMap::new();
        for (target, reading) in self.snapshot.targets.iter().zip(readings) {
            let Some(reading) = reading else { continue };
            for (field, name) in current_fields(target) {
                let Some(value) = reading.fields.get(&field).filter(|value| !value.expose().is_empty()) else { continue };
                match parts.get(&name) {
                    Some(other) if !other.same_as(value) => wrong.push(format!(
                        "target {}: field {field} holds another {name} than the other targets: bring them together first",
                        target.name()
                    )),
                    _ => {
                        parts.insert(name, value.duplicate());
                    }
                }
            }
        }
        let secret = parts.remove("secret");
        let fingerprint = secret.as_ref().map(Secret::fingerprint);
        let mut first = KeyRecord { fingerprint: fingerprint.clone(), ..KeyRecord::default() };
        first.id = parts.get("id").map(|id| id.expose().to_owned());
        let mut ours = false;
        match (self.current, &fingerprint) {
            (Some((current, is_ours)), Some(print)) if current.fingerprint.as_ref() == Some(print) => {
                let id = first.id.take().or_else(|| current.id.clone());
                first = KeyRecord { id, ..current.clone() };
                ours = is_ours;
            }
            (Some((current, true)), _) if current.fingerprint.is_some() => wrong.push(String::from(
                "drift: the targets do not hold the key that is recorded as current. Put it back, or say \
                 `cutover adopt` for the key that stands there",
            )),
            _ => {}
        }
        if let Some(adopt) = &self.snapshot.adopt
            && fingerprint.is_some()
            && !ours
            && first.id.as_ref().is_none_or(|id| id == adopt)
        {
            first.id = Some(adopt.clone());
            ours = true;
        }
        let old = fingerprint.map(|print| Key { id: first.id.clone(), fingerprint: print.0, expires_at: first.expires_at });
        Found {
            survey: Survey { old_is_sealed: old.is_some(), old, old_is_ours: ours },
            first,
            values: KeyValues { secret, outputs: parts },
            recorded: Vec::new(),
            baseline: None,
            notes: Vec::new(),
        }
    }

    /// Whether the account's credential is dead.
    async fn credential(&self, wrong: &mut Vec<String>) -> bool {
        if self.own() {
            return false;
        }
        let before = wrong.len();
        match self.plugins.account.provider.credential().await {
            Ok(credential) => {
                if let Some(expires_at) = credential.expires_at
                    && expires_at <= self.clock.now().plus(CREDENTIAL_MARGIN)
                {
                    wrong.push(format!(
                        "provider {}: its credential is dead or dies within {CREDENTIAL_MARGIN}: renew it, the rotation then goes on by itself",
                        self.snapshot.account.name
                    ));
                }
            }
            Err(refusal) => wrong.push(format!("provider {}: {refusal}", self.snapshot.account.name)),
        }
        wrong.len() > before
    }

    /// The key itself signs: there is no credential.
    fn own(&self) -> bool {
        self.snapshot.plan.provider.declares.authority == Authority::Own
    }

    /// The line is open, the key in use is among those listed, and there is room for one more. Answers whether the credential was refused.
    async fn provider(&self, found: &mut Found, wrong: &mut Vec<String>) -> bool {
        match self.line(found, wrong).await {
            Ok(()) => false,
            Err(class) => class == Some(Class::Auth) && !self.own(),
        }
    }

    /// The class of the refusal that ended the look, where it was one.
    async fn line(&self, found: &mut Found, wrong: &mut Vec<String>) -> Result<(), Option<Class>> {
        let provider = &self.plugins.account.provider;
        let name = &self.snapshot.account.name;
        if provider.replaces_credential() {
            wrong.push(format!(
                "provider {name}: its mint replaces the credential it is signed with, and this version cannot keep the new one: not yet supported"
            ));
        }
        let call = AccountCall::of(self.snapshot, self.record, found.values.secret.as_ref());
        match provider.prepare(call.call()).await {
            Outcome::Done(()) => {}
            other => return Err(not_answered(name, other, wrong)),
        }
        let facts = &self.snapshot.plan.provider;
        if facts.declares.list == ListBy::None || !facts.verbs.list {
            self.mint_needs(found, wrong);
            return Ok(());
        }
        let listing = match provider.list(call.call()).await {
            Outcome::Done(listing) => listing,
            other => return Err(not_answered(name, other, wrong)),
        };
        self.row_of_old(found, &listing.rows, wrong);
        let now = self.clock.now();
        let live = listing.rows.iter().filter(|row| !row.revoked && row.expires_at.is_none_or(|at| at > now)).count();
        // Where the mint itself retires the old key no further place is needed.
        let cap = facts.declares.max_live.filter(|_| !self.snapshot.plan.provider_ends_old());
        if let Some(cap) = cap
            && live >= cap as usize
        {
            wrong.push(format!(
                "provider {name}: {live} of at most {cap} keys exist: no room for a new one. Remove one that nobody uses"
            ));
        }
        found.baseline = Some(listing.rows.iter().filter_map(|row| row.id.clone()).collect());
        self.mint_needs(found, wrong);
        Ok(())
    }

    /// The mint can be written out: what its request says of the key in use is known.
    fn mint_needs(&self, found: &Found, wrong: &mut Vec<String>) {
        for path in self.plugins.account.provider.mint_needs() {
            let known = match path.strip_prefix("old.").unwrap_or_default() {
                "id" => found.first.id.is_some(),
                "name" => found.first.name.is_some(),
                "prefix" => found.first.prefix.is_some(),
                name => found.values.outputs.contains_key(name) || found.first.facts.contains_key(name),
            };
            if !known {
                wrong.push(format!(
                    "provider {}: to rotate it must be told {path}, which is not known: say `adopt = {{ id = \"…\" }}` in the policy",
                    self.snapshot.account.name
                ));
            }
        }
    }

    /// Completes the old key's record from its row: by id, or by fingerprint where rows show it.
    fn row_of_old(&self, found: &mut Found, rows: &[KeyRecord], wrong: &mut Vec<String>) {
        let id = found.first.id.clone();
        let print = found.first.fingerprint.clone();
        let row = rows.iter().find(|row| match (&id, &row.id) {
            (Some(id), Some(other)) => id == other,
            _ => row.fingerprint.is_some() && row.fingerprint == print,
        });
        let Some(row) = row else {
            if id.is_some() {
                found.notes.push(String::from("the key in use is not among those the provider lists"));
            }
            return;
        };
        // An id that names another key than the one in the targets would end somebody else's.
        let shown = row.prefix.as_ref().map(|prefix| prefix.trim_end_matches('…').trim_end_matches("..."));
        let value = found.values.secret.as_ref();
        let other_prefix = shown.zip(value).is_some_and(|(shown, value)| !value.expose().starts_with(shown));
        let other_print = row.fingerprint.is_some() && print.is_some() && row.fingerprint != print;
        if other_prefix || other_print {
            wrong.push(format!(
                "provider {}: the key with id {} is not the one in the targets: correct `adopt` in the policy",
                self.snapshot.account.name,
                row.id.as_deref().unwrap_or("-")
            ));
            return;
        }
        found.first = KeyRecord { fingerprint: print, ..row.clone() };
        if let Some(old) = &mut found.survey.old {
            old.id.clone_from(&row.id);
            old.expires_at = row.expires_at;
        }
    }

    async fn hooks(&self, wrong: &mut Vec<String>) {
        for (place, (_, hook)) in self.plugins.hooks.iter().enumerate() {
            if let Err(refusal) = hook.present().await {
                wrong.push(format!("redeploy {}: {refusal}", place + 1));
            }
        }
    }

    /// Every witness answers. Whether it names the key in use is told, and stops nothing.
    async fn witnesses(&self, found: &Found, wrong: &mut Vec<String>) {
        let vars = WitnessVars {
            policy: self.snapshot.policy.clone(),
            rotation: String::new(),
            key_id: found.first.id.clone().unwrap_or_default(),
            fingerprint: found.first.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default(),
        };
        for (place, witness) in self.plugins.witnesses.iter().enumerate() {
            let Some(witness) = witness else { continue };
            let told: Result<(), String> = match witness.look(&vars).await {
                Outcome::Done(_) => Ok(()),
                Outcome::Refused(Refusal { class: Class::Gone, .. }) => Err(String::from("gone: there is no such address")),
                Outcome::Refused(refusal) => Err(refusal.to_string()),
                Outcome::Unknown(cause) => Err(cause.to_string()),
            };
            if let Err(detail) = told {
                wrong.push(format!("verify {} does not answer: {detail}", place + 1));
            }
        }
    }
}

/// A finding about a call to the provider that did not do; its class, where it was refused.
fn not_answered<T>(name: &str, outcome: Outcome<T>, wrong: &mut Vec<String>) -> Option<Class> {
    match outcome {
        Outcome::Done(_) => None,
        Outcome::Refused(refusal) => {
            wrong.push(format!("provider {name}: {refusal}"));
            Some(refusal.class)
        }
        Outcome::Unknown(cause) => {
            wrong.push(format!("provider {name}: {cause}"));
            None
        }
    }
}
