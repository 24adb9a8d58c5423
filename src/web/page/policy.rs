//! The page of one policy.

use askama::Template;
use cutover_ledger::HistoryRow;

use super::Frame;
use super::entry::Entry;
use super::when::{Moment, moment};
use super::year::{ended, months};
use crate::cli::facts;
use crate::cli::words::short;
use crate::engine::PolicyStatus;
use crate::web::{Chronicle, Detail, Picture, Run};

/// One rotation of the last year.
struct Past<'a> {
    rotation: &'a str,
    actor: &'a str,
    started: Moment,
    cutover: Option<Moment>,
    closed: Option<Moment>,
    ended: String,
    held: String,
}

/// One entry of the history.
struct Line<'a> {
    at: Moment,
    kind: &'a str,
    words: String,
    actor: &'a str,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct Page<'a> {
    frame: Frame<'a>,
    entry: Entry<'a>,
    detail: &'a Detail,
    past: Vec<Past<'a>>,
    history: Vec<Line<'a>>,
    no_history: Option<&'a String>,
    history_command: String,
    months: Vec<String>,
}

/// The page of one policy.
///
/// # Errors
/// The template could not be filled in.
pub(in crate::web) fn policy(
    picture: &Picture,
    status: &PolicyStatus,
    year: Result<&Chronicle, &String>,
    detail: &Detail,
) -> Result<String, askama::Error> {
    let runs = year.map(|year| year.of(&status.policy)).unwrap_or_default();
    let page = Page {
        frame: Frame::new(picture),
        entry: Entry::new(status, picture, year),
        detail,
        past: runs.iter().rev().map(|run| past(run, picture)).collect(),
        history: detail.history.as_deref().unwrap_or_default().iter().rev().map(line).collect(),
        no_history: detail.history.as_ref().err(),
        history_command: format!("cutover history {} --limit 0", status.policy),
        months: months(picture.at),
    };
    page.render()
}

fn past<'a>(run: &'a Run, picture: &Picture) -> Past<'a> {
    let holds: Vec<String> = run.holds.iter().map(|hold| short(hold.to.unwrap_or(picture.at).since(hold.from))).collect();
    let ended = run.closed.as_ref().map_or("under way", |(_, end)| ended(end));
    Past {
        rotation: &run.rotation,
        actor: &run.actor,
        started: moment(run.started),
        cutover: run.cutover.map(moment),
        closed: run.closed.as_ref().map(|(at, _)| moment(*at)),
        ended: if run.doubt { format!("{ended}, with a doubt") } else { ended.to_owned() },
        held: if holds.is_empty() { "never".to_owned() } else { holds.join(", ") },
    }
}

fn line(row: &HistoryRow) -> Line<'_> {
    Line {
        at: moment(row.entry.at),
        kind: &row.entry.kind,
        words: facts::in_words(&row.entry.kind, &row.entry.facts),
        actor: &row.entry.actor,
    }
}
