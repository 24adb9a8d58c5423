//! What a rotation's record learns from its calls.

use cutover_api::KeyRecord;

use super::snapshot::Record;

/// What a record learns from a call.
pub enum Learn {
    /// The key in use when it began.
    First(KeyRecord),
    /// The key that was made.
    Made(KeyRecord),
    /// What the mint said of the old key.
    OldSaid(KeyRecord),
    /// What every target held.
    Recorded(Vec<std::collections::BTreeMap<String, String>>),
    /// The ids that were listed.
    Baseline(Option<Vec<String>>),
    /// The intent that is being committed.
    Intent(cutover_api::Intent),
    /// Why a person ordered what they did.
    Reason(Option<String>),
    /// The emergency order that it answers from now on.
    Answers(String),
    /// Keys that an emergency cuts off too.
    Gone(Vec<KeyRecord>),
    /// The staged key is to be cut off like the one before it.
    Superseded {
        /// The roles were swapped: the staged key is the one that was in use when the rotation began.
        swapped: bool,
    },
    /// What a person is asked to do to make the new key.
    Ask(Option<String>),
}

impl Learn {
    /// Puts it into the record.
    pub fn into_record(self, record: &mut Record) {
        match self {
            Self::First(first) => record.first = first,
            Self::Made(made) => record.made = made,
            Self::OldSaid(said) => {
                record.first.id = said.id.or_else(|| record.first.id.take());
                record.first.name = said.name.or_else(|| record.first.name.take());
                record.first.expires_at = said.expires_at.or(record.first.expires_at);
            }
            Self::Recorded(recorded) => record.recorded = recorded,
            Self::Baseline(baseline) => record.baseline = baseline,
            Self::Intent(intent) => {
                record.nonces.push(intent.nonce.clone());
                record.intent = Some(intent);
            }
            Self::Reason(reason) => record.reason = reason,
            Self::Answers(run) => {
                if !record.answers.contains(&run) {
                    record.answers.push(run);
                }
            }
            Self::Gone(keys) => {
                for key in keys {
                    if record.gone.iter().all(|gone| gone.fingerprint != key.fingerprint || gone.id != key.id) {
                        record.gone.push(key);
                    }
                }
            }
            Self::Superseded { swapped } => {
                let made = std::mem::take(&mut record.made);
                record.gone.push(if swapped { made } else { std::mem::replace(&mut record.first, made) });
            }
            Self::Ask(ask) => record.ask = ask,
        }
    }
}
