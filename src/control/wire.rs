//! What travels over the control socket.
//!
//! A request is `{"v":1,"verb":…}` on one line. The reply is any number of `{"v":1,"item":…}` and then one `{"v":1,"done":…}` or one
//! `{"v":1,"refused":{"kind":…,"reason":…}}`. A request of another version, or with a key that is not known here, is refused whole: what a newer client meant to
//! narrow must not be done widely.

use cutover_api::Stamp;
use cutover_config::Selector;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::refused::{Refused, RefusedKind};
use cutover_machine::emergency::EmergencyOrder;

/// The version that is spoken.
pub const VERSION: u64 = 1;

/// The longest line, its newline included, in bytes.
pub const LONGEST_LINE: usize = 64 * 1024;

/// The keys of a selector.
const SELECTOR: [&str; 5] = ["policies", "tags", "holders", "providers", "all"];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Who is there. Done: [`Hello`].
    Hello {},
    /// How the selected policies stand; all, where nothing is said. Items: `PolicyStatus`; done: [`Standing`].
    Status {
        /// Which.
        #[serde(default)]
        selector: Selector,
    },
    /// The newest history entries, oldest first. Items: `HistoryRow`.
    History {
        /// Which policies; all, where nothing is said.
        #[serde(default)]
        selector: Selector,
        /// Only this rotation.
        #[serde(default)]
        rotation: Option<String>,
        /// At most so many; 0 = all.
        #[serde(default)]
        limit: usize,
    },
    /// Checks the history's whole chain. Done: [`Chain`].
    Verify {},
    /// What a rotation of the selected policies would cost. Items: `weigh::RotationCost`.
    WeighRotation {
        /// Which.
        selector: Selector,
    },
    /// What a decision would cost. Done: `weigh::DecisionCost`.
    WeighDecision {
        /// The policy.
        policy: String,
        /// What would be decided.
        decision: Decision,
    },
    /// Starts a rotation of the selected policies. Items: `Started`.
    Rotate {
        /// Which.
        selector: Selector,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What an emergency would do to the selected policies. Items: `emergency::EmergencyCost`; done: what a person has to replace by hand.
    WeighEmergency {
        /// Which.
        selector: Selector,
        /// Which comes first.
        order: EmergencyOrder,
    },
    /// Cuts the keys of the selected policies off. Done: `EmergencyTaken`.
    Emergency {
        /// Which.
        selector: Selector,
        /// Which comes first.
        order: EmergencyOrder,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The reports of emergency orders. Items: `emergency::Told`, each order before its policies.
    Emergencies {
        /// Only this one; all, where nothing is said.
        #[serde(default)]
        id: Option<String>,
    },
    /// Looks at everything the selected policies need, online; writes nothing. Items: `Finding`.
    Survey {
        /// Which; all, where nothing is said.
        #[serde(default)]
        selector: Selector,
        /// The alert channels too.
        #[serde(default)]
        channels: bool,
    },
    /// Sends a message to every alert channel. Items: `Finding`.
    TestAlert {},
    /// What a person decides about the rotation under way. Done: [`Decided`].
    Decide {
        /// The policy.
        policy: String,
        /// The rotation that is meant; another one under way is refused.
        #[serde(default)]
        rotation: Option<String>,
        /// What.
        decision: Decision,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The key that stands in the targets counts as known (held for drift) or as ours (idle). Done: [`Decided`].
    Adopt {
        /// The policy.
        policy: String,
        /// The rotation that is meant; another one under way is refused.
        #[serde(default)]
        rotation: Option<String>,
        /// Its id at the provider, where a person knows it.
        #[serde(default)]
        id: Option<String>,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The clock is right as it is now, and no policy is suspended any more. Done: [`ClockConfirmed`].
    ConfirmClock {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What handing a key in would do. Done: `weigh::SubmitCost`.
    WeighSubmit {
        /// The policy.
        policy: String,
        /// The rotation that is meant; another one under way is refused.
        #[serde(default)]
        rotation: Option<String>,
    },
    /// A person hands a key in. Its value is no part of the request: it follows when it is asked for (`frame`). Done: [`Decided`].
    Submit {
        /// The policy.
        policy: String,
        /// The rotation that is meant; another one under way is refused.
        #[serde(default)]
        rotation: Option<String>,
        /// The key's id at the provider.
        #[serde(default)]
        id: Option<String>,
        /// Until when the old key lives, as the provider shows it.
        #[serde(default)]
        old_expires_at: Option<Stamp>,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
        /// How long the value is.
        bytes: usize,
    },
    /// No date starts a rotation of the selected policies until then. Items: `Suspended`.
    Suspend {
        /// Which.
        selector: Selector,
        /// Until when.
        until: Stamp,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What will happen by the schedules. Items: `Coming`; done: [`Planned`].
    Plan {
        /// Which; all, where nothing is said.
        #[serde(default)]
        selector: Selector,
        /// Up to when, RFC 3339; absent: a year from now, and of each policy at least the next date.
        #[serde(default)]
        until: Option<String>,
    },
    /// What each policy's schedule goes on from. Items: `Scheduled`.
    Schedules {},
    /// The keys that providers list, beside what the ledger knows. Items: `Listed`.
    Keys {
        /// Only this provider's table.
        #[serde(default)]
        provider: Option<String>,
        /// The params to ask with, where no policy says them.
        #[serde(default)]
        params: std::collections::BTreeMap<String, Value>,
    },
    /// Copies the ledger, in use as it is, to a file that is not there yet. Done: `Copied`.
    LedgerCopy {
        /// `sqlite:` and an absolute path, on the daemon's machine and written by the daemon's user.
        to: String,
    },
}

/// How far a plan reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// `[daemon] name`.
    pub environment: String,
    /// From, RFC 3339.
    pub at: String,
    /// To, RFC 3339.
    pub until: String,
    /// The policies that have more dates than are told.
    pub more: Vec<String>,
}

/// What a person decides about a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The new key is in use: go on to settle.
    Confirm,
    /// The old key may be ended.
    ConfirmRetire,
    /// Look again and repeat what is safe.
    Resume,
    /// Mint again although the last mint is in doubt.
    MintAgain,
    /// Give this rotation up.
    Abandon,
}

impl Decision {
    /// As it is typed, without `cutover` and the policy.
    #[must_use]
    pub const fn typed(self) -> (&'static str, &'static str) {
        match self {
            Self::Confirm => ("confirm", ""),
            Self::ConfirmRetire => ("confirm", "--retire"),
            Self::Resume => ("resume", ""),
            Self::MintAgain => ("resume", "--mint-again"),
            Self::Abandon => ("abandon", ""),
        }
    }

    /// It can take something away: a terminal is asked first.
    #[must_use]
    pub const fn destroys(self) -> bool {
        matches!(self, Self::ConfirmRetire | Self::MintAgain | Self::Abandon)
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The process.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// `[daemon] name`.
    pub environment: String,
}

/// How the daemon itself stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who answers.
    pub hello: Hello,
    /// Its time, RFC 3339.
    pub at: String,
    /// The file on disk that could not be loaded, while the one before is in force.
    pub reload_error: Option<super::ReloadError>,
    /// Reloads that failed since the start.
    pub failed_reloads: u64,
    /// The alert channels that accept nothing at present.
    #[serde(default)]
    pub silent_channels: Vec<SilentChannel>,
    /// The clock has stepped and nobody has confirmed it: nothing starts and no key is ended.
    #[serde(default)]
    pub clock_frozen: bool,
    /// The ledger is older than the one that was in use here: nothing is done on its word until `resume`.
    #[serde(default)]
    pub ledger_behind: bool,
}

/// An alert channel that accepts nothing at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilentChannel {
    /// Its name.
    pub channel: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// What it said last.
    pub detail: String,
}

/// What a check of the history's chain gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Entries, where all of them fit.
    pub entries: Option<u64>,
    /// The number of the first entry that does not fit.
    pub first_broken: Option<u64>,
}

/// A decision was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The rotation it was about; empty where it was about the policy itself.
    pub rotation: String,
}

