//! What a screen reader, a keyboard and tired eyes need, as far as the markup and the style sheet tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Site;
use crate::stage;

/// Elements that have no end.
const VOID: [&str; 4] = ["meta", "link", "input", "br"];
const STYLE: &str = include_str!("../../src/web/templates/style.css");

/// One element as it begins.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    /// The text up to the next element.
    text: String,
    inside: Vec<String>,
}

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Reads a page; every element that begins must end where it should.
fn elements(page: &str) -> Vec<Element> {
    let (before, rest) = page.split_once("<style>").expect("a style");
    let page = format!("{before}{}", rest.split_once("</style>").expect("a style").1);
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("an end of the tag");
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "ends where another began: {part}");
            continue;
        }
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        let pieces: Vec<&str> = tag[name.len()..].split('"').collect();
        let attributes =
            pieces.chunks_exact(2).map(|pair| (pair[0].trim().trim_end_matches('=').to_owned(), pair[1].to_owned()));
        found.push(Element {
            name: name.clone(),
            attributes: attributes.collect(),
            text: text.trim().to_owned(),
            inside: open.clone(),
        });
        if !VOID.contains(&name.as_str()) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never ended: {open:?}");
    found
}

async fn pages() -> Vec<(String, Vec<Element>)> {
    let mut pages = Vec::new();
    for stage in [stage::five(), stage::three(), stage::thousands()] {
        let first = stage.picture.policies[0].policy.clone();
        let site = Site::of(stage).await;
        for path in ["/".to_owned(), "/policy/pay".to_owned(), format!("/policy/{first}"), "/?q=none-such".to_owned()] {
            pages.push((path.clone(), elements(&site.get(&path).await.body)));
        }
    }
    pages
}

#[tokio::test]
async fn every_page_says_its_language_and_its_name() {
    for (path, page) in pages().await {
        let one = |name: &str| page.iter().find(|element| element.name == name).unwrap_or_else(|| panic!("{path}: {name}"));
        assert_eq!(one("html").get("lang"), Some("en"), "{path}");
        assert!(one("title").text.len() > 10, "{path}");
        for name in ["main", "header", "footer", "h1"] {
            assert_eq!(page.iter().filter(|element| element.name == name).count(), 1, "{path}: {name}");
        }
        assert!(page.iter().any(|element| element.get("href") == Some("#main")), "{path}: a way past the head");
    }
}

#[tokio::test]
async fn headings_go_down_one_level_at_a_time() {
    for (path, page) in pages().await {
        let levels = page.iter().filter_map(|element| element.name.strip_prefix('h')?.parse::<u8>().ok());
        let mut before = 0;
        for level in levels {
            assert!(level <= before + 1, "{path}: h{level} after h{before}");
            before = level;
        }
    }
}

#[tokio::test]
async fn tables_regions_and_controls_have_names() {
    for (path, page) in pages().await {
        let ids: Vec<&str> = page.iter().filter_map(|element| element.get("id")).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{path}: an id comes twice");
        for element in &page {
            let named = element.get("aria-label").is_some_and(|label| !label.is_empty())
                || element.get("aria-labelledby").is_some_and(|id| ids.contains(&id));
            match element.name.as_str() {
                "th" => assert!(matches!(element.get("scope"), Some("col" | "row")), "{path}: {element:?}"),
                "table" | "tr" | "td" => assert!(element.get("role").is_some(), "{path}: {element:?}"),
                "section" | "nav" => assert!(named, "{path}: {element:?}"),
                "meter" => assert!(named && !element.text.is_empty(), "{path}: {element:?}"),
                "svg" => {
                    let hidden = element.get("aria-hidden") == Some("true");
                    assert!(hidden || element.get("role") == Some("img") && named, "{path}: {element:?}");
                }
                "input" if element.get("type") != Some("hidden") => {
                    let label = page.iter().find(|label| label.name == "label" && label.get("for") == element.get("id"));
                    assert!(label.is_some_and(|label| !label.text.is_empty()), "{path}: {element:?}");
                }
                "script" | "img" | "iframe" => panic!("{path}: {element:?}"),
                _ => {}
            }
            assert!(!element.attributes.keys().any(|key| key == "style" || key.starts_with("on")), "{path}: {element:?}");
            assert!(!element.attributes.values().any(|value| value.starts_with("http:") || value.starts_with("https:")));
            assert!(element.name != "li" || matches!(element.inside.last().map(String::as_str), Some("ul" | "ol")));
        }
    }
}

/// The relative luminance of `#rgb` or `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let digits = colour.trim_start_matches('#');
    let digits: String = if digits.len() == 3 { digits.chars().flat_map(|c| [c, c]).collect() } else { digits.to_owned() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).expect("a colour")) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn colours_differ_enough_in_light_and_dark() {
    let palettes: Vec<BTreeMap<&str, &str>> = STYLE
        .match_indices(":root{")
        .map(|(at, _)| {
            let inside = STYLE[at + 6..].split('}').next().expect("an end");
            inside.split(';').filter_map(|pair| pair.trim_start_matches("--").split_once(':')).collect()
        })
        .collect();
    assert_eq!(palettes.len(), 2, "one for light, one for dark");
    for palette in palettes {
        for text in ["fg", "soft", "bad", "warn", "good", "link"] {
            for under in ["bg", "card"] {
                let found = contrast(palette[text], palette[under]);
                assert!(found >= 4.5, "{text} on {under}: {found:.2}");
            }
        }
        assert!(contrast(palette["fg"], palette["code"]) >= 4.5 && contrast(palette["fg"], palette["track"]) >= 4.5);
        assert!(contrast(palette["bg"], palette["link"]) >= 4.5 && contrast(palette["bg"], palette["bad"]) >= 4.5);
        // What is drawn, not written.
        for shape in ["good", "link", "bad", "soft", "warn"] {
            assert!(contrast(palette[shape], palette["track"]) >= 3.0, "{shape} on its track");
        }
    }
}
