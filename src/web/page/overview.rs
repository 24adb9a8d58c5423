//! The page of all policies: what waits for a person first, then what is under way, then the rest.

use askama::Template;
use cutover_api::Stamp;

use super::Frame;
use super::asked::{Asked, Order, Show};
use super::entry::Entry;
use super::when::{Moment, given, moment};
use super::year::months;
use crate::cli::words::{counted, short};
use crate::engine::PolicyStatus;
use crate::web::{Chronicle, Picture};

/// Policies on a page.
const PAGE: usize = 50;
/// Problems of a refused configuration that are shown.
const PROBLEMS: usize = 20;

/// Something about the daemon itself that a person should know.
struct Notice {
    title: String,
    lines: Vec<String>,
    command: Option<&'static str>,
}

/// An emergency order with something left to do.
struct Emergency<'a> {
    id: &'a str,
    at: Moment,
    actor: &'a str,
    line: &'a str,
    command: String,
}

/// A way to narrow what is shown.
struct Tab {
    words: &'static str,
    count: String,
    href: String,
    current: bool,
}

/// A way to order what is shown.
struct Sort {
    href: String,
    aria: &'static str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    frame: Frame<'a>,
    title: String,
    emergencies: Vec<Emergency<'a>>,
    notices: Vec<Notice>,
    tabs: Vec<Tab>,
    asked: &'a Asked,
    refresh_href: String,
    held: Vec<Entry<'a>>,
    open: Vec<Entry<'a>>,
    idle: Vec<Entry<'a>>,
    counts: [String; 3],
    by_name: Sort,
    by_due: Sort,
    by_age: Sort,
    months: Vec<String>,
    shown: String,
    earlier: Option<String>,
    later: Option<String>,
}

/// The page of all policies.
///
/// # Errors
/// The template could not be filled in.
pub(in crate::web) fn overview(
    picture: &Picture,
    year: Result<&Chronicle, &String>,
    asked: &Asked,
) -> Result<String, askama::Error> {
    let found: Vec<&PolicyStatus> = picture.policies.iter().filter(|status| asked.finds(status)).collect();
    let count = |show: Show| found.iter().filter(|status| show.takes(status)).count();
    let tabs = Show::ALL.into_iter().map(|show| Tab {
        words: show.words(),
        count: grouped(count(show)),
        href: Asked { show, page: 1, ..asked.clone() }.href(),
        current: show == asked.show,
    });
    let tabs = tabs.collect();
    let counts = [Show::Held, Show::Open, Show::Idle].map(|show| grouped(count(show)));
    let mut chosen: Vec<&PolicyStatus> = found.into_iter().filter(|status| asked.show.takes(status)).collect();
    let total = chosen.len();
    sort(&mut chosen, asked.order);
    let last = total.div_ceil(PAGE).max(1);
    let page = asked.page.clamp(1, last);
    let from = (page - 1) * PAGE;
    let part = chosen.get(from..(from + PAGE).min(total)).unwrap_or_default();
    let entries = |show: Show| {
        part.iter().filter(|status| Show::of(status) == show).map(|status| Entry::new(status, picture, year)).collect()
    };
    let turn = |to: usize| Asked { page: to, ..asked.clone() }.href();
    let sorted = |order: Order| Sort {
        href: Asked { order, page: 1, ..asked.clone() }.href(),
        aria: if order == asked.order { "ascending" } else { "none" },
    };
    let mut frame = Frame::new(picture);
    frame.refresh = asked.refresh.then_some(60);
    let overview = Overview {
        title: title(picture),
        emergencies: emergencies(picture),
        notices: notices(picture, year.err()),
        tabs,
        asked,
        refresh_href: Asked { refresh: !asked.refresh, ..asked.clone() }.href(),
        held: entries(Show::Held),
        open: entries(Show::Open),
        idle: entries(Show::Idle),
        counts,
        by_name: sorted(Order::Name),
        by_due: sorted(Order::Due),
        by_age: sorted(Order::Age),
        months: months(picture.at),
        shown: shown(from, part.len(), total),
        earlier: (page > 1).then(|| turn(page - 1)),
        later: (page < last).then(|| turn(page + 1)),
        frame,
    };
    overview.render()
}

