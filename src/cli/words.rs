//! Times and spans as people read them.

use cutover_api::{Span, Stamp};
use cutover_schedule::Planned;
use jiff::Timestamp;

use crate::engine::times::{stamp, words};

/// A stamp from RFC 3339, as status documents carry it.
#[must_use]
pub fn read(text: &str) -> Option<Stamp> {
    text.parse::<Timestamp>().ok().map(stamp)
}

/// `2026-11-21 14:05 UTC` from RFC 3339; anything else as it is.
#[must_use]
pub fn time(text: &str) -> String {
    read(text).map_or_else(|| text.to_owned(), words)
}

/// A span in its largest unit: `94d`, `3h`, `12m`, `40s`.
#[must_use]
pub fn short(span: Span) -> String {
    let seconds = span.as_seconds().max(0);
    match seconds {
        172_800.. => format!("{}d", seconds / 86_400),
        7_200.. => format!("{}h", seconds / 3_600),
        120.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A time seen from now: `in 12d (2026-12-03)`, `3h ago (2026-11-21 09:00 UTC)`.
#[must_use]
pub fn seen_from(now: Stamp, text: &str) -> String {
    let Some(at) = read(text) else { return text.to_owned() };
    if at > now {
        format!("in {} ({})", short(at.since(now)), words(at))
    } else {
        format!("{} ago ({})", short(now.since(at)), words(at))
    }
}

/// A date of the plan in its policy's zone.
#[must_use]
pub fn planned(planned: &Planned) -> String {
    planned.local.strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// A TOML basic string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// As a shell takes it for one word.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// `1 policy`, `3 policies`.
#[must_use]
pub fn counted(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Span, Stamp};

    use super::{counted, quoted, read, seen_from, shell_word, short, time};

    #[test]
    fn a_text_is_quoted_as_toml_has_it() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}"), "\"a\\\"b\\\\c\\u000A\\u007F\"");
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(shell_word("/srv/a-b_c.env"), "/srv/a-b_c.env");
        assert_eq!(shell_word("/srv/it's $HOME"), "'/srv/it'\\''s $HOME'");
    }

    #[test]
    fn spans_are_short_and_times_whole() {
        let cases = [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_799, "47h"), (172_800, "2d")];
        for (seconds, text) in cases {
            assert_eq!(short(Span::seconds(seconds)), text);
        }
        let now = read("2026-11-21T12:00:00Z").unwrap_or(Stamp(0));
        assert_eq!(seen_from(now, "2026-12-03T03:00:00Z"), "in 11d (2026-12-03 03:00 UTC)");
        assert_eq!(seen_from(now, "2026-11-21T09:00:00Z"), "3h ago (2026-11-21 09:00 UTC)");
        assert_eq!(time("not a time"), "not a time");
        assert_eq!(counted(1, "policy", "policies"), "1 policy");
        assert_eq!(counted(0, "policy", "policies"), "0 policies");
    }
}
