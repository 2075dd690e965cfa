//! Scoring a batch so that a poison item fails alone.
//!
//! Whatever happened to a whole call (a trap, a deadline, a dead worker), the
//! call is repeated on its halves until the item that causes it stands alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::execute::Place;
use super::quarantine::{Quarantine, Stay};
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

/// How batches are scored, and tried again in parts.
pub struct Bisect<'a> {
    pub workers: &'a Workers,
    pub quarantine: &'a Quarantine,
    /// Counts the run's batches in quarantine.
    pub quarantined: &'a AtomicUsize,
    pub poison_items_max: u32,
}

/// A call, its count of poison items, and its batch's stay in quarantine.
type Scorer<'a> = (&'a ScorerCall, &'a Poison, &'a Stay<'a>);
type Results<'a> = Pin<Box<dyn Future<Output = Vec<ItemResult>> + Send + 'a>>;

impl Bisect<'_> {
    /// Scores a batch with each call. `poison` has one counter a call. `place`
    /// is given back as soon as a call fails.
    pub async fn score(
        &self,
        items: Arc<[JobItem]>,
        calls: &[ScorerCall],
        poison: &[Poison],
        place: Place,
    ) -> Vec<Vec<ItemResult>> {
        let healthy: Vec<_> = (0..calls.len()).filter(|call| !self.is_unhealthy(&poison[*call])).collect();
        let mut results: Vec<Option<Vec<ItemResult>>> = vec![None; calls.len()];
        let mut failed = Vec::new();
        if !healthy.is_empty() {
            let tried = healthy.iter().map(|call| calls[*call].clone()).collect();
            match self.workers.score(Arc::clone(&items), tried).await {
                Ok(outcome) => {
                    for (call, answers) in healthy.into_iter().zip(outcome) {
                        match answers {
                            Ok(answers) => {
                                results[call] = Some(answers.into_iter().map(Ok).collect());
                            }
                            Err(failure) => failed.push((call, Some(failure))),
                        }
                    }
                }
                Err(failure) if healthy.len() == 1 => failed.push((healthy[0], Some(failure))),
                // The worker is gone, and only one of several calls took it down.
                Err(_) => failed.extend(healthy.into_iter().map(|call| (call, None))),
            }
        }
        if !failed.is_empty() {
            drop(place);
            let stay = self.quarantine.enter(self.quarantined).await;
            for (call, failure) in failed {
                let scorer = (&calls[call], &poison[call], &stay);
                results[call] = Some(match failure {
                    Some(failure) => self.split(&items, scorer, failure).await,
                    None => self.attempt(&items, scorer).await,
                });
            }
        }
        results.into_iter().map(|result| result.unwrap_or_else(|| unhealthy(items.len()))).collect()
    }

    fn is_unhealthy(&self, poison: &Poison) -> bool {
        poison.items.load(Ordering::Relaxed) >= self.poison_items_max
    }

    fn attempt<'a>(&'a self, items: &'a [JobItem], scorer: Scorer<'a>) -> Results<'a> {
        Box::pin(async move {
            let (call, poison, stay) = scorer;
            if self.is_unhealthy(poison) {
                return unhealthy(items.len());
            }
            let started = Instant::now();
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
                Ok(Err(failure)) | Err(failure) => {
                    stay.pay(started.elapsed(), self.workers).await;
                    self.split(items, scorer, failure).await
                }
            }
        })
    }

    async fn split(&self, items: &[JobItem], scorer: Scorer<'_>, failure: BatchFailure) -> Vec<ItemResult> {
        if matches!(failure.unscored.cause, Cause::NotLoaded | Cause::PluginUnhealthy) {
            // No item is to blame.
            return items.iter().map(|_| Err(failure.unscored.clone())).collect();
        }
        if let [_alone] = items {
            scorer.1.items.fetch_add(1, Ordering::Relaxed);
            return vec![Err(failure.unscored)];
        }
        let (left, right) = items.split_at(items.len() / 2);
        let mut results = self.attempt(left, scorer).await;
        results.extend(self.attempt(right, scorer).await);
        results
    }
}

fn unhealthy(items: usize) -> Vec<ItemResult> {
    let message = "the plugin failed on too many items of this run; this one was not tried";
    let why = Unscored { cause: Cause::PluginUnhealthy, message: message.into() };
    (0..items).map(|_| Err(why.clone())).collect()
}
