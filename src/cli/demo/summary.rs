//! What came of the story.

use cutover_api::Span;
use cutover_fake::Tally;
use serde_json::{Value, json};

use super::app::App;
use super::follow::Thread;
use super::voice::Voice;

/// What came of one scene.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) thread: Thread,
    pub(super) tally: Tally,
    pub(super) paused: Span,
}

impl Scene {
    /// Ends the application and looks at what it has counted.
    ///
    /// # Errors
    /// It was refused, or not answered, or did not call at all.
    pub(super) async fn end(name: &'static str, thread: Thread, app: &App) -> Result<Self, String> {
        app.some_calls().await;
        let paused = app.paused_for().await;
        app.end().await;
        let tally = app.tally().await;
        if tally.refused > 0 || tally.failed > 0 || tally.calls == 0 {
            let Tally { calls, refused, failed, .. } = tally;
            return Err(format!(
                "scene {name}: the application was not served throughout: {refused} of {calls} calls were refused, {failed} were not \
                 answered"
            ));
        }
        Ok(Self { name, thread, tally, paused })
    }

    fn ended(&self) -> &str {
        self.thread.ended.as_deref().unwrap_or("open")
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name, "policy": self.thread.policy, "rotation": self.thread.rotation, "ended": self.ended(),
            "calls": self.tally.calls, "refused": self.tally.refused, "failed": self.tally.failed,
            "held": self.thread.held, "alerts": self.thread.alerts, "paused_seconds": self.paused.as_seconds(),
        })
    }
}

/// What came of the story.
pub(super) struct Summary {
    pub(super) scenes: Vec<Scene>,
}

impl Summary {
    fn sum(&self, count: impl Fn(&Scene) -> u64) -> u64 {
        self.scenes.iter().map(count).sum()
    }

    fn alerts(&self) -> usize {
        self.scenes.iter().map(|scene| scene.thread.alerts.len()).sum()
    }

    /// `{"version":1, …}`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "version": 1,
            "scenes": self.scenes.iter().map(Scene::to_json).collect::<Vec<_>>(),
            "rotations": self.scenes.len(),
            "calls": self.sum(|scene| scene.tally.calls),
            "refused": self.sum(|scene| scene.tally.refused),
            "alerts": self.alerts(),
        })
    }

    /// As a table, and where to go from here.
    pub(super) fn tell(&self, voice: &mut Voice) -> Result<(), String> {
        voice.line("")?;
        voice.line(&format!(
            "{:<10}{:<7}{:>7}{:>9}{:>12}{:>8}{:>8}   held for",
            "", "ended", "calls", "refused", "unanswered", "paused", "alerts"
        ))?;
        for scene in &self.scenes {
            let Tally { calls, refused, failed, .. } = scene.tally;
            let held = if scene.thread.held.is_empty() { "-".to_owned() } else { scene.thread.held.join(", ") };
            let paused = if scene.paused == Span::ZERO { "-".to_owned() } else { scene.paused.to_string() };
            let (ended, alerts) = (scene.ended(), scene.thread.alerts.len());
            voice.line(&format!(
                "{:<10}{ended:<7}{calls:>7}{refused:>9}{failed:>12}{paused:>8}{alerts:>8}   {held}",
                scene.name
            ))?;
        }
        let (calls, refused) = (self.sum(|scene| scene.tally.calls), self.sum(|scene| scene.tally.refused));
        voice.line("")?;
        voice.line(&format!(
            "{} rotations, {calls} calls, {refused} refused, {} alerts delivered.",
            self.scenes.len(),
            self.alerts()
        ))?;
        voice.line("")?;
        voice.line("Next: cutover init writes a first configuration after five questions; then")?;
        voice.line("  cutover check                     is it right?")?;
        voice.line("  cutover check --online            would a rotation find all it needs?")?;
        voice.line("  cutover rotate NAME --dry-run     what would happen?")?;
        voice.line("The README tells the rest.")
    }
}
