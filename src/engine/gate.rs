//! Hooks that are equal and wait together run once for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cutover_api::{Again, Hook, HookVars};
use cutover_machine::event::Answer;
use tokio::sync::OnceCell;

use super::answer::answer;

/// One run that several rotations may share.
type Batch = Arc<OnceCell<Answer<()>>>;

#[derive(Default)]
struct Slot {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Option<Batch>>,
}

/// Lets one of several equal hooks run at a time. Whoever comes while one runs waits for the next run: the one under way may have
/// read its target before the last write.
#[derive(Default)]
pub struct Gate(Mutex<BTreeMap<String, Arc<Slot>>>);

impl Gate {
    /// Runs a hook, or shares the next run of an equal one.
    pub async fn run(&self, table: &str, hook: &dyn Hook, vars: &HookVars, again: Again) -> Answer<()> {
        // A hook that is told the policy or the key does something else for each of them: it is equal only to itself.
        let own = table.contains("{{") || table.contains("CUTOVER_");
        let key = if own { format!("{table}\n{}", vars.policy) } else { table.to_owned() };
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(key).or_default())
        };
        let batch = {
            let mut waiting = slot.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(waiting.get_or_insert_with(Batch::default))
        };
        let run = async {
            let _turn = slot.turn.lock().await;
            // From here on nobody else may join: what they wrote may come too late for this run.
            slot.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            answer(hook.run(vars, again).await)
        };
        batch.get_or_init(|| run).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use cutover_api::{Again, Hook, HookVars, Outcome, Refusal};
    use cutover_machine::event::Answer;
    use tokio::sync::Semaphore;

    use super::Gate;

    struct Counting {
        started: AtomicUsize,
        may_end: Semaphore,
    }

    #[async_trait]
    impl Hook for Counting {
        fn timeout(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn repeatable(&self) -> bool {
            true
        }
        async fn present(&self) -> Result<(), Refusal> {
            Ok(())
        }
        async fn run(&self, _: &HookVars, _: Again) -> Outcome<()> {
            self.started.fetch_add(1, Ordering::SeqCst);
            let _permit = self.may_end.acquire().await;
            Outcome::Done(())
        }
    }

    fn vars(policy: &str) -> HookVars {
        HookVars {
            policy: policy.to_owned(),
            rotation: String::from("r"),
            run: String::from("u"),
            key_id: String::new(),
            fingerprint: String::new(),
        }
    }

    /// M20: three rotations that wait while an equal hook runs share one further run; none of them joins the run under way.
    #[tokio::test]
    async fn m20_equal_hooks_that_wait_together_run_once() {
        let gate = Arc::new(Gate::default());
        let hook = Arc::new(Counting { started: AtomicUsize::new(0), may_end: Semaphore::new(0) });
        let spawn = |name: &'static str| {
            let (gate, hook) = (Arc::clone(&gate), Arc::clone(&hook));
            tokio::spawn(async move { gate.run("{\"run\":[\"/deploy\"]}", hook.as_ref(), &vars(name), Again::First).await })
        };
        let first = spawn("a");
        while hook.started.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others = [spawn("b"), spawn("c"), spawn("d")];
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hook.started.load(Ordering::SeqCst), 1);
        hook.may_end.add_permits(10);
        assert_eq!(first.await.expect("ran"), Answer::Done(()));
        for other in others {
            assert_eq!(other.await.expect("ran"), Answer::Done(()));
        }
        assert_eq!(hook.started.load(Ordering::SeqCst), 2);
    }
}
