//! Runs evaluations: takes answers in batches, has them scored, commits what
//! came of it.
//!
//! Execution is at least once, commits are exactly once: a daemon that is
//! killed goes on with the answers that have no outcome yet. Every (item,
//! scorer) ends scored, failed with a cause, or skipped with a reason.

mod answers;
mod batch_work;
mod batches;
mod behaviour;
mod bisect;
mod calibration;
mod comparison;
mod execute;
mod extract;
mod failure_modes;
mod fate;
mod follow;
mod judging;
mod outcome;
mod prepare;
mod quality;
mod quarantine;
mod repeat;
mod replay;
mod result;
mod retention;
mod reviews;
mod signals;
mod try_out;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::config;
use crate::domain::clock::Clock;
use crate::domain::evaluation::{Definition, DefinitionProblem, OverlapPolicy, Scorer};
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::run::{Progress, RunState, Trigger};
use crate::judge::Judges;
use crate::store::{NewRun, RunFilter, Store, StoreError};
use crate::workers::Workers;

pub use calibration::{
    Asked, CalibrationReport, CalibrationState, CalibrationSummary, ClassCalibration, WeekCalibration,
};
pub use comparison::{ComparedClass, ComparedGroup, Comparison, ComparisonQuestion};
pub use extract::{ReadyExtractor, SessionOutcome};
pub use failure_modes::{FailureGroup, FailureModeShare, FailureModes, FailuresBy, Share};
pub use fate::{EvaluationFate, Fate, NamedScore, NamedUnscored, named};
pub use outcome::CheckedSignal;
pub use quality::{LeftOut, QualityReport, QualityTarget};
pub use repeat::{RepeatQuestion, RepeatReport, RepeatedOutput};
pub use replay::{Replay, ReplayDifference};
pub use result::{ClassResult, CompletionResult, OutputResult, RunResult, ScorerResult};
pub use reviews::{ReviewLine, ReviewTarget, ReviewsImported};
pub use signals::{
    DivergenceQuestion, DivergenceReport, GroupDivergence, SignalFigure, SignalReport, Verdict,
};
pub use try_out::Trial;

/// Batches under way for each worker: one is scored, one is committed, one waits.
const BATCHES_PER_WORKER: usize = 3;

/// Between two attempts to write what could not be written.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Why a run cannot be had or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The definition is at fault.
    #[error("the evaluation cannot run: {}", list(.0))]
    Definition(Vec<DefinitionProblem>),
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A plugin is not to be had.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The target refuses every question.
    #[error(transparent)]
    Target(#[from] crate::targets::TargetError),
}

fn list(problems: &[DefinitionProblem]) -> String {
    let told: Vec<_> =
        problems.iter().map(|problem| format!("`{}`: {}", problem.path, problem.message)).collect();
    told.join("; ")
}

/// Starts, executes and cancels runs. Clones share them.
#[derive(Clone)]
pub struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    catalogue: Catalogue,
    workers: Workers,
    clock: Arc<dyn Clock>,
    limits: config::Runner,
    batches: Arc<Semaphore>,
    judged_batches: Arc<Semaphore>,
    judges: Judges,
    quarantine: quarantine::Quarantine,
    open: Mutex<HashMap<RunId, Open>>,
    /// Runs of one evaluation go one after another, in the order of their making.
    turns: Mutex<HashMap<EvaluationId, Arc<tokio::sync::Mutex<()>>>>,
    /// What reads closed sessions.
    extractors: Vec<Scorer>,
    prepared: behaviour::Prepared,
    stopping: CancellationToken,
}

/// A run that this process executes.
struct Open {
    cancel: CancellationToken,
    /// Set when a run that follows production is to end after what is there.
    finishing: bool,
    progress: watch::Sender<Progress>,
}

