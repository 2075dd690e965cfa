//! What has to be done again and again while production sends: traces become
//! interactions, sessions close, runs follow, latencies are rolled up. Each duty
//! asks the store what is due, so a restart loses nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::ingest::Ingest;
use crate::runner::{Runner, RunnerError};
use crate::store::{Store, StoreError};

/// Something that is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    AssembleTraces,
    CloseSessions,
    ExtractSignals,
    FollowProduction,
    ForgetSpans,
    RecountLatencies,
    RollUpLatencies,
}

impl Duty {
    const ALL: [Self; 7] = [
        Self::AssembleTraces,
        Self::CloseSessions,
        Self::ExtractSignals,
        Self::FollowProduction,
        Self::ForgetSpans,
        Self::RecountLatencies,
        Self::RollUpLatencies,
    ];

    /// Between two looks at what is due.
    fn pause(self) -> Duration {
        match self {
            // Recounting reads all of an hour's interactions, and late spans make
            // an hour stale again and again.
            Self::ForgetSpans | Self::RecountLatencies => Duration::from_secs(60),
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
    /// Rolling up and recounting would undo each other's preparations.
    rolling_up: Arc<Mutex<()>>,
}

impl Upkeep {
    /// Nothing happens before [`Upkeep::run`].
    pub fn new(store: Store, ingest: Ingest, runner: Runner) -> Self {
        Self { store, ingest, runner, rolling_up: Arc::default() }
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
            Duty::AssembleTraces => self.ingest.assemble_due().await?,
            Duty::CloseSessions => self.close_sessions().await?,
            Duty::ExtractSignals => self.runner.extract_due().await?,
            Duty::FollowProduction => self.runner.keep_following().await?,
            Duty::ForgetSpans => self.ingest.forget_spans().await?,
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

    async fn recount_latencies(&self) -> Result<(), StoreError> {
        let _turn = self.rolling_up.lock().await;
        for stale in self.store.latency_stale_hours().await? {
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