/// The clock was confirmed, and every suspension lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockConfirmed {
    /// It had been frozen.
    pub was_frozen: bool,
    /// The ledger had been older than the one that was in use here, and is believed from now on.
    #[serde(default)]
    pub ledger_trusted: bool,
    /// Policies that were suspended.
    #[serde(default)]
    pub lifted: Vec<String>,
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// One of many.
    Item(Value),
    /// The end.
    Done(Value),
    /// The end; nothing was done, or it failed.
    Refused(Refused),
}

impl Line {
    /// As it is sent, with its newline. What is too long for a line is replaced by a refusal that says so.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let value = match self {
            Self::Item(item) => serde_json::json!({ "v": VERSION, "item": item }),
            Self::Done(done) => serde_json::json!({ "v": VERSION, "done": done }),
            Self::Refused(refused) => serde_json::json!({ "v": VERSION, "refused": refused }),
        };
        let mut bytes = value.to_string().into_bytes();
        bytes.push(b'\n');
        if bytes.len() <= LONGEST_LINE {
            return bytes;
        }
        Self::Refused(Refused::failed("the answer is longer than a line of the control socket: select fewer policies")).encode()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It is not a line of this version, one sentence.
    pub fn decode(line: &[u8]) -> Result<Self, String> {
        let foreign = || "the answer is not of this version: is the daemon another version of cutover?".to_owned();
        let mut value: Value = serde_json::from_slice(line).map_err(|_| foreign())?;
        let object = value.as_object_mut().ok_or_else(foreign)?;
        if object.get("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(foreign());
        }
        if let Some(item) = object.remove("item") {
            return Ok(Self::Item(item));
        }
        if let Some(done) = object.remove("done") {
            return Ok(Self::Done(done));
        }
        let refused = object.remove("refused").ok_or_else(foreign)?;
        serde_json::from_value(refused).map(Self::Refused).map_err(|_| foreign())
    }
}

