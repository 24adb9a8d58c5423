//! A plan as a calendar to subscribe to (RFC 5545): times in UTC, identities that stay.

use jiff::Timestamp;

use crate::control::wire::Planned;
use crate::engine::ahead::{Coming, What};

/// The longest content line, in bytes, without its end.
const LINE: usize = 75;

/// The calendar of a plan. The changes of clocks are no events: a calendar knows them itself.
pub fn calendar(planned: &Planned, coming: &[Coming]) -> String {
    let mut out = Lines::default();
    let name = format!("cutover {}", planned.environment);
    for (property, value) in [
        ("BEGIN", "VCALENDAR"),
        ("VERSION", "2.0"),
        ("PRODID", "-//cutover//cutover plan//EN"),
        ("CALSCALE", "GREGORIAN"),
        ("METHOD", "PUBLISH"),
        ("REFRESH-INTERVAL;VALUE=DURATION", "PT6H"),
        ("X-PUBLISHED-TTL", "PT6H"),
    ] {
        out.put(property, value);
    }
    out.text("NAME", &name);
    out.text("X-WR-CALNAME", &name);
    let stamp = utc(&planned.at);
    let events: Vec<&Coming> = coming.iter().filter(|one| one.what != What::ClockChange).collect();
    for one in &events {
        event(&mut out, planned, &stamp, one);
    }
    if events.is_empty() {
        // A calendar without any component is none.
        out.put("BEGIN", "VJOURNAL");
        out.text("UID", &identity(planned, "nothing", ""));
        out.put("DTSTAMP", &stamp);
        out.text("SUMMARY", &format!("No rotation is due until {}", planned.until));
        out.put("END", "VJOURNAL");
    }
    out.put("END", "VCALENDAR");
    out.0
}

fn event(out: &mut Lines, planned: &Planned, stamp: &str, one: &Coming) {
    let policy = one.policy.as_deref().unwrap_or_default();
    let provider = one.provider.as_deref().unwrap_or_default();
    out.put("BEGIN", "VEVENT");
    let (identity, summary) = match one.what {
        What::GraceEnd => {
            let rotation = one.rotation.as_deref().unwrap_or_default();
            (identity(planned, "grace-end", &format!("{policy}\n{rotation}")), format!("Grace of {policy} ends ({provider})"))
        }
        What::Rotation | What::ClockChange => {
            let date = one.nominal.as_deref().unwrap_or(&one.at);
            (identity(planned, "rotation", &format!("{policy}\n{date}")), format!("Rotation of {policy} ({provider})"))
        }
    };
    out.text("UID", &identity);
    out.put("DTSTAMP", stamp);
    out.put("DTSTART", &utc(&one.at));
    out.text("SUMMARY", &summary);
    let note = super::note(one);
    let detail = if one.what == What::Rotation { one.detail.as_str() } else { "" };
    let zone = if one.zone == "UTC" { String::new() } else { format!(" {}", one.zone) };
    let parts = [super::local(one) + &zone, detail.to_owned(), note, format!("Environment {}", planned.environment)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    out.text("DESCRIPTION", &parts.join("\n"));
    out.put("STATUS", if one.assumed { "TENTATIVE" } else { "CONFIRMED" });
    out.put("TRANSP", "TRANSPARENT");
    out.text("CATEGORIES", "cutover");
    out.put("END", "VEVENT");
}

/// The same for the same date of the same policy, however often and wherever it is written.
fn identity(planned: &Planned, what: &str, of: &str) -> String {
    let text = format!("{}\n{what}\n{of}", planned.environment);
    let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let print = print.as_ref().get(..16).map(hex::encode).unwrap_or_default();
    format!("{what}-{print}@cutover")
}

/// `20270328T010000Z` from RFC 3339.
fn utc(text: &str) -> String {
    let at = text.parse::<Timestamp>().unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Content lines, each ended and folded as the standard has it.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A property whose value needs no escaping.
    fn put(&mut self, property: &str, value: &str) {
        let mut room = LINE;
        for letter in format!("{property}:{value}").chars() {
            if letter.len_utf8() > room {
                self.0.push_str("\r\n ");
                room = LINE - 1;
            }
            self.0.push(letter);
            room -= letter.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    /// A property whose value is a text.
    fn text(&mut self, property: &str, value: &str) {
        let mut escaped = String::with_capacity(value.len());
        for letter in value.chars() {
            match letter {
                '\\' | ';' | ',' => escaped.extend(['\\', letter]),
                '\n' => escaped.push_str("\\n"),
                letter if letter.is_control() => escaped.push(' '),
                letter => escaped.push(letter),
            }
        }
        self.put(property, &escaped);
    }
}
