//! The whole story, played in process.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::play;
use super::voice::Voice;

/// A buffer that is written in one place and read in another.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A word that begins like a key and is longer than the prefix that lists show.
fn looks_like_a_key(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    ["pa_live_", "bnd_tok_", "wrapd_sk_", "cutover-seal-v1", "eyJ"].iter().any(|start| word.contains(start)) && word.len() > 16
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_holds_what_it_promises() {
    let page = Page::default();
    let mut voice = Voice::into(Box::new(page.clone()));
    let summary = play(&mut voice).await.expect("the story is told to its end");
    summary.tell(&mut voice).expect("told");
    let json = summary.to_json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["refused"], 0);
    assert!(json["calls"].as_u64().expect("a number") > 100, "{json}");
    assert_eq!(json["scenes"].as_array().map(Vec::len), Some(3));
    for scene in json["scenes"].as_array().expect("scenes") {
        assert_eq!(scene["ended"], "done", "{scene}");
        assert_eq!(scene["failed"], 0, "{scene}");
    }
    assert_eq!(json["scenes"][0]["held"], serde_json::json!([]));
    assert_eq!(json["scenes"][1]["held"], serde_json::json!(["doubt"]));
    assert_eq!(json["scenes"][2]["held"], serde_json::json!(["hook"]));
    assert!(json["scenes"][1]["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()), "{json}");
    let kinds = json["scenes"][2]["alerts"].as_array().expect("alerts");
    assert!(kinds.iter().any(|kind| kind == "grace-ending"), "{json}");

    let text = String::from_utf8(page.0.lock().expect("written").clone()).expect("text");
    assert!(text.contains("--mint-again --rotation rot_"), "the alert lists the commands:\n{text}");
    let leak = text.split_whitespace().find(|word| looks_like_a_key(word));
    assert!(leak.is_none(), "a secret was told, beginning {:?}", leak.map(|word| &word[..12]));
}