/// A request as it is sent, with its newline.
///
/// # Errors
/// It is too long for a line.
pub fn encode_ask(ask: &Ask) -> Result<Vec<u8>, Refused> {
    let mut value = serde_json::to_value(ask).map_err(|error| Refused::failed(error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), VERSION.into());
    }
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    if bytes.len() > LONGEST_LINE {
        return Err(Refused::usage("the request is longer than a line of the control socket: select by tag or --all"));
    }
    Ok(bytes)
}

/// Reads a request.
///
/// # Errors
/// Why it is none, without repeating it.
pub fn decode_ask(line: &[u8]) -> Result<Ask, Refused> {
    let wrong = |what: &str| Refused::usage(format!("the request {what}"));
    let mut value: Value = serde_json::from_slice(line).map_err(|_| wrong("is not one line of JSON"))?;
    let object = value.as_object_mut().ok_or_else(|| wrong("is not a JSON object"))?;
    match object.remove("v").as_ref().and_then(Value::as_u64) {
        Some(VERSION) => {}
        _ => return Err(wrong("is not of version 1: the daemon and `cutover` are of different versions")),
    }
    if let Some(selector) = object.get("selector") {
        let selector = selector.as_object().ok_or_else(|| wrong("has a selector that is no object"))?;
        if selector.keys().any(|key| !SELECTOR.contains(&key.as_str())) {
            return Err(wrong("selects by something that is not known here"));
        }
    }
    serde_json::from_value(value).map_err(|_| wrong("is not known here, or has keys that are not"))
}

#[cfg(test)]
mod tests {
    use super::{Ask, Decision, EmergencyOrder, LONGEST_LINE, Line, Refused, RefusedKind, decode_ask, encode_ask};
    use cutover_config::Selector;

