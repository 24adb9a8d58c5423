//! The facts of a history entry in words.

use cutover_api::Stamp;
use serde_json::{Map, Value};

use crate::engine::times::words;

/// The facts of an entry of this kind, in words; what is not known here is shown as `key: value`.
#[must_use]
pub fn in_words(kind: &str, facts: &str) -> String {
    let Ok(Value::Object(facts)) = serde_json::from_str::<Value>(facts) else { return String::new() };
    let text = |key: &str| facts.get(key).and_then(Value::as_str);
    let time =
        |key: &str| facts.get(key).and_then(Value::as_i64).filter(|at| Stamp(*at) != Stamp::NEVER).map(|at| words(Stamp(at)));
    let named = |key: &str| named(&facts, key);
    let layout = || text("layout").map(|layout| format!(" ({layout})")).unwrap_or_default();
    let said = match kind {
        "rotation-started" => {
            let by = if facts.get("scheduled") == Some(&Value::Bool(true)) { "by the schedule" } else { "by hand" };
            Some(text("reason").map_or_else(|| by.to_owned(), |reason| format!("{by}: {reason}")))
        }
        "preflight-passed" if facts.get("first") == Some(&Value::Bool(true)) => Some("the policy's first key".to_owned()),
        "preflight-passed" => Some("all is well".to_owned()),
        "mint-intended" => {
            Some(joined(Some("one call"), time("old_until").map(|until| format!("the old key lives at least until {until}"))))
        }
        "in-doubt" => Some(joined(text("detail"), time("decide_at").map(|at| format!("nothing is decided before {at}")))),
        "minted" => {
            let key = text("id").map_or_else(|| "key".to_owned(), |id| format!("key {id}"));
            let print = text("fingerprint").unwrap_or_default();
            Some(joined(Some(&format!("{key} {print}")), time("old_expires_at").map(|at| format!("the old one expires {at}"))))
        }
        "written" | "deployed" | "evidence" => {
            let key = if kind == "written" {
                "target"
            } else if kind == "deployed" {
                "hook"
            } else {
                "verify"
            };
            Some(format!("{}{}", named(key), layout()))
        }
        "hook-failed" => Some(joined(Some(&named("hook")), text("detail").map(ToOwned::to_owned))),
        "quiet" => time("since").map(|since| format!("no use of the old key since {since}")),
        "held" | "still-held" | "recovered" => facts.get("why").map(why),
        "grace-ending" => {
            let percent = facts.get("percent").and_then(Value::as_i64).unwrap_or_default();
            time("end").map(|end| format!("{percent}% of the grace has passed; it ends {end}"))
        }
        "grace-ended" => time("end").map(|end| format!("ended {end}")),
        "old-dead" => text("proof").map(|proof| format!("proof: {proof}")),
        "closed" => text("end").map(|end| super::wait::ended_in_words(end).to_owned()),
        "ordered" => Some(joined(text("order"), text("reason").map(|reason| format!("reason: {reason}")))),
        "renamed" => text("from").map(|from| format!("was {from}")),
        "overdue" => Some(joined(
            text("was_due").map(|at| format!("was due {at}")).as_deref(),
            text("runs_at").map(|at| format!("runs {at}")),
        )),
        "put-off" => Some(joined(
            text("was_due").map(|at| format!("was due {at}")).as_deref(),
            text("suspended_until").map(|at| format!("suspended until {at}")),
        )),
        "suspended" => Some(joined(
            text("until").map(|at| format!("no date starts a rotation until {at}")).as_deref(),
            text("reason").map(|reason| format!("reason: {reason}")),
        )),
        "suspension-lifted" => Some(joined(
            text("was_until").map(|at| format!("was suspended until {at}")).as_deref(),
            text("reason").map(|reason| format!("reason: {reason}")),
        )),
        "ended-by-hand" => Some("a person said that they have ended the old key".to_owned()),
        "reloaded" => facts.get("changes").and_then(Value::as_array).map(|changes| {
            let changes: Vec<&str> = changes.iter().filter_map(Value::as_str).collect();
            if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join("; ") }
        }),
        _ => None,
    };
    said.unwrap_or_else(|| plain(&facts))
}

