//! Letting go of what is old. A run's figures are kept before the items go
//! that they are computed from.

use std::time::Duration;

use super::{Runner, RunnerError};
use crate::config::Retention;
use crate::domain::clock::Timestamp;
use crate::domain::ids::RunId;
use crate::store::LetGo;

const HOUR_US: i64 = 3_600 * 1_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// What goes step by step.
#[derive(Debug, Clone, Copy)]
enum Old {
    ItemsOf(RunId),
    Interactions(Timestamp),
    Events(Timestamp),
    Transcripts(Timestamp),
}

impl Runner {
    /// Lets go of what is too old, where that was not done within the last
    /// hour. Answers how many rows went.
    pub async fn let_go_hourly(&self, retention: &Retention) -> Result<u64, RunnerError> {
        let now = self.shared.clock.now();
        if *retention == Retention::default()
            || now.0 - self.shared.store.retention_done_at().await?.0 < HOUR_US
        {
            return Ok(0);
        }
        let gone = self.let_go(retention).await?;
        self.shared.store.retention_done(now).await?;
        if gone > 0 {
            tracing::info!(rows = gone, "old rows were let go");
        }
        Ok(gone)
    }

    /// Lets go of what is too old. Answers how many rows went.
    pub async fn let_go(&self, retention: &Retention) -> Result<u64, RunnerError> {
        let now = self.shared.clock.now();
        let before = |days: Option<u32>| days.map(|days| Timestamp(now.0 - i64::from(days) * DAY_US));
        let store = &self.shared.store;
        let mut gone = 0;
        if let Some(before) = before(retention.runs_days) {
            for run in store.runs_with_old_items(before).await? {
                gone += self.let_all_go(Old::ItemsOf(run)).await?;
            }
        }
        if let Some(before) = before(retention.interactions_days) {
            gone += self.let_all_go(Old::Interactions(before)).await?;
        }
        if let Some(before) = before(retention.signals_days) {
            while let Some(rows) = store.signals_let_go(before).await? {
                gone += rows as u64;
                pause().await;
            }
        }
        if let Some(before) = before(retention.events_days) {
            gone += self.let_all_go(Old::Events(before)).await?;
        }
        if let Some(before) = before(retention.transcripts_days) {
            gone += self.let_all_go(Old::Transcripts(before)).await?;
        }
        Ok(gone)
    }

    async fn let_all_go(&self, old: Old) -> Result<u64, RunnerError> {
        let store = &self.shared.store;
        let mut gone = 0;
        loop {
            let step = match old {
                Old::ItemsOf(run) => store.run_items_let_go(run).await?,
                Old::Interactions(before) => store.interactions_let_go(before).await?,
                Old::Events(before) => LetGo::Rows(store.events_let_go(before).await?),
                Old::Transcripts(before) => LetGo::Rows(store.transcripts_let_go(before).await?),
            };
            match step {
                LetGo::Rows(0) => return Ok(gone),
                LetGo::Rows(rows) => gone += rows as u64,
                LetGo::FiguresFirst(runs) => {
                    for run in runs {
                        self.keep_figures(run).await?;
                    }
                }
            }
            pause().await;
        }
    }

    async fn keep_figures(&self, run: RunId) -> Result<(), RunnerError> {
        let figures = self.result(run).await?.into_figures();
        let figures = serde_json::to_string(&figures).expect("figures are plain JSON");
        Ok(self.shared.store.run_figures_keep(run, figures, self.shared.clock.now()).await?)
    }
}

/// What comes in has its turn between two steps.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
