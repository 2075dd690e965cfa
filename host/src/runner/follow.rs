//! Evaluations that follow production: one run of each is open at any time.

use std::collections::HashMap;

use super::{Runner, RunnerError};
use crate::domain::clock::Timestamp;
use crate::domain::evaluation::Evaluation;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::run::{Run, RunState, Trigger};
use crate::store::{NewRun, RunFilter};

/// After a run that failed, another is tried no sooner.
const AFTER_FAILURE_US: i64 = 60 * 1_000_000;

impl Runner {
    /// Starts the runs that are missing, and ends those whose day, definition
    /// or plugins are over; the next call starts their successors.
    pub async fn keep_following(&self) -> Result<(), RunnerError> {
        let store = &self.shared.store;
        let follows = |evaluation: &Evaluation| {
            evaluation.definition.source.production().is_some_and(|production| production.follow)
        };
        let mut wanted: HashMap<EvaluationId, Evaluation> = store
            .evaluation_list()
            .await?
            .into_iter()
            .filter(follows)
            .map(|evaluation| (evaluation.id, evaluation))
            .collect();
        for run in store.run_list_open().await? {
            let Some(production) = run.definition.source.production() else { continue };
            if !production.follow {
                continue;
            }
            // While a run is open its evaluation needs no other.
            let evaluation = wanted.remove(&run.evaluation);
            if !self.is_current(&run, evaluation.as_ref()).await? {
                self.finish(run.id);
            }
        }
        for evaluation in wanted.into_values() {
            self.follow_anew(evaluation).await?;
        }
        Ok(())
    }

    /// Whether a run is what would be started now.
    async fn is_current(&self, run: &Run, evaluation: Option<&Evaluation>) -> Result<bool, RunnerError> {
        let Some(evaluation) = evaluation else { return Ok(false) };
        let now = self.shared.clock.now();
        if evaluation.definition != run.definition || day(run.created_at) != day(now) {
            return Ok(false);
        }
        for (wanted, pinned) in evaluation.definition.scorers.iter().zip(&run.scorers) {
            let current = self.shared.catalogue.find(&wanted.plugin, wanted.digest).await;
            // A plugin that was taken away leaves its last build at work.
            if current.is_ok_and(|current| current.digest != pinned.digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn follow_anew(&self, evaluation: Evaluation) -> Result<(), RunnerError> {
        let now = self.shared.clock.now();
        let filter = RunFilter { evaluation: Some(evaluation.id), limit: 1, ..RunFilter::default() };
        let last = self.shared.store.run_list(filter).await?;
        if let Some(RunState::Failed { finished_at, .. }) = last.first().map(|run| &run.state)
            && finished_at.0 > now.0 - AFTER_FAILURE_US
        {
            return Ok(());
        }
        let id = RunId::new();
        let new = NewRun {
            id,
            evaluation: evaluation.id,
            trigger: Trigger::Follow,
            state: RunState::Queued,
            definition: evaluation.definition,
            at: now,
            tick: None,
        };
        self.shared.store.run_insert(new).await?;
        self.launch(id);
        Ok(())
    }

    /// Ends a run that follows production after what is there.
    fn finish(&self, id: RunId) {
        if let Some(open) = self.open().get_mut(&id) {
            open.finishing = true;
        }
    }

    /// Whether a run that follows production is to end.
    pub(super) fn is_finishing(&self, id: RunId) -> bool {
        self.open().get(&id).is_some_and(|open| open.finishing)
    }
}

/// The day of an instant, UTC.
fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(24 * 3_600 * 1_000_000)
}
