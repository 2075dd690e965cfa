//! Scoring a batch so that a poison item fails alone.
//!
//! Whatever happened to a whole call (a trap, a deadline, a dead worker), the
//! call is repeated on its halves until the item that causes it stands alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::plugin::{Cause, Unscored};
use crate::protocol::{BatchFailure, ItemAnswer, JobItem};
use crate::workers::{ScorerCall, Workers};

/// One item's fate under one call.
pub type ItemResult = Result<ItemAnswer, Unscored>;

/// Counts a scorer's poison items over a whole run.
#[derive(Debug, Default)]
pub struct Poison {
    items: AtomicU32,
}

/// Scores a batch with each call. `poison` has one counter a call.
pub async fn score(
    workers: &Workers,
    items: Arc<[JobItem]>,
    calls: &[ScorerCall],
    poison: &[Poison],
    poison_items_max: u32,
) -> Vec<Vec<ItemResult>> {
    let bisect = Bisect { workers, poison_items_max };
    let healthy: Vec<_> = (0..calls.len()).filter(|call| !bisect.is_unhealthy(&poison[*call])).collect();
    let mut results: Vec<Option<Vec<ItemResult>>> = vec![None; calls.len()];
    if !healthy.is_empty() {
        let tried = healthy.iter().map(|call| calls[*call].clone()).collect();
        match workers.score(Arc::clone(&items), tried).await {
            Ok(outcome) => {
                for (call, answers) in healthy.iter().zip(outcome) {
                    results[*call] = Some(match answers {
                        Ok(answers) => answers.into_iter().map(Ok).collect(),
                        Err(failure) => bisect.split(&items, &calls[*call], &poison[*call], failure).await,
                    });
                }
            }
            // The worker is gone, and only one of several calls took it down.
            Err(failure) if healthy.len() == 1 => {
                let call = healthy[0];
                results[call] = Some(bisect.split(&items, &calls[call], &poison[call], failure).await);
            }
            Err(_) => {
                for call in healthy {
                    results[call] = Some(bisect.attempt(&items, &calls[call], &poison[call]).await);
                }
            }
        }
    }
    results.into_iter().map(|result| result.unwrap_or_else(|| unhealthy(items.len()))).collect()
}

struct Bisect<'a> {
    workers: &'a Workers,
    poison_items_max: u32,
}

type Results<'a> = Pin<Box<dyn Future<Output = Vec<ItemResult>> + Send + 'a>>;

impl Bisect<'_> {
    fn is_unhealthy(&self, poison: &Poison) -> bool {
        poison.items.load(Ordering::Relaxed) >= self.poison_items_max
    }

    fn attempt<'a>(&'a self, items: &'a [JobItem], call: &'a ScorerCall, poison: &'a Poison) -> Results<'a> {
        Box::pin(async move {
            if self.is_unhealthy(poison) {
                return unhealthy(items.len());
            }
            let mut outcome = self.workers.score(items.into(), vec![call.clone()]).await;
            // A worker can die of something else than its item: before an item is
            // blamed alone, it is tried once more.
            if items.len() == 1
                && outcome.as_ref().is_err_and(|failure| failure.unscored.cause == Cause::WorkerDied)
            {
                outcome = self.workers.score(items.into(), vec![call.clone()]).await;
            }
            match outcome.map(|mut calls| calls.remove(0)) {
                Ok(Ok(answers)) => answers.into_iter().map(Ok).collect(),
                Ok(Err(failure)) | Err(failure) => self.split(items, call, poison, failure).await,
            }
        })
    }

    async fn split(
        &self,
        items: &[JobItem],
        call: &ScorerCall,
        poison: &Poison,
        failure: BatchFailure,
    ) -> Vec<ItemResult> {
        if matches!(failure.unscored.cause, Cause::NotLoaded | Cause::PluginUnhealthy) {
            // No item is to blame.
            return items.iter().map(|_| Err(failure.unscored.clone())).collect();
        }
        if let [_alone] = items {
            poison.items.fetch_add(1, Ordering::Relaxed);
            return vec![Err(failure.unscored)];
        }
        let (left, right) = items.split_at(items.len() / 2);
        let mut results = self.attempt(left, call, poison).await;
        results.extend(self.attempt(right, call, poison).await);
        results
    }
}

fn unhealthy(items: usize) -> Vec<ItemResult> {
    let message = "the plugin failed on too many items of this run; this one was not tried";
    let why = Unscored { cause: Cause::PluginUnhealthy, message: message.into() };
    (0..items).map(|_| Err(why.clone())).collect()
}
