//! Follows one rotation through its history and tells each step as it becomes durable.

use std::time::Duration;

use cutover_api::{Clock, Message};
use cutover_config::Selector;
use cutover_ledger::{HistoryEntry, HistoryQuery, HistoryRow};
use cutover_machine::event::Order;

use super::clock::LIVE;
use super::stage::Stage;
use super::voice::Voice;
use super::words::Fact;

/// The ledger is looked at again after this, in real time, at the latest …
const LOOK: Duration = Duration::from_millis(60);
/// … and no sooner than after this.
const BREATH: Duration = Duration::from_millis(15);

/// One rotation as it is followed.
pub(super) struct Thread {
    pub(super) policy: String,
    pub(super) rotation: String,
    told: u64,
    /// The alerts that came, by kind.
    pub(super) alerts: Vec<String>,
    /// Why it was held.
    pub(super) held: Vec<String>,
    /// How it ended.
    pub(super) ended: Option<String>,
}

impl Thread {
    /// Starts a rotation of this policy by hand.
    pub(super) async fn start(stage: &Stage, policy: &str) -> Result<Self, String> {
        let only = Selector { policies: vec![policy.to_owned()], ..Selector::default() };
        let started = stage.engine.rotate(&only, "demo", Some("to show how it goes")).await;
        let first = started.into_iter().next();
        match first.as_ref().and_then(|one| one.rotation.clone().filter(|_| one.refused.is_none())) {
            Some(rotation) => {
                Ok(Self { policy: policy.to_owned(), rotation, told: 0, alerts: Vec::new(), held: Vec::new(), ended: None })
            }
            None => Err(format!("policy {policy} was not started: {}", first.and_then(|one| one.refused).unwrap_or_default())),
        }
    }

    /// Tells what happens until this kind of fact has come.
    ///
    /// # Errors
    /// It is held where the story does not expect it, it or the engine has ended, or nobody listens any more.
    pub(super) async fn until(&mut self, stage: &mut Stage, voice: &mut Voice, kind: &str) -> Result<(), String> {
        self.until_mailed(stage, voice, kind, None).await
    }

    /// The same until an alert of this rotation with this kind, or with this in its text, has come as well; it is shown whole.
    ///
    /// # Errors
    /// As [`Thread::until`].
    pub(super) async fn until_mailed(
        &mut self,
        stage: &mut Stage,
        voice: &mut Voice,
        kind: &str,
        mail: Option<&str>,
    ) -> Result<(), String> {
        let mut seen = false;
        let mut mailed = mail.is_none();
        let mut waiting = Vec::new();
        loop {
            let told = self.told;
            let rows = if seen { Vec::new() } else { self.rows(stage).await? };
            for row in rows.iter().filter(|row| row.seq > told) {
                self.tell(stage, voice, &row.entry, kind).await?;
                self.told = row.seq;
                // What came after it belongs to the next part of the story.
                if row.entry.kind == kind {
                    seen = true;
                    break;
                }
            }
            // What an alert is about is told before it.
            while let Ok(message) = stage.alerts.try_recv() {
                waiting.push(message);
            }
            for message in waiting.drain(..) {
                let meant = mail.is_some_and(|mail| message.kind == mail || message.text.contains(mail));
                mailed |= meant;
                self.mail(voice, &message, meant)?;
            }
            if seen && mailed {
                return Ok(());
            }
            if let Some(end) = self.ended.as_ref().filter(|_| !seen) {
                return Err(format!("policy {}: the rotation has ended ({end}) and `{kind}` never came", self.policy));
            }
            tokio::time::sleep(BREATH).await;
            let look = stage.clock.now().plus(stage.clock.span_of(LOOK));
            tokio::select! {
                () = stage.engine.progressed(look) => {}
                Some(message) = stage.alerts.recv() => waiting.push(message),
                detail = stage.engine.ended() => return Err(format!("the engine has ended: {}", detail.unwrap_or_default())),
            }
        }
    }

    async fn rows(&self, stage: &Stage) -> Result<Vec<HistoryRow>, String> {
        let query = HistoryQuery { rotation: Some(self.rotation.clone()), ..HistoryQuery::default() };
        stage.ledger().history(&query).await.map_err(|error| error.to_string())
    }

    fn mail(&mut self, voice: &mut Voice, message: &Message, whole: bool) -> Result<(), String> {
        if message.rotation.as_ref().is_none_or(|rotation| *rotation == self.rotation) {
            self.alerts.push(message.kind.clone());
        }
        voice.mail(message, whole)
    }

    async fn tell(&mut self, stage: &Stage, voice: &mut Voice, entry: &HistoryEntry, expected: &str) -> Result<(), String> {
        let fact = Fact::of(entry);
        match fact.kind {
            "held" => self.held.push(fact.label("why")),
            "closed" => self.ended = Some(fact.label("end")),
            _ => {}
        }
        if let Some(words) = fact.words() {
            voice.at(fact.at, &words)?;
        }
        if fact.kind == "held" && expected != "held" {
            return Err(format!("policy {}: it is held ({}), which is no part of the story", self.policy, fact.label("why")));
        }
        let app = stage.app(&self.policy)?;
        match fact.kind {
            "written" => voice.more(&app.file())?,
            "evidence" | "old-dead" if app.runs().await => {
                let tally = app.tally().await;
                voice.more(&format!("(the application so far: {} calls, {} refused)", tally.calls, tally.refused))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A person's order to this rotation, told as it is typed.
    pub(super) async fn order(
        &self,
        stage: &Stage,
        voice: &mut Voice,
        order: Order,
        typed: &str,
        reason: &str,
    ) -> Result<(), String> {
        voice.at(stage.clock.now(), &format!("$ cutover {typed} --rotation {} --reason \"{reason}\"", self.rotation))?;
        let taken = stage.engine.order(&self.policy, Some(&self.rotation), order, "demo", Some(reason)).await;
        taken.map(|_| ()).map_err(|refused| format!("policy {}: {}", self.policy, refused.reason))
    }

    /// The clock runs at this rate until this fact comes; then calls are made again.
    ///
    /// # Errors
    /// As [`Thread::until`].
    pub(super) async fn lapse(
        &mut self,
        stage: &mut Stage,
        voice: &mut Voice,
        rate: i64,
        kind: &str,
        mail: Option<&str>,
    ) -> Result<(), String> {
        stage.clock.run_at(rate);
        let result = self.until_mailed(stage, voice, kind, mail).await;
        stage.clock.run_at(LIVE);
        result
    }
}
