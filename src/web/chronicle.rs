//! The rotations of the last year, read off the history little by little: what was read once is not read again.

use std::collections::BTreeMap;

use cutover_api::{Span, Stamp};
use cutover_ledger::{HistoryQuery, HistoryRow};

/// How far back it goes.
pub const YEAR: Span = Span::DAY.times(366);
/// At most so many entries are read at once: the newest.
const LIMIT: usize = 500_000;
/// The kinds of entries that make a rotation's outline.
const KINDS: [&str; 8] = ["rotation-started", "in-doubt", "held", "recovered", "ordered", "cutover", "closed", "renamed"];

/// A span in which a rotation was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub from: Stamp,
    /// Until when; `None` = it still is.
    pub to: Option<Stamp>,
}

/// One rotation in outline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub rotation: String,
    /// Who started it.
    pub actor: String,
    /// When.
    pub started: Stamp,
    /// When the new key was in use.
    pub cutover: Option<Stamp>,
    /// When it was closed, and how.
    pub closed: Option<(Stamp, String)>,
    /// When it waited for a person.
    pub holds: Vec<Hold>,
    /// Whether a mint was in doubt.
    pub doubt: bool,
}

/// The rotations of the last year, by policy, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Chronicle {
    runs: BTreeMap<String, Vec<Run>>,
    last: u64,
}

impl Chronicle {
    /// What is to be read next from the history.
    #[must_use]
    pub fn query(&self, now: Stamp) -> HistoryQuery {
        HistoryQuery {
            kinds: KINDS.iter().map(|kind| (*kind).to_owned()).collect(),
            since: Some(now.minus(YEAR)),
            after: self.last,
            limit: LIMIT,
            ..HistoryQuery::default()
        }
    }

    /// Takes in what was read, and forgets what was closed more than a year ago.
    pub fn take_in(&mut self, rows: Vec<HistoryRow>, now: Stamp) {
        for row in rows {
            self.last = self.last.max(row.seq);
            self.entry(row);
        }
        let begin = now.minus(YEAR);
        for runs in self.runs.values_mut() {
            runs.retain(|run| run.closed.as_ref().is_none_or(|(at, _)| *at >= begin));
        }
        self.runs.retain(|_, runs| !runs.is_empty());
    }

    /// The rotations of one policy.
    #[must_use]
    pub fn of(&self, policy: &str) -> &[Run] {
        self.runs.get(policy).map_or(&[], Vec::as_slice)
    }

    fn entry(&mut self, row: HistoryRow) {
        let entry = row.entry;
        let Some(policy) = entry.policy else { return };
        let facts: serde_json::Value = serde_json::from_str(&entry.facts).unwrap_or_default();
        if entry.kind == "renamed" {
            if let Some(runs) = facts["from"].as_str().and_then(|from| self.runs.remove(from)) {
                self.runs.entry(policy).or_default().extend(runs);
            }
            return;
        }
        let Some(rotation) = entry.rotation else { return };
        let runs = self.runs.entry(policy).or_default();
        let place = runs.iter().rposition(|run| run.rotation == rotation).unwrap_or_else(|| {
            // A rotation that began before the year is seen from its first entry within it.
            runs.push(Run { rotation, actor: entry.actor.clone(), started: entry.at, ..Run::default() });
            runs.len() - 1
        });
        let Some(run) = runs.get_mut(place) else { return };
        match entry.kind.as_str() {
            "in-doubt" => run.doubt = true,
            "held" => {
                let_go(run, entry.at);
                run.holds.push(Hold { from: entry.at, to: None });
            }
            "recovered" | "ordered" => let_go(run, entry.at),
            "cutover" => {
                let_go(run, entry.at);
                run.cutover = Some(entry.at);
            }
            "closed" => {
                let_go(run, entry.at);
                run.closed = Some((entry.at, facts["end"].as_str().unwrap_or("done").to_owned()));
            }
            _ => {}
        }
    }
}

fn let_go(run: &mut Run, at: Stamp) {
    if let Some(hold) = run.holds.last_mut().filter(|hold| hold.to.is_none()) {
        hold.to = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Span, Stamp};
    use cutover_ledger::{HistoryEntry, HistoryRow};

    use super::{Chronicle, Hold};

    const DAY: i64 = Span::DAY.0;

    fn row(seq: u64, day: i64, policy: &str, rotation: &str, kind: &str, facts: &str) -> HistoryRow {
        let entry = HistoryEntry {
            at: Stamp(day * DAY),
            policy: Some(policy.into()),
            rotation: Some(rotation.into()),
            actor: "schedule".into(),
            kind: kind.into(),
            facts: facts.into(),
        };
        HistoryRow { seq, entry, hash: String::new() }
    }

    #[test]
    fn entries_make_outlines_and_old_ones_go() {
        let mut chronicle = Chronicle::default();
        let rows = vec![
            row(1, 1, "a", "r1", "rotation-started", "{}"),
            row(2, 2, "a", "r1", "held", r#"{"why":"doubt"}"#),
            row(3, 4, "a", "r1", "ordered", r#"{"order":"resume"}"#),
            row(4, 5, "a", "r1", "cutover", "{}"),
            row(5, 6, "a", "r1", "closed", r#"{"end":"done"}"#),
            row(6, 100, "a", "r2", "rotation-started", "{}"),
            row(9, 101, "a", "r2", "held", r#"{"why":"doubt"}"#),
        ];
        chronicle.take_in(rows, Stamp(101 * DAY));
        let [first, second] = chronicle.of("a") else { panic!("two rotations") };
        assert_eq!(first.holds, [Hold { from: Stamp(2 * DAY), to: Some(Stamp(4 * DAY)) }]);
        assert_eq!((first.cutover, first.closed.clone()), (Some(Stamp(5 * DAY)), Some((Stamp(6 * DAY), "done".to_owned()))));
        assert_eq!(second.holds, [Hold { from: Stamp(101 * DAY), to: None }]);
        assert_eq!(chronicle.query(Stamp(101 * DAY)).after, 9);

        let renamed = row(10, 200, "b", "", "renamed", r#"{"from":"a"}"#);
        chronicle.take_in(vec![renamed], Stamp(400 * DAY));
        assert!(chronicle.of("a").is_empty());
        let left: Vec<_> = chronicle.of("b").iter().map(|run| run.rotation.as_str()).collect();
        assert_eq!(left, ["r2"], "what closed more than a year ago is forgotten, what is open stays");
    }
}
