//! `check --online` and `rotate --dry-run`: what a rotation would find now. Nothing is written.

use cutover_api::{KeyRecord, Outcome, Sighting, WitnessVars};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::snapshot::{Record, Snapshot};
use super::survey::{Found, Surveyor};
use super::times::words;
use crate::alert::Channels;

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
}

impl Finding {
    fn new(about: &str, ok: bool, warning: bool, text: impl Into<String>) -> Self {
        Self { about: about.to_owned(), ok, warning, text: text.into() }
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
                    Ok(()) => Finding::new(&about, true, false, "accepts a login"),
                    Err(error) => Finding::new(&about, false, false, format!("does not accept a login: {error}")),
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
            return vec![Finding::new(&about, false, false, "there is no such policy")];
        };
        if let Some(open) = self.open_rotation_of(name) {
            return vec![Finding::new(
                &about,
                true,
                true,
                format!("rotation {open} is under way: what it waits for is in `cutover status`"),
            )];
        }
        let snapshot = match self.snapshot(&config, policy) {
            Ok(snapshot) => snapshot,
            Err(detail) => return vec![Finding::new(&about, false, false, detail)],
        };
        let plugins = match self.shared.workshop().build(&snapshot) {
            Ok(plugins) => plugins,
            Err(detail) => return vec![Finding::new(&about, false, false, detail)],
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
            Err(wrong) => return wrong.findings.into_iter().map(|text| Finding::new(&about, false, false, text)).collect(),
        };
        let mut findings = well(&about, &snapshot, &found);
        findings.extend(found.notes.iter().map(|note| Finding::new(&about, true, true, note.clone())));
        if let Ok(credential) = plugins.account.provider.credential().await
            && let Some(expires_at) = credential.expires_at
        {
            let text = format!("the credential of {} lives until {}", snapshot.account.name, words(expires_at));
            findings.push(Finding::new(&about, true, false, text));
        }
        findings.extend(sees_current(&about, &snapshot, &plugins, &found).await);
        findings
    }
}

/// What is well, in words.
fn well(about: &str, snapshot: &Snapshot, found: &Found) -> Vec<Finding> {
    let ok = |text: String| Finding::new(about, true, false, text);
    let targets: Vec<String> = snapshot.targets.iter().map(super::snapshot::TargetTable::name).collect();
    let mut findings = vec![ok(format!("targets readable and writable: {}", targets.join(", ")))];
    findings.push(match &found.survey.old {
        None => ok("the targets are empty: the next rotation makes the first key".to_owned()),
        Some(old) => {
            let key = old.id.as_ref().map_or_else(|| old.fingerprint.clone(), |id| format!("{id} ({})", old.fingerprint));
            if found.survey.old_is_ours || snapshot.plan.provider_ends_old() {
                ok(format!("the key in use is {key}"))
            } else {
                let text = format!(
                    "the key in use is {key}; cutover did not make it and will not end it. To have it retired, say \
                     `adopt = {{ id = \"…\" }}` in the policy"
                );
                Finding::new(about, true, true, text)
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
            Finding::new(about, true, false, format!("{name} sees the key in use"))
        } else {
            Finding::new(
                about,
                true,
                true,
                format!("{name} answers, but does not see the key in use: would it see the next one?"),
            )
        });
    }
    findings
}
