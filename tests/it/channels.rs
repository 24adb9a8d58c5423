//! Real mail and real HTTP to channels that refuse, hang, drop the line, and take a message without saying so; and a restart between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cutover::engine::WallClock;
use cutover_api::{Clock as _, Span, Stamp};
use cutover_fake::{CallKind, Fault, How};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::cast::{POLICY, Script, bondi};

/// What a channel does with one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mood {
    /// Says that it does not take it.
    Refuses,
    /// Says nothing until the sender gives up.
    Hangs,
    /// Ends the connection before the message.
    Drops,
    /// Takes the message and dies before it says so.
    DiesAfter,
    /// Takes it.
    Takes,
}

/// In this order, over and over: most tries fail, each in its way.
const MOODS: [Mood; 7] =
    [Mood::Refuses, Mood::DiesAfter, Mood::Hangs, Mood::Drops, Mood::DiesAfter, Mood::Refuses, Mood::Takes];

/// One channel's side of the story.
#[derive(Clone)]
struct Channel {
    clock: Arc<WallClock>,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    tries: usize,
    moods: BTreeMap<Mood, usize>,
    /// Messages by id: how often one came whole, and when the first was acknowledged.
    whole: BTreeMap<String, usize>,
    taken: BTreeMap<String, Stamp>,
}

impl Channel {
    fn new(clock: Arc<WallClock>) -> Self {
        Self { clock, book: Arc::default() }
    }

    fn mood(&self) -> Mood {
        let mut book = self.book.lock().expect("free");
        let mood = MOODS[book.tries % MOODS.len()];
        book.tries += 1;
        *book.moods.entry(mood).or_default() += 1;
        mood
    }

    /// A message came whole, and is acknowledged or not.
    fn came(&self, id: &str, mood: Mood) {
        let now = self.clock.now();
        let mut book = self.book.lock().expect("free");
        *book.whole.entry(id.to_owned()).or_default() += 1;
        if mood == Mood::Takes {
            book.taken.entry(id.to_owned()).or_insert(now);
        }
    }

    fn taken(&self) -> BTreeMap<String, Stamp> {
        self.book.lock().expect("free").taken.clone()
    }

    /// A mail server without TLS, as on a loopback.
    async fn mail(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let channel = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let channel = channel.clone();
                tokio::spawn(async move { channel.mail_session(stream).await });
            }
        });
        port
    }

    async fn mail_session(&self, stream: TcpStream) -> Option<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 here\r\n").await.ok()?;
        let (mut mood, mut id, mut data) = (None, String::new(), false);
        while let Some(line) = lines.next_line().await.ok()? {
            if data {
                if let Some(shown) = line.strip_prefix("X-Cutover-Alert: ") {
                    shown.trim().clone_into(&mut id);
                }
                if line == "." {
                    data = false;
                    let mood = mood.take().unwrap_or(Mood::Takes);
                    self.came(&id, mood);
                    match mood {
                        Mood::Takes => write.write_all(b"250 taken\r\n").await.ok()?,
                        _ => return None,
                    }
                }
                continue;
            }
            match line.get(..4).unwrap_or_default() {
                "MAIL" => {
                    let now = self.mood();
                    mood = Some(now);
                    match now {
                        Mood::Refuses => write.write_all(b"451 later\r\n").await.ok()?,
                        Mood::Hangs => std::future::pending::<()>().await,
                        Mood::Drops => return None,
                        Mood::DiesAfter | Mood::Takes => write.write_all(b"250 go on\r\n").await.ok()?,
                    }
                }
                "DATA" => {
                    data = true;
                    write.write_all(b"354 say it\r\n").await.ok()?;
                }
                "QUIT" => {
                    write.write_all(b"221 bye\r\n").await.ok()?;
                    return None;
                }
                _ => write.write_all(b"250 yes\r\n").await.ok()?,
            }
        }
        None
    }

    /// A receiver of webhooks, on the bytes: what it does to a connection no framework would do.
    async fn hook(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let channel = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let channel = channel.clone();
                tokio::spawn(async move { channel.hook_session(stream).await });
            }
        });
        port
    }

    async fn hook_session(&self, stream: TcpStream) -> Option<()> {
        use tokio::io::AsyncReadExt as _;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut length = 0;
        let mut line = String::new();
        while read.read_line(&mut line).await.ok()? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if length == 0 {
            // A look whether somebody is there.
            return write.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok();
        }
        let mood = self.mood();
        if mood == Mood::Drops {
            return None;
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).await.ok()?;
        let id = serde_json::from_slice::<serde_json::Value>(&body).ok()?["id"].as_str()?.to_owned();
        match mood {
            Mood::Refuses => write.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok(),
            Mood::Hangs => std::future::pending().await,
            Mood::DiesAfter => {
                self.came(&id, mood);
                None
            }
            Mood::Drops | Mood::Takes => {
                self.came(&id, Mood::Takes);
                write.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok()
            }
        }
    }
}

