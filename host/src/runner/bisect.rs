//! Having a batch done so that a poison item fails alone.
//!
//! Whatever happened to a whole call (a trap, a deadline, a dead worker), the
//! call is repeated on its halves until the item that causes it stands alone.
//! An item here is whatever a batch holds: an interaction, or a session.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::Runner;
use super::batches::Place;
use super::quarantine::{Quarantine, Stay};
use crate::domain::plugin::{Cause, Unscored};
use crate::protocol::{BatchFailure, ItemAnswer, JobItem, JobSession, SessionAnswer};
use crate::workers::{BatchOutcome, ScorerCall, Workers};

/// One item's fate under one call.
pub type Fate<A> = Result<A, Unscored>;

/// What a batch may hold.
pub trait Batched: Clone + Send + Sync + 'static {
    /// A plugin's answer for one of them.
    type Answer: Clone + Send;

    /// Has a batch done by a worker. An `Err` means that it was lost.
    fn ask(
        workers: &Workers,
        batch: Arc<[Self]>,
        calls: Vec<ScorerCall>,
    ) -> impl Future<Output = Result<BatchOutcome<Self::Answer>, BatchFailure>> + Send;
}

impl Batched for JobItem {
    type Answer = ItemAnswer;

    async fn ask(
        workers: &Workers,
        batch: Arc<[Self]>,
        calls: Vec<ScorerCall>,
    ) -> Result<BatchOutcome<ItemAnswer>, BatchFailure> {
        workers.score(batch, calls).await
    }
}

impl Batched for JobSession {
    type Answer = SessionAnswer;

    async fn ask(
        workers: &Workers,
        batch: Arc<[Self]>,
        calls: Vec<ScorerCall>,
    ) -> Result<BatchOutcome<SessionAnswer>, BatchFailure> {
        workers.extract(batch, calls).await
    }
}

/// Counts a plugin's poison items over a whole run.
#[derive(Debug, Default)]
pub struct Poison {
    items: AtomicU32,
}

/// How batches are done, and tried again in parts.
pub struct Bisect<'a> {
    pub workers: &'a Workers,
    pub quarantine: &'a Quarantine,
    /// Counts the run's batches in quarantine.
    pub quarantined: &'a AtomicUsize,
    pub poison_items_max: u32,
}

/// A call, its count of poison items, and its batch's stay in quarantine.
type Scorer<'a> = (&'a ScorerCall, &'a Poison, &'a Stay<'a>);
type Fates<'a, A> = Pin<Box<dyn Future<Output = Vec<Fate<A>>> + Send + 'a>>;

impl Runner {
    /// `quarantined` counts the batches in quarantine that belong together.
    pub(super) fn bisect<'a>(&'a self, quarantined: &'a AtomicUsize) -> Bisect<'a> {
        Bisect {
            workers: &self.shared.workers,
            quarantine: &self.shared.quarantine,
            quarantined,
            poison_items_max: self.shared.limits.poison_items_max,
        }
    }
}

impl Bisect<'_> {
    /// Has a batch done with each call. `poison` has one counter a call. `place`
    /// is given back as soon as a call fails.
    pub async fn answer<T: Batched>(
        &self,
        items: Arc<[T]>,
        calls: &[ScorerCall],
        poison: &[&Poison],
        place: Place,
    ) -> Vec<Vec<Fate<T::Answer>>> {
        let healthy: Vec<_> = (0..calls.len()).filter(|call| !self.is_unhealthy(poison[*call])).collect();
        let mut results: Vec<Option<Vec<Fate<T::Answer>>>> = vec![None; calls.len()];
        let mut failed = Vec::new();
        if !healthy.is_empty() {
            let tried = healthy.iter().map(|call| calls[*call].clone()).collect();
            match T::ask(self.workers, Arc::clone(&items), tried).await {
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
                let scorer = (&calls[call], poison[call], &stay);
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

    fn attempt<'a, T: Batched>(&'a self, items: &'a [T], scorer: Scorer<'a>) -> Fates<'a, T::Answer> {
        Box::pin(async move {
            let (call, poison, stay) = scorer;
            if self.is_unhealthy(poison) {
                return unhealthy(items.len());
            }
            let started = Instant::now();
            let mut outcome = T::ask(self.workers, items.into(), vec![call.clone()]).await;
            // A worker can die of something else than its item: before an item is
            // blamed alone, it is tried once more.
            if items.len() == 1
                && outcome.as_ref().is_err_and(|failure| failure.unscored.cause == Cause::WorkerDied)
            {
                outcome = T::ask(self.workers, items.into(), vec![call.clone()]).await;
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

    async fn split<T: Batched>(
        &self,
        items: &[T],
        scorer: Scorer<'_>,
        failure: BatchFailure,
    ) -> Vec<Fate<T::Answer>> {
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

fn unhealthy<A>(items: usize) -> Vec<Fate<A>> {
    let message = "the plugin failed on too many items before this one, which was not tried";
    let why = Unscored { cause: Cause::PluginUnhealthy, message: message.into() };
    (0..items).map(|_| Err(why.clone())).collect()
}
