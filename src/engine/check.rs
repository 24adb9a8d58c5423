//! `check --online` and `rotate --dry-run`: what a rotation would find now. Nothing is written.

use cutover_api::{KeyRecord, Outcome, Sighting, WitnessVars};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::cure;
use super::snapshot::{Record, Snapshot};
use super::survey::{Found, Surveyor};
use super::times::words;
use crate::alert::Channels;

/// What to do where the plugins of a policy cannot be built.
const CANNOT_BUILD: &str = "`cutover check` tells where in the file; correct it, then reload";

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: `policy crm`, `notify ops`.
    pub about: String,
    /// All is well with it.
    pub ok: bool,
    /// It stops nothing, and should be known.
    pub warning: bool,
    /// In words.
    pub text: String,
    /// What to do about it; `None` where nothing has to be done.
    #[serde(default)]
    pub cure: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn well(about: &str, text: impl Into<String>) -> Self {
        Self { about: about.to_owned(), ok: true, warning: false, text: text.into(), cure: None }
    }

    /// It stops nothing and should be known; `cure`: what to do about it.
    #[must_use]
    pub fn note(about: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { warning: true, cure: Some(cure.into()), ..Self::well(about, text) }
    }

    /// It stands in the way; `cure`: what to do about it.
    #[must_use]
    pub fn wrong(about: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { ok: false, cure: Some(cure.into()), ..Self::well(about, text) }
    }
}

impl Engine {
    /// Looks at everything the selected policies need, online.
    pub async fn check(&self, policies: &[String], channels_too: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let channels = self.shared.channels();
        if channels_too {
            for (name, channel) in channels.iter() {
                let about = format!("notify {name}");
                findings.push(match channel.notifier.greet().await {
                    Ok(()) => {
                        Finding::well(&about, "is ready, as far as can be seen without a message: --send-test-alert sends one")
                    }
                    Err(error) => {
                        Finding::wrong(&about, format!("does not accept a login: {error}"), cure::channel(name, &error))
                    }
                });
            }
        }
        for policy in policies {
            findings.extend(self.check_policy(policy, &channels).await);
        }
        findings
    }

    async fn check_policy(&self, name: &str, channels: &Channels) -> Vec<Finding> {
        let about = format!("policy {name}");
        let config = self.shared.config();
        let Some(policy) = config.policies.get(name) else {
            return vec![Finding::wrong(&about, "there is no such policy", "`cutover status` lists those that are loaded")];
        };
        if let Some(open) = self.open_rotation_of(name) {
            let cure = format!("nothing: `cutover status {name}` tells what it waits for; look again when it is done");
            return vec![Finding::note(&about, format!("rotation {open} is under way: nothing was looked at"), cure)];
        }
        let snapshot = match self.snapshot(&config, policy) {
            Ok(snapshot) => snapshot,
            Err(detail) => return vec![Finding::wrong(&about, detail, CANNOT_BUILD)],
        };
        let plugins = match self.shared.workshop().build(&snapshot) {
            Ok(plugins) => plugins,
            Err(detail) => return vec![Finding::wrong(&about, detail, CANNOT_BUILD)],
        };
        let state = self.shared.policy_state(name);
        let current = state.as_ref().and_then(|state| state.current.as_deref().map(|key| (key, state.ours)));
        let record = Record::open(0, "check".to_owned(), None, self.shared.clock.now());
        let surveyor = Surveyor {
            snapshot: &snapshot,
            plugins: &plugins,
            record: &record,
            current,
            channels,
            ledger: &self.shared.ledger,
            clock: self.shared.time(),
        };
        let found = match surveyor.survey().await {
            Ok(found) => found,
            Err(wrong) => return wrong.findings.into_iter().map(|one| Finding::wrong(&about, one.text, one.cure)).collect(),
        };
        let mut findings = well(&about, &snapshot, &found);
        findings.extend(found.notes.iter().map(|note| Finding::note(&about, &note.text, &note.cure)));
        if let Ok(credential) = plugins.account.provider.credential().await
            && let Some(expires_at) = credential.expires_at
        {
            let text = format!("the credential of {} lives until {}", snapshot.account.name, words(expires_at));
            findings.push(Finding::well(&about, text));
        }
        findings.extend(sees_current(&about, &snapshot, &plugins, &found).await);
        findings
    }
}

/// What is well, in words.
fn well(about: &str, snapshot: &Snapshot, found: &Found) -> Vec<Finding> {
    let ok = |text: String| Finding::well(about, text);
    let targets: Vec<String> = snapshot.targets.iter().map(super::snapshot::TargetTable::name).collect();
    let mut findings = vec![ok(format!("targets readable and writable: {}", targets.join(", ")))];
    let account = &snapshot.account.name;
    findings.push(if snapshot.plan.provider.lists() {
        ok(format!("provider {account} answers and lists its keys"))
    } else {
        let text = format!("provider {account} was not asked: it has nothing that can be asked without changing a key");
        Finding::note(about, text, "nothing; the first rotation is the first use of its credential, so choose its hour")
    });
    findings.push(match &found.survey.old {
        None => Finding::note(
            about,
            "the targets hold no key: the next rotation makes the first one",
            "nothing, if that is so; otherwise look at `path` and at the names in `fields`: the application's key stands elsewhere",
        ),
        Some(old) => {
            let key = old.id.as_ref().map_or_else(|| old.fingerprint.clone(), |id| format!("{id} ({})", old.fingerprint));
            if found.survey.old_is_ours || snapshot.plan.provider_ends_old() {
                ok(format!("the key in use is {key}"))
            } else {
                let text = format!("the key in use is {key}; cutover did not make it and will not end it");
                let cure = "to have it retired, say `adopt = { id = \"…\" }` in the policy; otherwise end it by hand after the first \
                            rotation";
                Finding::note(about, text, cure)
            }
        }
    });
    findings
}

/// Whether each witness names the key in use now: one that does not would never name the next one either.
async fn sees_current(about: &str, snapshot: &Snapshot, plugins: &super::plugins::Plugins, found: &Found) -> Vec<Finding> {
    let KeyRecord { id, fingerprint, .. } = &found.first;
    let Some(fingerprint) = fingerprint else { return Vec::new() };
    let vars = WitnessVars {
        policy: snapshot.policy.clone(),
        rotation: String::new(),
        key_id: id.clone().unwrap_or_default(),
        fingerprint: fingerprint.0.clone(),
    };
    let mut findings = Vec::new();
    for (place, (witness, verify)) in plugins.witnesses.iter().zip(&snapshot.verifies).enumerate() {
        let Some(witness) = witness else { continue };
        let name = format!("verify {} ({})", place + 1, verify.kind);
        let value = found.values.secret.as_ref();
        let sees = match witness.look(&vars).await {
            Outcome::Done(Sighting::Holds(holds)) => holds,
            Outcome::Done(Sighting::Names(names)) => super::watch::all_name(&names, &fingerprint.0, value, None),
            Outcome::Refused(_) | Outcome::Unknown(_) => false,
        };
        findings.push(if sees {
            Finding::well(about, format!("{name} sees the key in use"))
        } else {
            Finding::note(
                about,
                format!("{name} answers, but does not see the key in use: would it see the next one?"),
                "look whether the application it asks reads these targets, was restarted since the key was put there, and names \
                 the key as this verify reads it; a rotation would wait for it until its grace is over",
            )
        });
    }
    findings
}
