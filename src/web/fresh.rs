//! A value that is made at most once in a while, however many ask for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

/// For so long what was made is given to everybody.
const KEPT: Duration = Duration::from_secs(1);

/// One value, made by whoever asks first. Those who ask meanwhile wait for it.
pub(super) struct Fresh<T>(Arc<Mutex<Option<T>>>);

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + 'static> Fresh<T> {
    /// The value of the last second, or a new one.
    pub(super) async fn get(&self, make: impl Future<Output = T>) -> T {
        let mut kept = self.0.lock().await;
        if let Some(value) = kept.as_ref() {
            return value.clone();
        }
        let value = make.await;
        *kept = Some(value.clone());
        drop(kept);
        let place = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            *place.lock().await = None;
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Fresh, KEPT};

    #[tokio::test(start_paused = true)]
    async fn it_is_made_once_a_second_however_many_ask() {
        let (fresh, made) = (Fresh::default(), AtomicUsize::new(0));
        let ask = || fresh.get(async { made.fetch_add(1, Ordering::SeqCst) });
        assert_eq!(tokio::join!(ask(), ask(), ask()), (0, 0, 0));
        // The clock of this test is paused: it moves only here.
        tokio::time::sleep(KEPT * 2).await;
        assert_eq!(ask().await, 1);
    }
}
