//! The last year of a policy as a strip: one unit of its width is a day.

use cutover_api::{Span, Stamp};

use super::when::{given, moment};
use crate::cli::words::counted;
use crate::engine::PolicyStatus;
use crate::engine::times::{timestamp, words};
use crate::web::{Chronicle, Run};

/// Days of a strip.
const DAYS: f64 = 366.0;
/// What happened is at least so wide, or nobody would see it.
const WIDTH: f64 = 3.0;

/// One span on the strip.
pub(super) struct Mark {
    /// Its class: `done`, `left`, `open` or `hold`.
    pub class: &'static str,
    /// Where it begins.
    pub x: String,
    /// How wide it is.
    pub width: String,
}

/// One strip.
pub(super) struct Strip {
    /// In words, for who does not see it.
    pub words: String,
    /// From the left to the right; holds lie over the rotation they belong to.
    pub marks: Vec<Mark>,
}

/// The strip of one policy; none, where the history could not be read.
pub(super) fn strip(status: &PolicyStatus, year: Result<&Chronicle, &String>, now: Stamp) -> Option<Strip> {
    let runs = year.ok()?.of(&status.policy);
    let mut marks = Vec::new();
    for run in runs {
        let end = run.closed.as_ref().map_or(now, |(at, _)| *at);
        marks.push(mark(class(run), run.started, end, now));
        let holds = run.holds.iter().map(|hold| mark("hold", hold.from, hold.to.unwrap_or(now), now));
        marks.extend(holds);
    }
    Some(Strip { words: in_words(runs, status), marks })
}

fn class(run: &Run) -> &'static str {
    match run.closed.as_ref().map(|(_, end)| end.as_str()) {
        None => "open",
        Some("abandoned") => "left",
        Some(_) => "done",
    }
}

fn in_words(runs: &[Run], status: &PolicyStatus) -> String {
    if runs.is_empty() {
        let before = given(status.rotated_at.as_ref()).map(|at| format!("; the last one {}", moment(at).words));
        return format!("No rotation in the last year{}", before.unwrap_or_default());
    }
    let held: usize = runs.iter().map(|run| run.holds.len()).sum();
    let held = match held {
        0 => String::new(),
        1 => ", held once".to_owned(),
        n => format!(", held {n} times"),
    };
    let last = runs.last().map(|run| match &run.closed {
        Some((at, end)) => format!("; the last one ended {} ({})", words(*at), ended(end)),
        None => format!("; one is under way since {}", words(run.started)),
    });
    format!("{} in the last year{held}{}", counted(runs.len(), "rotation", "rotations"), last.unwrap_or_default())
}

/// How a rotation ended, in a word or two.
pub(super) fn ended(end: &str) -> &str {
    match end {
        "done" => "done",
        "old-left" => "old key left",
        "first" => "first key",
        "abandoned" => "given up",
        other => other,
    }
}

fn mark(class: &'static str, from: Stamp, to: Stamp, now: Stamp) -> Mark {
    let left = place(from, now);
    let width = (place(to, now) - left).max(WIDTH);
    let left = left.min(DAYS - width);
    Mark { class, x: short(left), width: short(width) }
}

#[expect(clippy::cast_precision_loss, reason = "a strip is some hundred units wide")]
fn place(at: Stamp, now: Stamp) -> f64 {
    let ago = now.since(at).0 as f64 / Span::DAY.0 as f64;
    (DAYS - ago).clamp(0.0, DAYS)
}

/// A number with one digit behind the point, and none where it is zero: a page holds many of them.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(ToOwned::to_owned).unwrap_or(text)
}

/// Where on a strip the months of the last year begin.
pub(super) fn months(now: Stamp) -> Vec<String> {
    let today = timestamp(now).to_zoned(jiff::tz::TimeZone::UTC);
    let first = today.first_of_month().and_then(|first| first.start_of_day());
    let Ok(first) = first else { return Vec::new() };
    let month = |n: i64| {
        let begin = first.checked_sub(jiff::Span::new().try_months(n).ok()?).ok()?;
        let at = Stamp(begin.timestamp().as_millisecond());
        Some(short(place(at, now)))
    };
    (0..12).rev().filter_map(month).collect()
}

#[cfg(test)]
mod tests {
    use cutover_api::{Span, Stamp};

    use super::{mark, months};

    #[test]
    fn a_strip_is_a_year_and_nothing_leaves_it() {
        let now = Stamp(1_795_230_300_000);
        let ago = |days: i64| now.minus(Span::DAY.times(days));
        let at = |from, to| {
            let mark = mark("done", ago(from), ago(to), now);
            (mark.x, mark.width)
        };
        assert_eq!(at(366, 0), ("0".to_owned(), "366".to_owned()));
        assert_eq!(at(100, 90), ("266".to_owned(), "10".to_owned()));
        assert_eq!(at(0, 0), ("363".to_owned(), "3".to_owned()), "what happens now can be seen");
        assert_eq!(at(900, 400), ("0".to_owned(), "3".to_owned()));
        let months = months(now);
        assert_eq!(months.len(), 12);
        assert_eq!(months.last().map(String::as_str), Some("345.9"), "2026-11-01, as seen on 2026-11-21 at 03:05");
    }
}