impl Runner {
    /// Nothing runs before [`Runner::resume`] or [`Runner::start`].
    pub fn new(
        store: Store,
        catalogue: Catalogue,
        workers: Workers,
        clock: Arc<dyn Clock>,
        limits: config::Runner,
        extractors: Vec<Scorer>,
        judges: Judges,
    ) -> Self {
        let batches = Arc::new(Semaphore::new(workers.count() * BATCHES_PER_WORKER));
        let judged = workers.count() * workers.limits().judged_batches_max as usize;
        let judged_batches = Arc::new(Semaphore::new(judged));
        let quarantine = quarantine::Quarantine::new(workers.count(), limits.failing_time_share_max);
        let shared = Shared {
            store,
            catalogue,
            workers,
            clock,
            limits,
            batches,
            judged_batches,
            judges,
            quarantine,
            open: Mutex::default(),
            extractors,
            prepared: behaviour::Prepared::default(),
            turns: Mutex::default(),
            stopping: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Goes on with the runs that an earlier process left open.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        let open = self.shared.store.run_list_open().await?;
        let count = open.len();
        for run in open {
            self.launch(run.id);
        }
        Ok(count)
    }

    /// Asks for a run of an evaluation now.
    pub async fn start(&self, evaluation: EvaluationId) -> Result<RunId, RunnerError> {
        let id = RunId::new();
        self.start_as(id, evaluation).await?;
        Ok(id)
    }

    /// As [`Runner::start`], with the run's id.
    pub async fn start_as(&self, id: RunId, evaluation: EvaluationId) -> Result<(), RunnerError> {
        let definition = self.shared.store.evaluation_get(evaluation).await?.definition;
        if definition.source.production().is_some_and(|production| production.follow) {
            let reason = "the evaluation follows production: the daemon keeps a run of it open";
            return Err(StoreError::Conflict(reason.into()).into());
        }
        let new = NewRun {
            id,
            evaluation,
            trigger: Trigger::Manual,
            state: RunState::Queued,
            definition,
            at: self.shared.clock.now(),
            tick: None,
        };
        self.shared.store.run_insert(new).await?;
        self.launch(id);
        Ok(())
    }

    /// Keeps the run of a schedule's tick, whose overlap policy is applied
    /// here. The run may be a skipped one, with its reason.
    pub async fn start_scheduled(&self, mut new: NewRun, overlap: OverlapPolicy) -> Result<(), RunnerError> {
        let store = &self.shared.store;
        let filter = RunFilter { evaluation: Some(new.evaluation), limit: 100, ..RunFilter::default() };
        let mut earlier = store.run_list(filter).await?;
        earlier.retain(|run| !run.state.is_over());
        if let Some(running) = earlier.first() {
            match overlap {
                OverlapPolicy::Skip => {
                    let reason = format!("run `{}` still goes on", running.id);
                    new.state = RunState::Skipped { finished_at: new.at, reason };
                }
                OverlapPolicy::Queue => {}
                OverlapPolicy::CancelOld => {
                    for run in &earlier {
                        self.cancel(run.id).await?;
                    }
                }
            }
        }
        let (id, skipped) = (new.id, new.state.is_over());
        store.run_insert(new).await?;
        if !skipped {
            self.launch(id);
        }
        Ok(())
    }

    /// Cancels a run at once; answers whether it was still open.
    pub async fn cancel(&self, id: RunId) -> Result<bool, StoreError> {
        let state = RunState::Cancelled { finished_at: self.shared.clock.now() };
        let cancelled = self.shared.store.run_end(id, state).await?;
        if let Some(open) = self.open().get(&id) {
            open.cancel.cancel();
        }
        Ok(cancelled)
    }

    /// Follows a run that this process executes; none where it does not.
    pub fn follow(&self, id: RunId) -> Option<watch::Receiver<Progress>> {
        self.open().get(&id).map(|open| open.progress.subscribe())
    }

    /// How many runs go on here.
    pub fn open_count(&self) -> usize {
        self.open().len()
    }

    /// What is wrong with a definition, with every plugin asked.
    pub async fn check(&self, definition: &Definition) -> Result<Vec<DefinitionProblem>, RunnerError> {
        match self.prepare(definition).await {
            Ok(_) => Ok(Vec::new()),
            Err(RunnerError::Definition(problems)) => Ok(problems),
            Err(error) => Err(error),
        }
    }

    /// Stops executing; open runs go on with the next process.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
    }

    /// Writes, and waits while the disk is full or the database locked: what a
    /// run has paid for is not thrown away.
    async fn persist<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        write: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let mut told = false;
        loop {
            match write().await {
                Err(error) if error.is_passing() => {
                    if !told {
                        tracing::error!(%error, "a run waits until it can write");
                        told = true;
                    }
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
                written => return written,
            }
        }
    }

    fn launch(&self, id: RunId) {
        let cancel = self.shared.stopping.child_token();
        let (progress, _) = watch::channel(Progress::default());
        let before = self.open().insert(id, Open { cancel: cancel.clone(), finishing: false, progress });
        debug_assert!(before.is_none(), "a run is launched once");
        let runner = self.clone();
        tokio::spawn(async move {
            runner.execute_to_the_end(id, cancel).await;
            runner.open().remove(&id);
        });
    }

    fn turn(&self, evaluation: EvaluationId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(evaluation).or_default())
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