/// Held before under way before idle; the first two by the end of their grace, the rest as it was asked for.
fn sort(policies: &mut [&PolicyStatus], order: Order) {
    let time = |text: &Option<String>| given(text.as_ref()).unwrap_or(Stamp::NEVER);
    policies.sort_by_cached_key(|status| {
        let group = match Show::of(status) {
            Show::Held => 0,
            Show::Open => 1,
            Show::All | Show::Idle => 2,
        };
        let within = match order {
            _ if group < 2 => time(&status.grace_end).0,
            Order::Name => 0,
            Order::Due => time(&status.next_due).0,
            Order::Age => status.age_seconds.unwrap_or(-1).saturating_neg(),
        };
        (group, within, status.policy.clone())
    });
}

fn title(picture: &Picture) -> String {
    let held = picture.policies.iter().filter(|status| status.held.is_some()).count();
    let open = picture.policies.iter().filter(|status| Show::of(status) == Show::Open).count();
    match (held, open) {
        (0, 0) => "Nothing is under way".to_owned(),
        (0, open) => format!("{} under way, none is held", counted(open, "rotation", "rotations")),
        (1, _) => "1 policy waits for a person".to_owned(),
        (held, _) => format!("{} policies wait for a person", grouped(held)),
    }
}

fn shown(from: usize, part: usize, total: usize) -> String {
    match (part, total) {
        (_, 0) => "No policy fits.".to_owned(),
        (part, total) if part == total => counted(total, "policy", "policies"),
        (part, total) => format!("{} to {} of {} policies", grouped(from + 1), grouped(from + part), grouped(total)),
    }
}

/// A number that can be read: `3,000`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn emergencies(picture: &Picture) -> Vec<Emergency<'_>> {
    let shown = picture.emergencies.iter().map(|one| Emergency {
        id: &one.id,
        at: moment(one.at),
        actor: &one.actor,
        line: &one.line,
        command: format!("cutover status --emergency {}", one.id),
    });
    shown.collect()
}

fn notices(picture: &Picture, no_year: Option<&String>) -> Vec<Notice> {
    let mut notices = Vec::new();
    if picture.frozen {
        notices.push(Notice {
            title: "The clock has stepped: nothing starts and no key is ended".to_owned(),
            lines: vec![
                "It goes on by itself once the clock is as it was before. If the clock is right now, say so:".to_owned(),
            ],
            command: Some("cutover resume"),
        });
    }
    if let Some(error) = &picture.reload_error {
        let tried = given(Some(&error.at)).map_or_else(|| error.at.clone(), |at| moment(at).words);
        let mut lines: Vec<String> = error.problems.iter().take(PROBLEMS).cloned().collect();
        if error.problems.len() > PROBLEMS {
            lines.push(format!("and {} more", error.problems.len() - PROBLEMS));
        }
        notices.push(Notice {
            title: format!("The configuration on disk was refused {tried}; the one before is in force"),
            lines,
            command: Some("cutover check"),
        });
    }
    for (name, channel) in &picture.channels {
        let Some((since, detail)) = &channel.failing else { continue };
        let waiting = channel.waiting.map(|waiting| format!("; {} wait for it", counted(waiting, "alert", "alerts")));
        notices.push(Notice {
            title: format!("The alert channel {name} has accepted nothing for {}", short(picture.at.since(*since))),
            lines: vec![format!("It said last: {detail}{}", waiting.unwrap_or_default())],
            command: Some("cutover check --online --send-test-alert"),
        });
    }
    if let Some(error) = no_year {
        notices.push(Notice {
            title: "The last year is not shown: the history could not be read".to_owned(),
            lines: vec![error.clone()],
            command: None,
        });
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::{grouped, shown};

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([0, 7, 999, 1_000, 12_345, 1_000_000].map(grouped), ["0", "7", "999", "1,000", "12,345", "1,000,000"]);
        assert_eq!(shown(50, 50, 3_000), "51 to 100 of 3,000 policies");
        assert_eq!(shown(0, 1, 1), "1 policy");
        assert_eq!(shown(0, 0, 0), "No policy fits.");
    }
}
