//! Starts the runs that are due. A timer and a restart take the same path: ask
//! the store what is due at `now`.

mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::evaluation::{MissedPolicy, Schedule};
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::run::{RunState, Trigger};
use crate::runner::{Runner, RunnerError};
use crate::store::{NewRun, Store, StoreError};

pub use upkeep::Upkeep;

/// The clock is looked at this often at least: it may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// A tick this late was missed: nobody was there for it.
const MISSED_AFTER_US: i64 = 120 * 1_000_000;

/// Starts what is due. Clones share it.
#[derive(Clone)]
pub struct Scheduler {
    store: Store,
    runner: Runner,
    clock: Arc<dyn Clock>,
    changed: Arc<Notify>,
}

impl Scheduler {
    /// Nothing happens before [`Scheduler::run`].
    pub fn new(store: Store, runner: Runner, clock: Arc<dyn Clock>) -> Self {
        Self { store, runner, clock, changed: Arc::default() }
    }

    /// Sets or removes a schedule; answers when it is due next.
    pub async fn set(
        &self,
        evaluation: EvaluationId,
        schedule: Option<Schedule>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let next = schedule.as_ref().and_then(|schedule| next_after(schedule, self.clock.now()));
        self.store.schedule_set(evaluation, schedule, next).await?;
        self.changed.notify_one();
        Ok(next)
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.start_due().await {
                tracing::error!(%error, "failed to start what is due");
            }
            let wait = match self.store.schedule_next_due().await {
                Ok(Some(next)) => {
                    let left_us = next.0.saturating_sub(self.clock.now().0).max(0);
                    Duration::from_micros(left_us as u64).min(LOOK_AGAIN)
                }
                _ => LOOK_AGAIN,
            };
            // Never a busy loop, whatever is due and cannot be started.
            let wait = wait.max(Duration::from_millis(100));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Starts, skips or lets go what is due now; answers how many ticks.
    pub async fn start_due(&self) -> Result<usize, RunnerError> {
        let now = self.clock.now();
        let due = self.store.schedule_due(now).await?;
        let count = due.len();
        for (evaluation, schedule, due_at) in due {
            let next = next_after(&schedule, now);
            if schedule.missed == MissedPolicy::Skip
                && last_before(&schedule, due_at, now) < now.0 - MISSED_AFTER_US
            {
                tracing::info!(evaluation.id = %evaluation, %due_at, "missed ticks are skipped");
                self.store.schedule_skip(evaluation, due_at, next).await?;
                continue;
            }
            let definition = self.store.evaluation_get(evaluation).await?.definition;
            let new = NewRun {
                id: RunId::new(),
                evaluation,
                trigger: Trigger::Schedule,
                state: RunState::Queued,
                definition,
                at: now,
                tick: Some((due_at, next)),
            };
            match self.runner.start_scheduled(new, schedule.overlap).await {
                // Someone changed the schedule in this very moment.
                Err(RunnerError::Store(StoreError::Conflict(reason))) => {
                    tracing::info!(evaluation.id = %evaluation, reason, "a tick was dropped");
                }
                other => other?,
            }
        }
        Ok(count)
    }
}

fn next_after(schedule: &Schedule, at: Timestamp) -> Option<Timestamp> {
    schedule.when.next_after(at.to_utc()).map(Timestamp::from_utc)
}

/// The latest tick up to `now`, from the one that is known to be due. The walk
/// is bounded: after many missed ticks one of the recent past is good enough.
fn last_before(schedule: &Schedule, due_at: Timestamp, now: Timestamp) -> i64 {
    let mut last = due_at.max(Timestamp(now.0 - 2 * MISSED_AFTER_US));
    while let Some(next) = next_after(schedule, last).filter(|next| *next <= now) {
        last = next;
    }
    last.0
}
