//! The log: standard error, for the journal. What a verb has to say beside its answer is said to the person who typed it, in words.

use std::fmt;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{EnvFilter, Layer, Registry, filter};

/// What libraries may say at most, whatever `RUST_LOG` asks for: below these levels they print bodies and headers.
const CAPS: [(&str, LevelFilter); 13] = [
    ("vaultrs", LevelFilter::OFF),
    ("rustify", LevelFilter::OFF),
    ("tokio_cron_scheduler", LevelFilter::WARN),
    ("lettre", LevelFilter::WARN),
    ("sqlx", LevelFilter::WARN),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
    ("axum", LevelFilter::INFO),
    ("aws", LevelFilter::WARN),
];

/// The most that may be said under a target.
fn cap(target: &str) -> LevelFilter {
    let family = target.split("::").next().unwrap_or_default();
    let of = |name: &str| {
        family == name
            || (matches!(name, "aws" | "sqlx") && family.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
    };
    CAPS.iter().find(|(name, _)| of(name)).map_or(LevelFilter::TRACE, |(_, level)| *level)
}

/// One event, in words: its message, why, and what it is about.
#[derive(Default)]
struct Words {
    message: String,
    why: String,
    about: Vec<String>,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "detail" | "error" | "reason" | "note" | "fault" => self.why = format!(": {value:?}"),
            name => self.about.push(format!("{name} {value:?}")),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cutover: {}{}", self.message, self.why)?;
        if self.about.is_empty() { Ok(()) } else { write!(f, " ({})", self.about.join(", ")) }
    }
}

/// Tells warnings of our own to the person who typed a verb. Libraries speak under `RUST_LOG` only.
struct ToAPerson;

impl<S: Subscriber> Layer<S> for ToAPerson {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        super::screen::tell(&words.to_string());
    }
}

/// Starts the log. `for_a_person`: a verb's warnings in words, unless `RUST_LOG` asks for the log itself.
pub fn start(for_a_person: bool) {
    if for_a_person && std::env::var_os("RUST_LOG").is_none() {
        let ours = filter::filter_fn(|event| *event.level() <= LevelFilter::WARN && event.target().starts_with("cutover"));
        // The hint keeps libraries from putting texts together that nobody reads.
        return set(Registry::default().with(ToAPerson.with_filter(ours.with_max_level_hint(LevelFilter::WARN))));
    }
    let wanted = EnvFilter::builder()
        .with_default_directive(if for_a_person { LevelFilter::WARN } else { LevelFilter::INFO }.into())
        .from_env_lossy();
    let capped = filter::filter_fn(|event| *event.level() <= cap(event.target()));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = if in_journal { format.without_time().boxed() } else { format.boxed() };
    // Set without the bridge for the `log` crate: only what speaks `tracing` is heard, and that is capped above.
    set(Registry::default().with(layer.with_filter(wanted).with_filter(capped)));
}

fn set(subscriber: impl Subscriber + Send + Sync) {
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        super::screen::tell("cutover: the log was started before");
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing::level_filters::LevelFilter;

    use super::{Words, cap};

    #[test]
    fn no_library_that_prints_bodies_is_ever_heard_in_detail() {
        for target in ["vaultrs", "vaultrs::api", "rustify::clients::reqwest"] {
            assert_eq!(cap(target), LevelFilter::OFF, "{target}");
        }
        for target in [
            "hyper::proto::h1",
            "hyper_util::client",
            "reqwest::connect",
            "h2::codec",
            "aws_smithy_runtime::client",
            "sqlx_core::query",
        ] {
            assert!(Level::DEBUG > cap(target), "{target}");
        }
        assert_eq!(cap("cutover::engine"), LevelFilter::TRACE);
        assert_eq!(cap("awsome"), LevelFilter::TRACE, "only the family aws_*");
    }

    /// `status` and `abandon` printed lines of the log, with times and module paths, between what they had to say.
    #[test]
    fn a_warning_is_told_to_a_person_in_words() {
        use std::sync::{Arc, Mutex};

        use tracing_subscriber::layer::SubscriberExt as _;
        struct Kept(Arc<Mutex<Vec<String>>>);
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Kept {
            fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                let mut words = Words::default();
                event.record(&mut words);
                self.0.lock().unwrap().push(words.to_string());
            }
        }
        let kept = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(tracing_subscriber::Registry::default().with(Kept(Arc::clone(&kept))), || {
            tracing::warn!(policy = "crm", verify = 2, detail = "no answer", "a verify did not answer");
            tracing::warn!(error = %std::io::Error::other("full"), "a try is not written");
        });
        let expected =
            ["cutover: a verify did not answer: no answer (policy crm, verify 2)", "cutover: a try is not written: full"];
        assert_eq!(*kept.lock().unwrap(), expected);
    }
}
