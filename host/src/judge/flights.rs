//! One call for one question: who asks the same meanwhile waits and finds it
//! answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::domain::digest::Digest;

type Flight = Arc<tokio::sync::Mutex<()>>;

/// The questions that are being asked.
#[derive(Default)]
pub struct Flights {
    open: Mutex<HashMap<Digest, Flight>>,
}

impl Flights {
    /// Waits until nobody else asks this.
    pub async fn enter(&self, key: Digest) -> OwnedMutexGuard<()> {
        let flight = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that are done leave their entries behind; now and then they go.
            if open.len() > 4_096 {
                open.retain(|_, flight| Arc::strong_count(flight) > 1);
            }
            Arc::clone(open.entry(key).or_default())
        };
        flight.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_question_is_asked_at_a_time_and_others_beside_it() {
        let flights = Arc::new(Flights::default());
        let first = flights.enter(Digest::of(b"a")).await;
        let _other = flights.enter(Digest::of(b"b")).await;
        let waiting = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { drop(flights.enter(Digest::of(b"a")).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.expect("it gets its turn");
    }
}
