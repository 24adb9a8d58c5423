//! A notifier that collects what it is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cutover_api::{Message, Notifier, NotifyError};

use crate::fault::{Fault, Gate, Kind, Script};

/// The kinds of calls to a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyCall {
    /// [`Notifier::greet`].
    Greet,
    /// [`Notifier::tell`].
    Tell,
    /// Both.
    Any,
}

impl Kind for NotifyCall {
    fn covers(self, call: Self) -> bool {
        self == Self::Any || self == call
    }
}

/// What goes wrong with a notifier.
#[derive(Clone, Debug)]
pub enum NotifyHow {
    /// Not accepted.
    Refuse {
        /// Trying again later cannot help.
        permanent: bool,
    },
    /// Accepted, but the caller is told `timeout`: the message arrives twice when it is told again.
    LoseReply,
    /// Waits at the gate, then goes on as usual.
    Hang(Gate),
}

#[derive(Default)]
struct Inner {
    script: Script<NotifyCall, NotifyHow>,
    messages: Vec<Message>,
    greets: u64,
    tells: u64,
}

/// Collects messages. Copies share them.
#[derive(Clone, Default)]
pub struct FakeNotifier {
    inner: Arc<Mutex<Inner>>,
}

impl FakeNotifier {
    /// One that accepts everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault to the script.
    pub fn fail(&self, fault: Fault<NotifyCall, NotifyHow>) {
        self.lock().script.add(fault);
    }

    /// Empties the script.
    pub fn mend(&self) {
        self.lock().script.clear();
    }

    /// Every message it has accepted, in order, repeats included.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// How often it was greeted.
    #[must_use]
    pub fn greets(&self) -> u64 {
        self.lock().greets
    }

    /// How often it was told something, accepted or not.
    #[must_use]
    pub fn tells(&self) -> u64 {
        self.lock().tells
    }

    async fn admit(&self, call: NotifyCall) -> Result<bool, NotifyError> {
        let how = {
            let mut inner = self.lock();
            match call {
                NotifyCall::Greet => inner.greets += 1,
                _ => inner.tells += 1,
            }
            inner.script.next(call)
        };
        match how {
            None => Ok(true),
            Some(NotifyHow::LoseReply) => Ok(false),
            Some(NotifyHow::Hang(gate)) => {
                gate.pass().await;
                Ok(true)
            }
            Some(NotifyHow::Refuse { permanent }) => {
                let detail = "the scripted channel does not accept".to_owned();
                Err(NotifyError { label: "refused", detail, permanent })
            }
        }
    }
}

fn lost() -> NotifyError {
    NotifyError { label: "timeout", detail: "the scripted channel's reply was lost".to_owned(), permanent: false }
}

#[async_trait]
impl Notifier for FakeNotifier {
    async fn greet(&self) -> Result<(), NotifyError> {
        if self.admit(NotifyCall::Greet).await? { Ok(()) } else { Err(lost()) }
    }

    async fn tell(&self, message: &Message) -> Result<(), NotifyError> {
        let answered = self.admit(NotifyCall::Tell).await?;
        self.lock().messages.push(message.clone());
        if answered { Ok(()) } else { Err(lost()) }
    }
}
