//! The calendar against a parser of somebody else's, and what people read.

use std::collections::BTreeSet;

use icalendar::parser::{read_calendar, unfold};

use super::calendar::calendar;
use super::{Plan, Source, in_words, until};
use crate::cli::screen::Screen;
use crate::control::wire::Planned;
use crate::engine::ahead::{Coming, What};

fn planned() -> Planned {
    Planned {
        environment: "prod, \"west\"; 1".into(),
        at: "2027-03-01T00:00:00Z".into(),
        until: "2028-03-01T00:00:00Z".into(),
        more: Vec::new(),
    }
}

fn rotation(policy: &str, at: &str, local: &str) -> Coming {
    Coming {
        what: What::Rotation,
        at: at.into(),
        local: local.into(),
        zone: "Europe/Berlin".into(),
        policy: Some(policy.into()),
        provider: Some("bondi".into()),
        rotation: None,
        nominal: Some(at.into()),
        moved: None,
        twice: false,
        overdue: false,
        assumed: false,
        detail: "writes vault:apps/crm, then 1 hook; old key: ended by the provider's clock".into(),
    }
}

fn three() -> Vec<Coming> {
    vec![
        Coming { moved: Some("clock-change".into()), ..rotation("crm", "2027-03-28T01:00:00Z", "2027-03-28T03:00:00+02:00") },
        Coming {
            what: What::ClockChange,
            policy: None,
            provider: None,
            detail: "the clocks change from UTC+01 to UTC+02".into(),
            ..rotation("", "2027-03-28T01:00:00Z", "2027-03-28T03:00:00+02:00")
        },
        Coming {
            assumed: true,
            detail: "ä€😀\\;,".repeat(40),
            ..rotation("erp", "2027-10-31T00:30:00Z", "2027-10-31T02:30:00+02:00")
        },
        Coming {
            what: What::GraceEnd,
            rotation: Some("rot_1".into()),
            detail: "phase observe".into(),
            ..rotation("pay", "2027-03-02T00:00:00Z", "2027-03-02T01:00:00+01:00")
        },
    ]
}

#[test]
fn the_calendar_is_read_by_a_parser_of_others() {
    let text = calendar(&planned(), &three());
    let unfolded = unfold(&text);
    let parsed = read_calendar(&unfolded).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let events: Vec<_> = parsed.components.iter().filter(|component| component.name == "VEVENT").collect();
    assert_eq!(events.len(), 3, "the clocks' change is no event");
    let value =
        |at: usize, name: &str| events[at].find_prop(name).unwrap_or_else(|| panic!("no {name}")).val.as_str().to_owned();
    assert_eq!(value(0, "DTSTART"), "20270328T010000Z");
    assert_eq!(value(0, "SUMMARY"), "Rotation of crm (bondi)");
    assert!(
        value(0, "DESCRIPTION").starts_with("2027-03-28 03:00 CEST (+02:00) Europe/Berlin\nwrites"),
        "{}",
        value(0, "DESCRIPTION")
    );
    assert_eq!(value(1, "STATUS"), "TENTATIVE");
    assert!(value(1, "DESCRIPTION").contains("ä€😀\\;,ä€😀"));
    assert_eq!(value(2, "SUMMARY"), "Grace of pay ends (bondi)");
    assert_eq!(value(0, "DTSTAMP"), "20270301T000000Z");
    let identities: BTreeSet<String> = (0..3).map(|at| value(at, "UID")).collect();
    assert_eq!(identities.len(), 3);
}

/// RFC 5545, 3.1: lines end with CRLF, none is longer than 75 bytes, and no letter is cut.
#[test]
fn every_line_is_folded_and_ended_as_the_standard_has_it() {
    let text = calendar(&planned(), &three());
    assert!(text.ends_with("END:VCALENDAR\r\n"));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains('\r')), "{text}");
    assert!(text.split("\r\n").any(|line| line.len() == 75 || line.len() == 74), "something was folded");
    for line in text.replace("\r\n ", "").split("\r\n").filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("no property: {line}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || b"-;=".contains(&byte)), "{line}");
    }
    for needed in ["VERSION:2.0", "PRODID:", "METHOD:PUBLISH", "NAME:cutover prod\\, \"west\"\\; 1"] {
        assert_eq!(text.matches(&format!("\r\n{needed}")).count(), 1, "{needed}\n{text}");
    }
}

#[test]
fn an_identity_stays_and_an_empty_plan_is_a_calendar_too() {
    let later = Planned { at: "2027-03-02T00:00:00Z".into(), ..planned() };
    let identities =
        |text: &str| text.lines().filter(|line| line.starts_with("UID")).map(ToOwned::to_owned).collect::<Vec<_>>();
    assert_eq!(identities(&calendar(&planned(), &three())), identities(&calendar(&later, &three())));
    // Spread by another jitter, or in another opening: the same date.
    let mut moved = three();
    moved[0].at = "2027-03-28T01:20:00Z".into();
    assert_eq!(identities(&calendar(&planned(), &three())), identities(&calendar(&planned(), &moved)));
    let empty = calendar(&planned(), &[]);
    let unfolded = unfold(&empty);
    assert_eq!(read_calendar(&unfolded).expect("a calendar").components.len(), 1, "at least one component is needed");
}

#[test]
fn the_table_is_golden() {
    let plan = Plan {
        source: Source::Daemon,
        note: None,
        planned: Planned { environment: "prod".into(), ..planned() },
        coming: three(),
    };
    let mut plan = plan;
    plan.coming[2].detail = String::new();
    let expected = "\
prod: 2 rotations of 2 policies until 2028-03-01 00:00 UTC
WHEN                            IN    POLICY         WHAT           NOTE
2027-03-28 03:00 CEST (+02:00)  27d   crm            rotation       the clocks skip its local time: this is the first moment after
2027-03-28 03:00 CEST (+02:00)  27d   Europe/Berlin  clocks change  the clocks change from UTC+01 to UTC+02
2027-10-31 02:30 CEST (+02:00)  244d  erp            rotation       if it is loaded now
2027-03-02 01:00 CET (+01:00)   24h   pay            grace ends     rot_1: phase observe
";
    let screen = Screen::plain();
    assert_eq!(screen.render(&in_words(&screen, &plan)), expected);
}

#[test]
fn until_is_a_day_or_a_time() {
    assert_eq!(until("2027-06-30").unwrap(), "2027-07-01T00:00:00Z");
    assert_eq!(until("2027-06-30T12:00:00+02:00").unwrap(), "2027-06-30T10:00:00Z");
    for wrong in ["", "tomorrow", "2027-06-31", "2027", "2027-06-30T12:00:00"] {
        assert!(until(wrong).is_err(), "{wrong}");
    }
}
