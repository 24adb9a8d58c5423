//! A hook and a witness that do what a script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Again, Cause, Class, Hook, HookVars, Outcome, Refusal, Sighting, Witness, WitnessVars};

use crate::fault::{Fault, Gate, Kind, Script};

/// The kinds of calls to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookCall {
    /// [`Hook::present`].
    Present,
    /// [`Hook::run`].
    Run,
}

impl Kind for HookCall {
    fn covers(self, call: Self) -> bool {
        self == call
    }
}

/// What goes wrong with a hook. "Ran" = the closure of [`FakeHook::on_run`] was called.
#[derive(Clone, Debug)]
pub enum HookHow {
    /// Refused; it did not run.
    Fail,
    /// Refused although it ran.
    FailAfter,
    /// Unknown (`killed`).
    Unknown {
        /// It ran.
        ran: bool,
    },
    /// Waits at the gate, then is unknown (`timeout`).
    Hang {
        /// It ran, before the wait.
        ran: bool,
        /// Ends the wait.
        gate: Gate,
    },
    /// Done, but it did not run.
    Lie,
}

type OnRun = Arc<dyn Fn(&HookVars) + Send + Sync>;

#[derive(Default)]
struct HookInner {
    script: Script<HookCall, HookHow>,
    calls: Vec<(HookVars, Again)>,
    ran: u64,
}

/// A hook that counts its runs. Copies are the same hook.
#[derive(Clone)]
pub struct FakeHook {
    inner: Arc<Mutex<HookInner>>,
    on_run: OnRun,
    timeout: Duration,
    repeatable: bool,
}

impl Default for FakeHook {
    fn default() -> Self {
        Self::on_run(|_| {})
    }
}

impl FakeHook {
    /// A repeatable hook with a time-out of a minute that calls this closure whenever it really runs: there a consumer restarts.
    #[must_use]
    pub fn on_run(on_run: impl Fn(&HookVars) + Send + Sync + 'static) -> Self {
        Self { inner: Arc::default(), on_run: Arc::new(on_run), timeout: Duration::from_secs(60), repeatable: true }
    }

    /// The same with another time-out to declare; it is not enforced.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, repeatable after an unknown start or not.
    #[must_use]
    pub const fn with_repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    fn lock(&self) -> MutexGuard<'_, HookInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault to the script.
    pub fn fail(&self, fault: Fault<HookCall, HookHow>) {
        self.lock().script.add(fault);
    }

    /// Empties the script.
    pub fn mend(&self) {
        self.lock().script.clear();
    }

    /// Every call of `run`, whatever became of it.
    #[must_use]
    pub fn calls(&self) -> Vec<(HookVars, Again)> {
        self.lock().calls.clone()
    }

    /// How many calls had exactly these variables.
    #[must_use]
    pub fn calls_with(&self, vars: &HookVars) -> usize {
        self.lock().calls.iter().filter(|(known, _)| known == vars).count()
    }

    /// How often it really ran.
    #[must_use]
    pub fn ran(&self) -> u64 {
        self.lock().ran
    }

    fn really(&self, vars: &HookVars) {
        self.lock().ran += 1;
        // Not under the lock: the closure may look at this hook.
        (self.on_run)(vars);
    }
}

#[async_trait]
impl Hook for FakeHook {
    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn repeatable(&self) -> bool {
        self.repeatable
    }

    async fn present(&self) -> Result<(), Refusal> {
        match self.lock().script.next(HookCall::Present) {
            None => Ok(()),
            Some(_) => Err(Refusal::new(Class::Unsent, "redeploy").hint("the scripted hook is not there")),
        }
    }

    async fn run(&self, vars: &HookVars, again: Again) -> Outcome<()> {
        let how = {
            let mut inner = self.lock();
            inner.calls.push((vars.clone(), again));
            inner.script.next(HookCall::Run)
        };
        let refused = || Outcome::Refused(Refusal::new(Class::Refused, "redeploy").status(1));
        match how {
            None => self.really(vars),
            Some(HookHow::Lie) => {}
            Some(HookHow::Fail) => return refused(),
            Some(HookHow::FailAfter) => {
                self.really(vars);
                return refused();
            }
            Some(HookHow::Unknown { ran }) => {
                if ran {
                    self.really(vars);
                }
                return Outcome::Unknown(Cause::new("redeploy", "killed"));
            }
            Some(HookHow::Hang { ran, gate }) => {
                if ran {
                    self.really(vars);
                }
                gate.pass().await;
                return Outcome::Unknown(Cause::new("redeploy", "timeout"));
            }
        }
        Outcome::Done(())
    }
}

type OnLook = Arc<dyn Fn(&WitnessVars) -> Sighting + Send + Sync>;

/// A witness that says what a closure says, unless it is told to fail. Copies are the same witness.
#[derive(Clone)]
pub struct FakeWitness {
    on_look: OnLook,
    answers: Arc<Mutex<Scripted>>,
}

#[derive(Default)]
struct Scripted {
    next: VecDeque<Outcome<Sighting>>,
    looks: Vec<WitnessVars>,
}

impl FakeWitness {
    /// Answers with what the closure says: [`Sighting::Names`] of a consumer's fingerprints, or [`Sighting::Holds`].
    #[must_use]
    pub fn new(on_look: impl Fn(&WitnessVars) -> Sighting + Send + Sync + 'static) -> Self {
        Self { on_look: Arc::new(on_look), answers: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Scripted> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next look (after those already scripted) is answered with this: a lie, a refusal, an unknown.
    pub fn answer_next(&self, outcome: Outcome<Sighting>) {
        self.lock().next.push_back(outcome);
    }

    /// Every look.
    #[must_use]
    pub fn looks(&self) -> Vec<WitnessVars> {
        self.lock().looks.clone()
    }
}

#[async_trait]
impl Witness for FakeWitness {
    async fn look(&self, vars: &WitnessVars) -> Outcome<Sighting> {
        let scripted = {
            let mut answers = self.lock();
            answers.looks.push(vars.clone());
            answers.next.pop_front()
        };
        scripted.unwrap_or_else(|| Outcome::Done((self.on_look)(vars)))
    }
}