    #[test]
    fn every_request_survives_the_wire() {
        let selector = Selector { policies: vec!["crm".into()], tags: vec!["prod".into()], ..Selector::default() };
        let policy = "crm".to_owned();
        let asks = [
            Ask::Hello {},
            Ask::Status { selector: Selector::default() },
            Ask::History { selector: selector.clone(), rotation: Some("rot_1".into()), limit: 5 },
            Ask::Verify {},
            Ask::WeighRotation { selector: selector.clone() },
            Ask::WeighDecision { policy: policy.clone(), decision: Decision::ConfirmRetire },
            Ask::Rotate { selector: selector.clone(), reason: Some("leaked".into()) },
            Ask::WeighEmergency { selector: selector.clone(), order: EmergencyOrder::CutFirst },
            Ask::Emergency { selector: selector.clone(), order: EmergencyOrder::DeployFirst, reason: None },
            Ask::Emergencies { id: Some("emg_1".into()) },
            Ask::Survey { selector, channels: true },
            Ask::TestAlert {},
            Ask::Decide { policy, rotation: None, decision: Decision::MintAgain, reason: None },
            Ask::ConfirmClock { reason: None },
            Ask::WeighSubmit { policy: "crm".into(), rotation: None },
            Ask::Submit {
                policy: "crm".into(),
                rotation: Some("rot_1".into()),
                id: Some("key_2".into()),
                old_expires_at: Some(cutover_api::Stamp(1_795_230_300_000)),
                reason: None,
                bytes: 44,
            },
            Ask::Suspend { selector: Selector::default(), until: cutover_api::Stamp(1), reason: None },
            Ask::Plan { selector: Selector::default(), until: Some("2027-01-01T00:00:00Z".into()) },
            Ask::Schedules {},
            Ask::Keys { provider: Some("bondi".into()), params: [("a".to_owned(), 1.into())].into() },
            Ask::LedgerCopy { to: "sqlite:/x".into() },
        ];
        for ask in asks {
            let bytes = encode_ask(&ask).unwrap();
            assert_eq!(bytes.last(), Some(&b'\n'));
            assert_eq!(decode_ask(&bytes).unwrap(), ask);
        }
    }

    #[test]
    fn what_is_not_known_is_refused_whole() {
        let cases = [
            ("", "is not one line of JSON"),
            ("\u{0}\u{1}garbage", "is not one line of JSON"),
            ("[]", "is not a JSON object"),
            ("{}", "is not of version 1"),
            (r#"{"v":2,"verb":"hello"}"#, "is not of version 1"),
            (r#"{"v":"1","verb":"hello"}"#, "is not of version 1"),
            (r#"{"v":1}"#, "is not known here"),
            (r#"{"v":1,"verb":"emergency"}"#, "is not known here"),
            (r#"{"v":1,"verb":"emergency","selector":{"all":true},"order":"both"}"#, "is not known here"),
            (r#"{"v":1,"verb":"rotate","selector":{"all":true},"emergency":true}"#, "has keys that are not"),
            (r#"{"v":1,"verb":"rotate","selector":{"all":true,"except":["crm"]}}"#, "selects by something"),
            (r#"{"v":1,"verb":"rotate","selector":"all"}"#, "selector that is no object"),
            (r#"{"v":1,"verb":"rotate"}"#, "is not known here"),
            (r#"{"v":1,"verb":"submit","policy":"crm","bytes":9,"value":"pa_live_x"}"#, "has keys that are not"),
            (r#"{"v":1,"verb":"submit","policy":"crm"}"#, "is not known here"),
            (r#"{"v":1,"verb":"confirm-clock","policy":"crm"}"#, "has keys that are not"),
        ];
        for (line, why) in cases {
            let refused = decode_ask(line.as_bytes()).expect_err(line);
            assert_eq!(refused.kind, RefusedKind::Usage);
            assert!(refused.reason.contains(why), "{line}: {}", refused.reason);
        }
    }

    #[test]
    fn lines_survive_and_too_long_ones_are_told() {
        let lines =
            [Line::Item(serde_json::json!({"a": 1})), Line::Done(serde_json::Value::Null), Line::Refused(Refused::guard("no"))];
        for line in lines {
            assert_eq!(Line::decode(&line.encode()).unwrap(), line);
        }
        let long = Line::Item("x".repeat(LONGEST_LINE).into());
        assert!(matches!(Line::decode(&long.encode()).unwrap(), Line::Refused(refused) if refused.kind == RefusedKind::Failed));
        assert!(Line::decode(br#"{"v":2,"done":1}"#).is_err());
        assert!(encode_ask(&Ask::Rotate { selector: Selector::default(), reason: Some("x".repeat(LONGEST_LINE)) }).is_err());
    }
}
