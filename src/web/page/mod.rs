//! The status page: what is shown of a [`Picture`], and in which words. The templates escape everything; nothing is escaped by hand.

mod asked;
mod entry;
mod overview;
mod policy;
mod when;
mod year;

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) use asked::Asked;
pub(super) use overview::overview;
pub(super) use policy::policy;
use when::{Moment, moment};

use super::Picture;

/// The one style sheet; it stands in the page.
const STYLE: &str = include_str!("../templates/style.css");

/// What a `style-src` lets in: this style sheet and no other.
pub(super) fn style_hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        format!("sha256-{}", STANDARD.encode(digest.as_ref()))
    });
    &HASH
}

/// What every page has.
struct Frame<'a> {
    style: &'static str,
    environment: &'a str,
    version: &'a str,
    now: Moment,
    /// The colour of the icon: how things stand, seen in a row of tabs.
    icon: &'static str,
    /// Seconds after which the browser is to ask again, where the reader asked for that.
    refresh: Option<u32>,
}

impl<'a> Frame<'a> {
    fn new(picture: &'a Picture) -> Self {
        let held = !picture.emergencies.is_empty() || picture.policies.iter().any(|status| status.held.is_some());
        let icon = match (held || picture.frozen, picture.reload_error.is_some()) {
            (true, _) => "b3261e",
            (false, true) => "b26a00",
            (false, false) => "1b6e3c",
        };
        Self {
            style: STYLE,
            environment: &picture.environment,
            version: &picture.version,
            now: moment(picture.at),
            icon,
            refresh: None,
        }
    }
}

#[derive(Template)]
#[template(path = "nothing.html")]
struct Nothing<'a> {
    frame: Frame<'a>,
}

/// There is no such page.
///
/// # Errors
/// The template could not be filled in.
pub(super) fn nothing(picture: &Picture) -> Result<String, askama::Error> {
    Nothing { frame: Frame::new(picture) }.render()
}