/// A lost reply, and a day of grace that runs out: each threshold is told on every channel before the key's end, although six of seven
/// tries fail and the daemon is stopped in the middle. What a channel took without saying so comes again, under the same id.
#[tokio::test(flavor = "multi_thread")]
async fn every_alert_arrives_in_time_on_channels_that_fail_most_of_the_time() {
    let mut cast = bondi(Script { speed: 1_800, ..Script::default() }).await;
    let (mail, hook) = (Channel::new(cast.house.clock.clone()), Channel::new(cast.house.clock.clone()));
    let (mail_port, hook_port) = (mail.mail().await, hook.hook().await);
    let channels = format!(
        "[notify.mail]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {mail_port}\ntls = \"none\"\nseverity = \"info\"\ntimeout = \"1s\"\n\
         from = \"cutover@example.com\"\nto = [\"ops@example.com\"]\n\
         [notify.hook]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:{hook_port}/x\"\nseverity = \"info\"\ntimeout = \"1s\"\n"
    );
    let config = cast.says("[provider.", &format!("{channels}[provider."));
    cast.provider.fail(Fault::once(CallKind::Mint, How::LoseReply));
    cast.house.start(&config).await;
    cast.house.rotate(POLICY).await;
    cast.house.held(POLICY, "doubt").await;
    let end = cast.house.status(POLICY).grace_end.as_deref().and_then(cutover::engine::times::parsed).expect("armed");
    cast.pass(Span::hours(6)).await;
    cast.house.stop().await;
    cast.house.start(&config).await;
    while cast.now() < end {
        cast.pass(Span::hours(1)).await;
    }
    // The house's own channel takes everything at once: what it was told before the end is what the others must have been told by then.
    let told: Vec<(String, String)> =
        cast.house.alerts().iter().map(|alert| (text(alert, "id"), text(alert, "kind"))).collect();
    let is_urgent = |kind: &str| kind == "doubt" || (kind.starts_with("grace") && kind != "grace-ended");
    let urgent: Vec<&(String, String)> = told.iter().filter(|(_, kind)| is_urgent(kind)).collect();
    assert!(urgent.len() >= 4, "{told:?}");
    for (name, channel) in [("mail", &mail), ("hook", &hook)] {
        let taken = channel.taken();
        for (at, (id, kind)) in urgent.iter().enumerate() {
            let later = urgent[at + 1..].iter().filter(|(_, of)| of == kind);
            let overtaken = later.into_iter().any(|(later, _)| in_time(&taken, later, end));
            assert!(in_time(&taken, id, end) || overtaken, "{name}: {kind} {id} was not told before {end:?}: {taken:?}");
        }
        let book = channel.book.lock().expect("free");
        let twice: usize = book.whole.values().map(|times| times - 1).sum();
        println!("{name}: {} tries {:?}; {} messages taken, {twice} came more than once", book.tries, book.moods, taken.len());
        assert_eq!(book.moods.len(), 5, "{name}: every mood was met: {:?}", book.moods);
        // Nothing comes twice but what was taken without a word.
        assert!(twice <= book.moods[&Mood::DiesAfter], "{name}: {twice} {:?}", book.whole);
    }
    assert_eq!(cast.provider.mints(), 1);
    cast.end().await;
}

fn in_time(taken: &BTreeMap<String, Stamp>, id: &str, end: Stamp) -> bool {
    taken.get(id).is_some_and(|at| *at < end)
}

fn text(alert: &serde_json::Value, field: &str) -> String {
    alert[field].as_str().unwrap_or_default().to_owned()
}
