//! What has to be done again and again while production sends: traces become
//! interactions, sessions close, runs follow. Each duty asks the store what is
//! due, so a restart loses nothing.

use std::time::Duration;

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
}

impl Duty {
    const ALL: [Self; 5] = [
        Self::AssembleTraces,
        Self::CloseSessions,
        Self::ExtractSignals,
        Self::FollowProduction,
        Self::ForgetSpans,
    ];

    /// Between two looks at what is due.
    fn pause(self) -> Duration {
        match self {
            Self::ForgetSpans => Duration::from_secs(60),
            _ => Duration::from_secs(1),
        }
    }
}

/// Does what is due.
#[derive(Clone)]
pub struct Upkeep {
    store: Store,
    ingest: Ingest,
    runner: Runner,
}

impl Upkeep {
    /// Nothing happens before [`Upkeep::run`].
    pub fn new(store: Store, ingest: Ingest, runner: Runner) -> Self {
        Self { store, ingest, runner }
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
