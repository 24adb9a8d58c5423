//! A ledger in memory, a clock by hand, channels that do as they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cutover_api::{Clock, Message, Notifier, NotifyError, Secret, Severity, Stamp};
use cutover_ledger::{
    AlertRow, Commit, CommitError, DeliveryResult, DeliveryRow, HistoryQuery, HistoryRow, KeyRow, Ledger, Loaded, RotationRow,
};

use crate::alert::{Channel, Channels, Composed, Courier};

pub struct Hand(AtomicI64);

impl Hand {
    pub fn at(stamp: Stamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(stamp.0)))
    }

    pub fn set(&self, stamp: Stamp) {
        self.0.store(stamp.0, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Stamp {
        Stamp(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Open,
    Accepted,
    Dropped,
}

#[derive(Default)]
pub struct Outbox {
    pub deliveries: Mutex<BTreeMap<(String, String), (DeliveryRow, Standing)>>,
    pub alerts: Mutex<BTreeMap<String, AlertRow>>,
    notes: Mutex<BTreeMap<String, String>>,
    pub full: AtomicBool,
}

impl Outbox {
    /// An alert that has waited for others with its cause already.
    pub async fn put(&self, composed: &Composed, channels: &[&str], at: Stamp) {
        self.put_fresh(composed, channels, at.minus(cutover_api::Span::seconds(5))).await;
    }

    /// An alert that has just come about.
    pub async fn put_fresh(&self, composed: &Composed, channels: &[&str], at: Stamp) {
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        let message = serde_json::to_string(&composed.message).expect("json");
        let alert = AlertRow { id: composed.message.id.clone(), at, message, channels };
        self.commit(Commit { alerts: vec![alert], ..Commit::default() }).await.expect("written");
    }

    pub fn standing(&self, alert: &str, channel: &str) -> (Standing, u32, Stamp) {
        let deliveries = self.deliveries.lock().expect("alive");
        let (row, standing) = &deliveries[&(alert.to_owned(), channel.to_owned())];
        (*standing, row.tries, row.not_before)
    }

    pub fn open(&self) -> usize {
        self.deliveries.lock().expect("alive").values().filter(|(_, standing)| *standing == Standing::Open).count()
    }
}

#[async_trait]
impl Ledger for Outbox {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(CommitError::Full(String::from("no room")));
        }
        let mut deliveries = self.deliveries.lock().expect("alive");
        let mut alerts = self.alerts.lock().expect("alive");
        for alert in commit.alerts {
            if alerts.contains_key(&alert.id) {
                continue;
            }
            for channel in &alert.channels {
                let row = DeliveryRow {
                    alert: alert.id.clone(),
                    channel: channel.clone(),
                    message: alert.message.clone(),
                    at: alert.at,
                    tries: 0,
                    not_before: Stamp(0),
                };
                deliveries.insert((alert.id.clone(), channel.clone()), (row, Standing::Open));
            }
            alerts.insert(alert.id.clone(), alert);
        }
        for write in commit.deliveries {
            let Some((row, standing)) = deliveries.get_mut(&(write.alert, write.channel)) else { continue };
            if *standing != Standing::Open {
                continue;
            }
            match write.result {
                DeliveryResult::Accepted(_) => *standing = Standing::Accepted,
                DeliveryResult::Dropped(_) => *standing = Standing::Dropped,
                DeliveryResult::Again(at) => {
                    row.tries += 1;
                    row.not_before = at;
                }
            }
        }
        self.notes.lock().expect("alive").extend(commit.notes);
        Ok(())
    }

    async fn load(&self) -> Result<Loaded, CommitError> {
        let notes = self.notes.lock().expect("alive").clone().into_iter().collect();
        Ok(Loaded { notes, ..Loaded::default() })
    }

    async fn keys_of(&self, _: &[String]) -> Result<Vec<KeyRow>, CommitError> {
        Ok(Vec::new())
    }
    async fn rotation(&self, _: &str) -> Result<Option<RotationRow>, CommitError> {
        Ok(None)
    }

    async fn unseal(&self, _: &str, _: &str) -> Result<Option<Secret>, CommitError> {
        panic!("a courier opens no secret")
    }

    async fn history(&self, _: &HistoryQuery) -> Result<Vec<HistoryRow>, CommitError> {
        Ok(Vec::new())
    }

    async fn verify_history(&self) -> Result<Result<u64, u64>, CommitError> {
        Ok(Ok(0))
    }

    async fn open_deliveries(&self) -> Result<Vec<DeliveryRow>, CommitError> {
        let deliveries = self.deliveries.lock().expect("alive");
        let mut open: Vec<DeliveryRow> =
            deliveries.values().filter(|(_, standing)| *standing == Standing::Open).map(|(row, _)| row.clone()).collect();
        open.sort_by_key(|row| row.at);
        Ok(open)
    }

    async fn room(&self) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Accepts,
    Down,
    Refuses,
    Hangs,
    /// Takes the message, and the connection ends before it says so.
    TakesAndDies,
}

pub struct Post {
    mood: Mutex<Mood>,
    /// A message with this in its id is never taken.
    poison: Mutex<Option<String>>,
    pub got: Mutex<Vec<Message>>,
    pub tried: Mutex<usize>,
}

impl Post {
    pub fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(mood), poison: Mutex::default(), got: Mutex::default(), tried: Mutex::default() })
    }

    pub fn mood(&self, mood: Mood) {
        *self.mood.lock().expect("alive") = mood;
    }

    pub fn poison(&self, id: &str) {
        *self.poison.lock().expect("alive") = Some(id.to_owned());
    }

    pub fn subjects(&self) -> Vec<String> {
        self.got.lock().expect("alive").iter().map(|message| message.subject.clone()).collect()
    }

    pub fn tried(&self) -> usize {
        *self.tried.lock().expect("alive")
    }
}

#[async_trait]
impl Notifier for Post {
    async fn greet(&self) -> Result<(), NotifyError> {
        Ok(())
    }

    async fn tell(&self, message: &Message) -> Result<(), NotifyError> {
        *self.tried.lock().expect("alive") += 1;
        let poisoned = self.poison.lock().expect("alive").as_ref().is_some_and(|id| message.id.contains(id.as_str()));
        let mood = if poisoned { Mood::Refuses } else { *self.mood.lock().expect("alive") };
        match mood {
            Mood::Accepts => self.got.lock().expect("alive").push(message.clone()),
            Mood::Down => {
                return Err(NotifyError { label: "connect", detail: String::from("nothing listens"), permanent: false });
            }
            Mood::Refuses => {
                return Err(NotifyError { label: "refused", detail: String::from("status 550"), permanent: true });
            }
            Mood::TakesAndDies => {
                self.got.lock().expect("alive").push(message.clone());
                return Err(NotifyError { label: "connect", detail: String::from("it may have been taken"), permanent: false });
            }
            Mood::Hangs => std::future::pending().await,
        }
        Ok(())
    }
}

/// A courier over these channels.
pub fn courier(outbox: &Arc<Outbox>, clock: &Arc<Hand>, posts: &[(&str, &Arc<Post>)]) -> Courier {
    let channel = |post: &Arc<Post>| {
        let notifier: Arc<dyn Notifier> = Arc::clone(post) as Arc<dyn Notifier>;
        Channel { severity: Severity::Warning, notifier }
    };
    let channels = Channels::new(posts.iter().map(|(name, post)| ((*name).to_owned(), channel(post))).collect());
    let ledger: Arc<dyn Ledger> = Arc::clone(outbox) as Arc<dyn Ledger>;
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    Courier::new(ledger, clock, move || channels.clone(), "prod")
}
