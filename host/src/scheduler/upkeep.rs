//! What has to be done again and again while production sends: traces become
//! interactions, sessions close, runs follow, latencies are rolled up, what is old
//! goes. Each duty asks the store what is due, so a restart loses nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::config::Retention;
use crate::domain::latency::HOUR_US;
use crate::ingest::Ingest;
use crate::runner::{Runner, RunnerError};
use crate::store::{ChangedDay, Store, StoreError};

/// Something that is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    AddUpLatencies,
    AssembleTraces,
    CloseSessions,
    ExtractSignals,
    FillReviewQueues,
    FollowProduction,
    ForgetSpans,
    LetGo,
    Reclassify,
    RecountLatencies,
    RollUpLatencies,
}

impl Duty {
    const ALL: [Self; 11] = [
        Self::AddUpLatencies,
        Self::AssembleTraces,
        Self::CloseSessions,
        Self::ExtractSignals,
        Self::FillReviewQueues,
        Self::FollowProduction,
        Self::ForgetSpans,
        Self::LetGo,
        Self::Reclassify,
        Self::RecountLatencies,
        Self::RollUpLatencies,
    ];

    /// Between two looks at what is due.
    fn pause(self) -> Duration {
        match self {
            // Recounting reads all of an hour's interactions, and late spans make
            // an hour stale again and again. Letting go asks whether its hour is over.
            // A day that changes goes on changing for a while.
            Self::AddUpLatencies | Self::ForgetSpans | Self::LetGo | Self::RecountLatencies => {
                Duration::from_secs(60)
            }
            _ => Duration::from_secs(1),
        }
    }
}

/// Interactions that are rolled up at once.
const ROLLED_UP: u32 = 10_000;

/// Does what is due.
#[derive(Clone)]
pub struct Upkeep {
    store: Store,
    ingest: Ingest,
    runner: Runner,
    retention: Retention,
    /// Rolling up and recounting would undo each other's preparations.
    rolling_up: Arc<Mutex<()>>,
    /// The days that had changed at the last look.
    changed_days: Arc<Mutex<Vec<ChangedDay>>>,
}

impl Upkeep {
    /// Nothing happens before [`Upkeep::run`].
    pub fn new(store: Store, ingest: Ingest, runner: Runner, retention: Retention) -> Self {
        Self { store, ingest, runner, retention, rolling_up: Arc::default(), changed_days: Arc::default() }
    }

    /// Serves until the future is dropped. What one duty waits for holds no other up.
    pub async fn run(self) {
        let mut duties = JoinSet::new();
        for duty in Duty::ALL {
            let upkeep = self.clone();
            duties.spawn(async move {
                loop {
                    tokio::time::sleep(duty.pause()).await;
                    if let Err(error) = upkeep.perform(duty).await {
                        tracing::error!(%error, ?duty, "upkeep failed and is tried again");
                    }
                }
            });
        }
        while duties.join_next().await.is_some() {}
    }

    async fn perform(&self, duty: Duty) -> Result<(), RunnerError> {
        match duty {
            Duty::AddUpLatencies => self.add_up_latencies().await?,
            Duty::AssembleTraces => self.ingest.assemble_due().await?,
            Duty::CloseSessions => self.close_sessions().await?,
            Duty::ExtractSignals => self.runner.extract_due().await?,
            Duty::FillReviewQueues => self.runner.fill_review_queues().await?,
            Duty::FollowProduction => self.runner.keep_following().await?,
            Duty::ForgetSpans => self.ingest.forget_spans().await?,
            Duty::LetGo => drop(self.runner.let_go_hourly(&self.retention).await?),
            Duty::Reclassify => self.ingest.reclassifier().carry_out(|_| {}).await?,
            Duty::RecountLatencies => self.recount_latencies().await?,
            Duty::RollUpLatencies => self.roll_up_latencies().await?,
        }
        Ok(())
    }

    async fn roll_up_latencies(&self) -> Result<(), StoreError> {
        let _turn = self.rolling_up.lock().await;
        while self.store.latency_roll_up(ROLLED_UP).await? > 0 {}
        Ok(())
    }

    /// Adds days up that are over and have not changed since the last look: what is
    /// imported changes the same day again and again.
    async fn add_up_latencies(&self) -> Result<(), StoreError> {
        let mut before = self.changed_days.lock().await;
        let changed = self.store.latency_days_changed(self.ingest.now()).await?;
        for day in changed.iter().filter(|day| before.contains(day)) {
            self.store.latency_day_build(*day).await?;
        }
        *before = changed;
        Ok(())
    }

    async fn recount_latencies(&self) -> Result<(), StoreError> {
        let _turn = self.rolling_up.lock().await;
        // What retention has let go cannot be counted again: such an hour stays as it is.
        let days = self.retention.interactions_days.map_or(i64::MAX, i64::from);
        let kept_from = self.ingest.now().0.saturating_sub(days.saturating_mul(24 * HOUR_US));
        for stale in self.store.latency_stale_hours().await? {
            if stale.starts_at().0 < kept_from {
                continue;
            }
            self.store.latency_recount(stale).await?;
        }
        Ok(())
    }

    /// Closes the sessions in which nothing happened for long.
    async fn close_sessions(&self) -> Result<(), StoreError> {
        let settings = self.ingest.settings();
        let us = |seconds: u32| i64::from(seconds) * 1_000_000;
        let (idle_us, quiet_us) = (us(settings.session_idle_s), us(settings.session_quiet_s));
        self.store.sessions_close(self.ingest.now(), idle_us, quiet_us).await?;
        Ok(())
    }
}
