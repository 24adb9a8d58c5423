//! Where a secret could stand, and the search for it there.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// So many bytes of a form in a row are a hit: far more than chance gives, far fewer than a whole key.
const WINDOW: usize = 12;
/// What lists and pages may show of a key to know it by.
const SHOWN: usize = 12;

/// Bytes that left the daemon, by where they came out.
#[derive(Default)]
pub struct Sinks(BTreeMap<String, Vec<u8>>);

/// The windows of every form of every secret, with what to say of them. Never the secret itself.
pub struct Canaries(HashMap<[u8; WINDOW], String>);

impl Sinks {
    pub fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.entry(name.into()).or_default().extend(bytes.into());
    }

    /// Every file below a directory, but those that are meant to hold secrets.
    pub fn files(&mut self, directory: &Path, but: &dyn Fn(&str) -> bool) {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                self.files(&path, but);
            } else if path.is_file() && !but(&name) {
                self.add(format!("file {name}"), std::fs::read(&path).expect("readable"));
            }
        }
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where which secret stands, each place once.
    pub fn hits(&self, canaries: &Canaries) -> Vec<String> {
        let mut hits = Vec::new();
        for (name, bytes) in &self.0 {
            for window in bytes.windows(WINDOW) {
                let Some(what) = <&[u8; WINDOW]>::try_from(window).ok().and_then(|window| canaries.0.get(window)) else {
                    continue;
                };
                let hit = format!("{what} in {name}");
                if !hits.contains(&hit) {
                    hits.push(hit);
                }
            }
        }
        hits
    }

    pub fn total(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl Canaries {
    pub fn of(secrets: &[(String, String)]) -> Self {
        let mut windows = HashMap::new();
        for (name, secret) in secrets {
            for (form, bytes) in forms(&secret.as_bytes()[SHOWN.min(secret.len() / 2)..]) {
                for window in bytes.windows(WINDOW) {
                    let window = <[u8; WINDOW]>::try_from(window).expect("a window");
                    windows.insert(window, format!("{name} ({form})"));
                }
            }
        }
        Self(windows)
    }
}

/// Everything a value becomes on its way through programs.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(secret);
    let percent = |upper: bool| -> String {
        let byte = |byte: &u8| match (byte.is_ascii_alphanumeric() || b"-._~".contains(byte), upper) {
            (true, _) => char::from(*byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.iter().map(byte).collect()
    };
    let mut forms = vec![
        ("raw", secret.to_vec()),
        ("hex", hex::encode(secret).into_bytes()),
        ("HEX", hex::encode_upper(secret).into_bytes()),
        ("URL", percent(true).into_bytes()),
        ("url", percent(false).into_bytes()),
        ("JSON", serde_json::to_string(&text).expect("JSON").into_bytes()),
        ("JSON with escaped slashes", text.replace('/', "\\/").into_bytes()),
        ("HTML", text.replace('&', "&amp;").replace('+', "&#43;").replace('/', "&#47;").into_bytes()),
        ("quoted-printable", text.replace('=', "=3D").into_bytes()),
        ("reversed", secret.iter().rev().copied().collect()),
        ("debug bytes", secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes()),
        ("UTF-16", secret.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    for skip in 0..3 {
        let inner = secret.get(skip..).unwrap_or_default();
        // The last characters hold bits of what follows.
        let cut = |text: String| text.as_bytes()[..text.len().saturating_sub(2)].to_vec();
        forms.push(("base64", cut(STANDARD_NO_PAD.encode(inner))));
        forms.push(("base64url", cut(URL_SAFE_NO_PAD.encode(inner))));
    }
    forms
}

/// The search finds what is there: without this, "no hit" would say nothing.
#[test]
fn the_search_finds_a_secret_in_every_form() {
    let secret = "ck_hidden_k/Zq8+vL=0pXw3Rt6Yb1Nc4Md7";
    let canaries = Canaries::of(&[("the key".to_owned(), secret.to_owned())]);
    for (form, bytes) in forms(secret.as_bytes()) {
        let mut sinks = Sinks::default();
        sinks.add("there", [b"before ".as_slice(), &bytes, b" after"].concat());
        assert!(!sinks.hits(&canaries).is_empty(), "{form}");
    }
    for skip in 0..3 {
        let mut sinks = Sinks::default();
        sinks.add("there", STANDARD_NO_PAD.encode(format!("{}{secret}xyz", "a".repeat(skip))));
        assert!(!sinks.hits(&canaries).is_empty(), "base64 at {skip}");
    }
    let mut sinks = Sinks::default();
    sinks.add("elsewhere", "ck_hidden_k/ is what a list may show; sha256:5cb01a84a73c9dab is its fingerprint");
    assert_eq!(sinks.hits(&canaries), Vec::<String>::new());
}
