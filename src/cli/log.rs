//! The log: standard error, for the journal.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
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

/// Starts the log. `quiet`: warnings only, unless `RUST_LOG` says otherwise.
pub fn start(quiet: bool) {
    let wanted = EnvFilter::builder()
        .with_default_directive(if quiet { LevelFilter::WARN } else { LevelFilter::INFO }.into())
        .from_env_lossy();
    let capped = filter::filter_fn(|event| *event.level() <= cap(event.target()));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = if in_journal { format.without_time().boxed() } else { format.boxed() };
    // Set without the bridge for the `log` crate: only what speaks `tracing` is heard, and that is capped above.
    let subscriber = Registry::default().with(layer.with_filter(wanted).with_filter(capped));
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        super::screen::tell("cutover: the log was started before");
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing::level_filters::LevelFilter;

    use super::cap;

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
}
