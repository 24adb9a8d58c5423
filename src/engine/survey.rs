//! The preflight: everything a rotation will need is looked at, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_api::{Class, Clock, KeyRecord, Outcome, Reading, Secret, Span, WitnessVars};
use cutover_ledger::Ledger;
use cutover_machine::event::Survey;
use cutover_machine::plan::Authority;
use cutover_machine::state::Key;

use super::calls::AccountCall;
use super::cure::{Side, Trouble, said};
use super::plugins::Plugins;
use super::snapshot::{Record, Snapshot, TargetTable};
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
    pub notes: Vec<Trouble>,
}

/// What stands in a rotation's way.
#[derive(Debug, Default)]
pub struct Wrong {
    /// Every finding, in the order of the checks.
    pub findings: Vec<Trouble>,
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
            wrong.push(Trouble::new(detail, "make room on the ledger's disk, or give its files back to the daemon's user"));
        }
        let mut denied = self.credential(&mut wrong).await;
        if wrong.is_empty() {
            denied = self.provider(&mut found, &mut wrong).await;
        }
        self.hooks(&mut wrong).await;
        self.witnesses(&found, &mut wrong).await;
        if let Err(detail) = self.channels.greet_one(&self.snapshot.notify).await {
            let cure = "add or correct a [notify.NAME]: nothing is rotated while nobody could be told; `cutover check \
                        --send-test-alert` tries them";
            wrong.push(Trouble::new(detail, cure));
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
            wrong.push(Trouble::new(
                format!("provider {}: its mint replaces the credential it is signed with", self.snapshot.account.name),
                "replace this key by hand; it is not supported yet",
            ));
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
    pub async fn key_now(&self) -> Result<KeyRecord, Vec<Trouble>> {
        let mut wrong = Vec::new();
        let mut readings = Vec::new();
        for target in &self.snapshot.targets {
            let Some(store) = self.plugins.stores.get(&target.store) else { continue };
            readings.push(match store.read(&target.spec, &own_fields(target)).await {
                Outcome::Done(reading) => Some(reading),
                other => fault(&mut wrong, target, "cannot be read", &other),
            });
        }
        let found = self.key_in_use(&readings, &mut wrong);
        if found.first.fingerprint.is_none() {
            wrong.push(Trouble::new("the targets hold no key", "put the key in use where the policy's targets say it is read"));
        }
        if wrong.is_empty() { Ok(found.first) } else { Err(wrong) }
    }

    /// Every target readable, and its store writable, shown by a write that changes nothing.
    async fn targets(&self, wrong: &mut Vec<Trouble>) -> (Vec<Option<Reading>>, Vec<BTreeMap<String, String>>) {
        let mut readings = Vec::new();
        let mut recorded = Vec::new();
        for target in &self.snapshot.targets {
            let Some(store) = self.plugins.stores.get(&target.store) else {
                wrong.push(Trouble::new(
                    format!("target {}: its store is gone", target.name()),
                    format!("put [store.{}] back into the configuration", target.store),
                ));
                continue;
            };
            let reading = match store.read(&target.spec, &own_fields(target)).await {
                Outcome::Done(reading) => Some(reading),
                other => fault(wrong, target, "cannot be read", &other),
            };
            if reading.is_some() {
                match store.prove(&target.spec).await {
                    Outcome::Done(()) => {}
                    other => {
                        let _: Option<()> = fault(wrong, target, "cannot be written", &other);
                    }
                }
            }
            recorded.push(reading.as_ref().map(fingerprints).unwrap_or_default());
            readings.push(reading);
        }
        (readings, recorded)
    }

    /// The key in use: what the targets hold in the fields that will hold the new one. Those present must agree.
    fn key_in_use(&self, readings: &[Option<Reading>], wrong: &mut Vec<Trouble>) -> Found {
        let mut parts: BTreeMap<String, Secret> = BTreeMap::new();
        for (target, reading) in self.snapshot.targets.iter().zip(readings) {
            let Some(reading) = reading else { continue };
            for (field, name) in current_fields(target) {
                let Some(value) = reading.fields.get(&field).filter(|value| !value.expose().is_empty()) else { continue };
                match parts.get(&name) {
                    Some(other) if !other.same_as(value) => wrong.push(Trouble::new(
                        format!("target {}: field {field} holds another {name} than the other targets", target.name()),
                        "write the key in use into all of them first: which one is the old key cannot be told otherwise",
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
            (Some((current, true)), _) if current.fingerprint.is_some() => wrong.push(Trouble::new(
                "drift: the targets do not hold the key that is recorded as current",
                format!(
                    "put that key back, or say `cutover adopt {} --id ID` if the key that stands there is the one to go on with",
                    self.snapshot.policy
                ),
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
    async fn credential(&self, wrong: &mut Vec<Trouble>) -> bool {
        if self.own() {
            return false;
        }
        let before = wrong.len();
        match self.plugins.account.provider.credential().await {
            Ok(credential) => {
                if let Some(expires_at) = credential.expires_at
                    && expires_at <= self.clock.now().plus(CREDENTIAL_MARGIN)
                {
                    wrong.push(Trouble::new(
                        format!(
                            "provider {}: its credential is dead or dies within {CREDENTIAL_MARGIN}",
                            self.snapshot.account.name
                        ),
                        "renew it where it is read; a rotation that waits for it then goes on by itself",
                    ));
                }
            }
            Err(refusal) => wrong.push(self.of_provider(&Outcome::<()>::Refused(refusal))),
        }
        wrong.len() > before
    }

    /// The key itself signs: there is no credential.
    fn own(&self) -> bool {
        self.snapshot.plan.provider.declares.authority == Authority::Own
    }

    /// The provider's answer, and what to do about it.
    fn of_provider<T>(&self, outcome: &Outcome<T>) -> Trouble {
        let name = &self.snapshot.account.name;
        let (said, cure) = said(Side::Provider(name), outcome);
        Trouble::new(format!("provider {name}: {said}"), cure)
    }

    /// The line is open, the key in use is among those listed, and there is room for one more. Answers whether the credential was refused.
    async fn provider(&self, found: &mut Found, wrong: &mut Vec<Trouble>) -> bool {
        match self.line(found, wrong).await {
            Ok(()) => false,
            Err(class) => class == Some(Class::Auth) && !self.own(),
        }
    }

    /// The class of the refusal that ended the look, where it was one.
    async fn line(&self, found: &mut Found, wrong: &mut Vec<Trouble>) -> Result<(), Option<Class>> {
        let provider = &self.plugins.account.provider;
        let name = &self.snapshot.account.name;
        if provider.replaces_credential() {
            wrong.push(Trouble::new(
                format!("provider {name}: its mint replaces the credential it is signed with, and this version cannot keep the new one"),
                "rotate this key by hand; it is not supported yet",
            ));
        }
        let call = AccountCall::of(self.snapshot, self.record, found.values.secret.as_ref());
        match provider.prepare(call.call()).await {
            Outcome::Done(()) => {}
            other => {
                wrong.push(self.of_provider(&other));
                return Err(class_of(&other));
            }
        }
        let facts = &self.snapshot.plan.provider;
        if !facts.lists() {
            self.mint_needs(found, wrong);
            return Ok(());
        }
        let listing = match provider.list(call.call()).await {
            Outcome::Done(listing) => listing,
            other => {
                wrong.push(self.of_provider(&other));
                return Err(class_of(&other));
            }
        };
        self.row_of_old(found, &listing.rows, wrong);
        let now = self.clock.now();
        let live = listing.rows.iter().filter(|row| !row.revoked && row.expires_at.is_none_or(|at| at > now)).count();
        // Where the mint itself retires the old key no further place is needed.
        let cap = facts.declares.max_live.filter(|_| !self.snapshot.plan.provider_ends_old());
        if let Some(cap) = cap
            && live >= cap as usize
        {
            wrong.push(Trouble::new(
                format!("provider {name}: {live} of at most {cap} keys exist: no room for a new one"),
                format!("end one that nobody uses at the provider; `cutover keys {name}` lists them"),
            ));
        }
        found.baseline = Some(listing.rows.iter().filter_map(|row| row.id.clone()).collect());
        self.mint_needs(found, wrong);
        Ok(())
    }

    /// The mint can be written out: what its request says of the key in use is known.
    fn mint_needs(&self, found: &Found, wrong: &mut Vec<Trouble>) {
        for path in self.plugins.account.provider.mint_needs() {
            let known = match path.strip_prefix("old.").unwrap_or_default() {
                "id" => found.first.id.is_some(),
                "name" => found.first.name.is_some(),
                "prefix" => found.first.prefix.is_some(),
                name => found.values.outputs.contains_key(name) || found.first.facts.contains_key(name),
            };
            if !known {
                wrong.push(Trouble::new(
                    format!("provider {}: to rotate it must be told {path}, which is not known", self.snapshot.account.name),
                    "say `adopt = { id = \"…\" }` in the policy, with the id of the key in use",
                ));
            }
        }
    }

    /// Completes the old key's record from its row: by id, or by fingerprint where rows show it.
    fn row_of_old(&self, found: &mut Found, rows: &[KeyRecord], wrong: &mut Vec<Trouble>) {
        let id = found.first.id.clone();
        let print = found.first.fingerprint.clone();
        let row = rows.iter().find(|row| match (&id, &row.id) {
            (Some(id), Some(other)) => id == other,
            _ => row.fingerprint.is_some() && row.fingerprint == print,
        });
        let Some(row) = row else {
            if id.is_some() {
                found.notes.push(Trouble::new(
                    "the key in use is not among those the provider lists",
                    "look whether `params` and the credential are those of the account that issued it, and whether it was ended there",
                ));
            }
            return;
        };
        // An id that names another key than the one in the targets would end somebody else's.
        let shown = row.prefix.as_ref().map(|prefix| prefix.trim_end_matches('…').trim_end_matches("..."));
        let value = found.values.secret.as_ref();
        let other_prefix = shown.zip(value).is_some_and(|(shown, value)| !value.expose().starts_with(shown));
        let other_print = row.fingerprint.is_some() && print.is_some() && row.fingerprint != print;
        if other_prefix || other_print {
            wrong.push(Trouble::new(
                format!(
                    "provider {}: the key with id {} is not the one in the targets",
                    self.snapshot.account.name,
                    row.id.as_deref().unwrap_or("-")
                ),
                "correct `adopt` in the policy: ending that id would end somebody else's key",
            ));
            return;
        }
        found.first = KeyRecord { fingerprint: print, ..row.clone() };
        if let Some(old) = &mut found.survey.old {
            old.id.clone_from(&row.id);
            old.expires_at = row.expires_at;
        }
    }

    async fn hooks(&self, wrong: &mut Vec<Trouble>) {
        for (place, (_, hook)) in self.plugins.hooks.iter().enumerate() {
            if let Err(refusal) = hook.present().await {
                let cure = Side::Hook(place + 1).refused(&refusal);
                wrong.push(Trouble::new(format!("redeploy {}: {refusal}", place + 1), cure));
            }
        }
    }

    /// Every witness answers. Whether it names the key in use is told, and stops nothing.
    async fn witnesses(&self, found: &Found, wrong: &mut Vec<Trouble>) {
        let vars = WitnessVars {
            policy: self.snapshot.policy.clone(),
            rotation: String::new(),
            key_id: found.first.id.clone().unwrap_or_default(),
            fingerprint: found.first.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default(),
        };
        for (place, witness) in self.plugins.witnesses.iter().enumerate() {
            let Some(witness) = witness else { continue };
            let (detail, cure) = match witness.look(&vars).await {
                Outcome::Done(_) => continue,
                Outcome::Refused(refusal) if refusal.class == Class::Gone => {
                    (String::from("gone: there is no such address"), Side::Verify(place + 1).refused(&refusal))
                }
                other => said(Side::Verify(place + 1), &other),
            };
            wrong.push(Trouble::new(format!("verify {} does not answer: {detail}", place + 1), cure));
        }
    }
}

/// The class of a refusal.
const fn class_of<T>(outcome: &Outcome<T>) -> Option<Class> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.class),
        Outcome::Done(_) | Outcome::Unknown(_) => None,
    }
}

fn fault<T, R>(wrong: &mut Vec<Trouble>, target: &TargetTable, what: &str, outcome: &Outcome<R>) -> Option<T> {
    let (said, cure) = said(Side::Store(&target.store), outcome);
    wrong.push(Trouble::new(format!("target {} {what}: {said}", target.name()), cure));
    None
}