fn joined(first: Option<&str>, second: Option<String>) -> String {
    first.map(ToOwned::to_owned).into_iter().chain(second).collect::<Vec<_>>().join("; ")
}

/// A place in the plan by its name, else by its number.
fn named(facts: &Map<String, Value>, key: &str) -> String {
    if let Some(name) = facts.get(&format!("{key}_name")).and_then(Value::as_str) {
        return name.to_owned();
    }
    facts.get(key).and_then(Value::as_u64).map(|place| format!("{key} {}", place + 1)).unwrap_or_default()
}

/// Why it is held: a label, or a label with its detail.
fn why(why: &Value) -> String {
    match why {
        Value::String(label) => label.clone(),
        Value::Object(map) => map
            .iter()
            .map(|(label, detail)| match detail {
                Value::String(detail) => format!("{label}: {detail}"),
                Value::Object(inner) => format!("{label}: {}", plain(inner)),
                other => format!("{label}: {other}"),
            })
            .collect(),
        other => other.to_string(),
    }
}

fn plain(facts: &Map<String, Value>) -> String {
    let shown = facts.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| match value {
        Value::String(text) => format!("{key}: {text}"),
        // Times of facts are milliseconds since 1970.
        Value::Number(number)
            if matches!(key.as_str(), "at" | "end" | "since") && number.as_i64().is_some_and(|n| n > 100_000_000_000) =>
        {
            format!("{key}: {}", words(Stamp(number.as_i64().unwrap_or_default())))
        }
        other => format!("{key}: {other}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn every_kind_reads_as_words() {
        let cases = [
            ("rotation-started", r#"{"reason":"leaked","scheduled":false}"#, "by hand: leaked"),
            ("rotation-started", r#"{"reason":null,"scheduled":true}"#, "by the schedule"),
            (
                "minted",
                r#"{"id":"def_43","fingerprint":"sha256:00","old_expires_at":1700000000000}"#,
                "key def_43 sha256:00; the old one expires 2023-11-14 22:13 UTC",
            ),
            ("minted", r#"{"id":null,"fingerprint":"sha256:00","old_expires_at":null}"#, "key sha256:00"),
            ("mint-intended", r#"{"intent":1,"old_until":9223372036854775807}"#, "one call"),
            ("written", r#"{"target":0,"layout":"during","target_name":"vault:apps/crm"}"#, "vault:apps/crm (during)"),
            ("deployed", r#"{"hook":1,"layout":"settled"}"#, "hook 2 (settled)"),
            ("held", r#"{"why":{"store":{"target":0,"detail":"sealed"}}}"#, "store: detail: sealed, target: 0"),
            ("held", r#"{"why":"doubt"}"#, "doubt"),
            (
                "held",
                r#"{"why":{"old-still-used":{"at":1700000000000,"from":null}}}"#,
                "old-still-used: at: 2023-11-14 22:13 UTC",
            ),
            ("old-dead", r#"{"proof":"refused"}"#, "proof: refused"),
            ("closed", r#"{"end":"first"}"#, "done: the first key is in use"),
            ("reloaded", r#"{"changes":[]}"#, "nothing has changed"),
            (
                "grace-ending",
                r#"{"percent":75,"end":1700000000000}"#,
                "75% of the grace has passed; it ends 2023-11-14 22:13 UTC",
            ),
            ("something-new", r#"{"b":2,"a":"x","c":null}"#, "a: x, b: 2"),
            ("cutover", "{}", ""),
            ("cutover", "not json", ""),
        ];
        for (kind, facts, expected) in cases {
            assert_eq!(in_words(kind, facts), expected, "{kind} {facts}");
        }
    }
}
