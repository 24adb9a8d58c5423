//! The steps of a rotation in words.

use cutover_api::Stamp;
use cutover_ledger::HistoryEntry;
use serde_json::Value;

use crate::engine::times::timestamp;

/// One entry of the history, opened.
pub(super) struct Fact<'a> {
    /// When.
    pub(super) at: Stamp,
    /// What: `minted`, `held`, …
    pub(super) kind: &'a str,
    facts: Value,
}

impl<'a> Fact<'a> {
    pub(super) fn of(entry: &'a HistoryEntry) -> Self {
        let facts = serde_json::from_str(&entry.facts).unwrap_or_default();
        Self { at: entry.at, kind: &entry.kind, facts }
    }

    fn text(&self, name: &str) -> &str {
        self.facts.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn time(&self, name: &str) -> String {
        let at = self.facts.get(name).and_then(Value::as_i64).map(Stamp);
        at.map_or_else(|| "unknown".to_owned(), |at| timestamp(at).strftime("%a %H:%M").to_string())
    }

    fn settled(&self) -> bool {
        self.text("layout") == "settled"
    }

    /// Why it is held, or how it ended: the label alone.
    pub(super) fn label(&self, name: &str) -> String {
        match self.facts.get(name) {
            Some(Value::String(label)) => label.clone(),
            Some(Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// What is told of it; `None` = nothing.
    pub(super) fn words(&self) -> Option<String> {
        Some(match self.kind {
            "rotation-started" => {
                "A rotation starts. Everything it will need is looked at first; nothing is changed.".to_owned()
            }
            "preflight-passed" => {
                "Preflight passed: file readable and writable, provider, deployer, application and alert channel \
                                   answer."
                    .to_owned()
            }
            "preflight-failed" => format!("Preflight failed: {}.", self.text("detail")),
            "mint-intended" => {
                format!(
                    "The intent to ask for one new key is on disk. The old key can be counted on until {}.",
                    self.time("old_until")
                )
            }
            "minted" => {
                format!("The reply is sealed and on disk before it is read. New key: {}", self.text("fingerprint"))
            }
            "accepted" => "The provider accepts the new key.".to_owned(),
            "written" if self.settled() => "Written, compared and read back. The file knows only the new key:".to_owned(),
            "written" => "Written, compared and read back. The file holds both keys:".to_owned(),
            "deployed" => "Deployed: the application has read its file again.".to_owned(),
            "hook-failed" => "The deployer refuses (423): nothing was restarted.".to_owned(),
            "evidence" if self.text("verify_name") == "last-used" => {
                "Evidence: the provider shows a use of the new key after the deployment.".to_owned()
            }
            "evidence" => "Evidence: the application itself names the new key as the one it runs with.".to_owned(),
            "quiet" => format!("Quiet: the provider shows no use of the old key since {}.", self.time("since")),
            "cutover" => "Cutover: the new key is the one in use.".to_owned(),
            "settled" => "Settled: evidence again, with the new key alone in the file.".to_owned(),
            "revoked" => "The old key is revoked, by its id.".to_owned(),
            "old-dead" => self.death().to_owned(),
            "in-doubt" => format!(
                "The reply is lost. Whether a key was made is not known, so no second one is asked for. Nothing is decided before {}.",
                self.time("decide_at")
            ),
            "doubt-settled" => format!("The doubt is settled: {}.", self.text("how")),
            "held" => format!("Held ({}): the daemon waits for a person and touches nothing.", self.label("why")),
            "recovered" => "It goes on.".to_owned(),
            "ordered" => format!("cutover {}: taken and recorded, with who and why.", self.text("order")),
            "grace-ending" => {
                let percent = self.facts.get("percent").and_then(Value::as_u64).unwrap_or_default();
                format!(
                    "{percent} % of the grace is over and the new key is not in use yet. A person is told while there is time."
                )
            }
            "grace-ended" => "From here on the old key must be taken for dead.".to_owned(),
            "closed" => format!("Closed ({}). The ledger keeps fingerprints only.", self.label("end")),
            _ => return None,
        })
    }

    fn death(&self) -> &'static str {
        match self.text("proof") {
            "refused" => "The old key is presented once more, and refused (401): it is dead.",
            "expired" => "The provider's own clock has ended the old key.",
            "at-mint" => "The old key ended with the new one's birth.",
            _ => "The provider has confirmed the revoke.",
        }
    }
}
