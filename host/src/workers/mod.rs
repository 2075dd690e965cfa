//! The daemon's side of the worker processes: starts them, hands them plugins
//! and batches, replaces those that die or hang.
//!
//! Only this module knows where a worker is. It repeats nothing: a batch that
//! took a worker down is answered as lost, and the runner decides what to try
//! again.

mod artifacts;
mod compile;
mod health;
mod process;
mod supervisor;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use crate::confinement::MissingBoundary;
use crate::domain::digest::Digest;
use crate::domain::judge::{JudgeAnswer, JudgeRequest};
use crate::domain::plugin::{Capability, Cause, Descriptor, Output, Problem, Unscored};
use crate::protocol::{BatchFailure, ItemAnswer, JobItem, JobSession, Limits, Reply, SessionAnswer};

pub use artifacts::{Artifact, ArtifactCache, ArtifactError};
pub use compile::CompileError;

/// How workers are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The binary that serves `worker` and `compile-worker`.
    pub executable: PathBuf,
    /// How many workers.
    pub count: usize,
    /// What guests may use.
    pub limits: Limits,
    /// How long one component may take to compile.
    pub compile_timeout: Duration,
    /// Private memory of one worker process, in bytes.
    pub worker_memory_bytes_max: u64,
    /// Private memory of a compile process, in bytes.
    pub compile_memory_bytes_max: u64,
    /// Workers that one plugin may cost in a minute; then it is not run until
    /// the minute is over.
    pub restarts_per_minute_max: u32,
    /// What happens where the system lacks a boundary.
    pub confinement: Confinement,
}

/// How much confinement there has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// All that the system has; what is missing is reported.
    BestEffort,
    /// A missing boundary is an error.
    Required,
    /// None: to measure what confinement costs.
    Off,
}

impl Settings {
    /// As many workers as cores, of this very binary.
    pub fn of_this_binary() -> std::io::Result<Self> {
        Ok(Self {
            executable: std::env::current_exe()?,
            count: std::thread::available_parallelism().map_or(1, usize::from),
            limits: Limits::default(),
            compile_timeout: Duration::from_secs(120),
            worker_memory_bytes_max: 4 << 30,
            compile_memory_bytes_max: 2 << 30,
            restarts_per_minute_max: 30,
            confinement: Confinement::BestEffort,
        })
    }
}

/// Why there are no workers.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No worker said that it is ready.
    #[error("failed to start a worker: {0}")]
    NotReady(String),
    /// The system lacks a boundary that is required.
    #[error("this system cannot confine plugins as is required; missing: {0}")]
    Unconfined(String),
}

/// Who answers what a plugin asks of a judge.
#[async_trait]
pub trait Judge: fmt::Debug + Send + Sync {
    /// One answer for each request, in their order. Dropping the future ends
    /// what is under way.
    async fn answer(&self, requests: Vec<JudgeRequest>) -> Vec<JudgeAnswer>;
}

/// One scorer, classifier or extractor of a batch.
#[derive(Debug, Clone)]
pub struct ScorerCall {
    /// The compiled plugin.
    pub plugin: Arc<Artifact>,
    /// Which of its functions.
    pub capability: Capability,
    /// Its configuration: JSON text.
    pub config: Arc<str>,
    /// Who answers what it asks; none where it asks no judge.
    pub judge: Option<Arc<dyn Judge>>,
}

/// What came of a batch: for each call a list with one answer for each item or
/// session, or the call's failure.
pub type BatchOutcome<A> = Vec<Result<Vec<A>, BatchFailure>>;

/// A handle on all workers. Clones share them; the processes end with the last.
#[derive(Clone)]
pub struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    lanes: Vec<Lane>,
    ready: watch::Receiver<Option<Ready>>,
    compiling: tokio::sync::Semaphore,
}

/// What the workers say when they are ready; all say the same.
#[derive(Debug, Clone)]
struct Ready {
    /// What artifacts have to be made for.
    compatibility: u64,
    missing: Vec<MissingBoundary>,
}

/// The way to one worker.
struct Lane {
    jobs: mpsc::UnboundedSender<Job>,
    /// Jobs that it has and did not answer.
    load: Arc<AtomicUsize>,
    process_id: watch::Receiver<Option<u32>>,
}

/// What a supervisor is asked to do. The sender bounds how many there are.
struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Reply, BatchFailure>>,
}

enum Work {
    Describe(Arc<Artifact>),
    Configure {
        plugin: Arc<Artifact>,
        config: String,
    },
    Validate {
        plugin: Digest,
        schema: String,
        config: String,
    },
    Score {
        items: Arc<[JobItem]>,
        calls: Vec<ScorerCall>,
    },
    /// One call whose plugin has a judge.
    Judge {
        items: Arc<[JobItem]>,
        call: ScorerCall,
        judge: Arc<dyn Judge>,
    },
    Extract {
        sessions: Arc<[JobSession]>,
        calls: Vec<ScorerCall>,
    },
}

impl Work {
    fn plugins(&self) -> impl Iterator<Item = Digest> {
        let (one, several) = match self {
            Self::Describe(plugin) | Self::Configure { plugin, .. } => (Some(plugin.digest()), &[][..]),
            Self::Validate { plugin, .. } => (Some(*plugin), &[][..]),
            Self::Judge { call, .. } => (Some(call.plugin.digest()), &[][..]),
            Self::Score { calls, .. } | Self::Extract { calls, .. } => (None, calls.as_slice()),
        };
        one.into_iter().chain(several.iter().map(|call| call.plugin.digest()))
    }
}

impl Workers {
    /// Starts the processes and waits for the first that is ready.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (report, mut ready) = watch::channel::<Option<Ready>>(None);
        let (failed, mut failures) = mpsc::unbounded_channel();
        let health = Arc::new(health::Health::new(settings.restarts_per_minute_max));
        let lanes = (0..settings.count.max(1))
            .map(|_| {
                let (jobs, received) = mpsc::unbounded_channel();
                let load = Arc::new(AtomicUsize::new(0));
                let (announce, process_id) = watch::channel(None);
                tokio::spawn(supervisor::supervise(
                    settings.clone(),
                    received,
                    Arc::clone(&load),
                    Arc::clone(&health),
                    supervisor::Reports {
                        ready: report.clone(),
                        process_id: announce,
                        failed: failed.clone(),
                    },
                ));
                Lane { jobs, load, process_id }
            })
            .collect();
        drop(failed);
        tokio::select! {
            said = ready.wait_for(Option::is_some) => {
                said.map_err(|_| StartError::NotReady("every supervisor stopped".into()))?;
            }
            Some(reason) = failures.recv() => return Err(StartError::NotReady(reason)),
        }
        let missing = ready.borrow().as_ref().map(|ready| ready.missing.clone()).unwrap_or_default();
        if settings.confinement == Confinement::Required && !missing.is_empty() {
            let named: Vec<_> =
                missing.iter().map(|missing| format!("{}: {}", missing.boundary, missing.reason)).collect();
            return Err(StartError::Unconfined(named.join("; ")));
        }
        for MissingBoundary { boundary, reason } in &missing {
            tracing::warn!(%boundary, %reason, "workers lack a boundary; see docs/security.md");
        }
        let compiling = tokio::sync::Semaphore::new(1);
        Ok(Self { shared: Arc::new(Shared { settings, lanes, ready, compiling }) })
    }

    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.shared.lanes.len()
    }

    /// What guests may use.
    pub fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// The process ids of the workers that run now.
    pub fn process_ids(&self) -> Vec<u32> {
        self.shared.lanes.iter().filter_map(|lane| *lane.process_id.borrow()).collect()
    }

    /// Whether any job is under way or waits.
    pub fn is_busy(&self) -> bool {
        self.shared.lanes.iter().any(|lane| lane.load.load(Ordering::Relaxed) > 0)
    }

    /// What artifacts have to be made for.
    pub fn compatibility(&self) -> u64 {
        self.shared.ready.borrow().as_ref().expect("`start` waited for it").compatibility
    }

    /// What the system could not take away from the workers.
    pub fn missing_boundaries(&self) -> Vec<MissingBoundary> {
        self.shared.ready.borrow().as_ref().map(|ready| ready.missing.clone()).unwrap_or_default()
    }

    /// Compiles a component in a process of its own. One at a time: a large
    /// component takes hundreds of megabytes.
    pub async fn compile(&self, component: Vec<u8>) -> Result<Vec<u8>, CompileError> {
        let _turn = self.shared.compiling.acquire().await.expect("the semaphore is never closed");
        let settings = self.shared.settings.clone();
        tokio::task::spawn_blocking(move || compile::compile(&settings, &component))
            .await
            .unwrap_or_else(|error| Err(CompileError::Process(error.to_string())))
    }

    /// Asks a plugin what it is.
    pub async fn describe(&self, plugin: &Arc<Artifact>) -> Result<Descriptor, BatchFailure> {
        match self.submit(Work::Describe(Arc::clone(plugin))).await? {
            Reply::Described(described) => described,
            _ => Err(mismatched()),
        }
    }

    /// Checks a configuration: the outputs that it gives, or what is wrong.
    pub async fn configure(
        &self,
        plugin: &Arc<Artifact>,
        config: &str,
    ) -> Result<Result<Vec<Output>, Vec<Problem>>, BatchFailure> {
        let work = Work::Configure { plugin: Arc::clone(plugin), config: config.to_owned() };
        match self.submit(work).await? {
            Reply::Configured(configured) => configured,
            _ => Err(mismatched()),
        }
    }

    /// Checks a configuration against a plugin's schema: what is wrong with it,
    /// or with the schema. A schema is the plugin's, and may take forever.
    pub async fn validate(
        &self,
        plugin: Digest,
        schema: String,
        config: String,
    ) -> Result<Result<Vec<Problem>, String>, BatchFailure> {
        match self.submit(Work::Validate { plugin, schema, config }).await? {
            Reply::Validated(validated) => Ok(validated),
            _ => Err(mismatched()),
        }
    }

    /// Scores or classifies a batch. A call with a judge stands alone. An `Err`
    /// means that its worker was lost.
    pub async fn score(
        &self,
        items: Arc<[JobItem]>,
        mut calls: Vec<ScorerCall>,
    ) -> Result<BatchOutcome<ItemAnswer>, BatchFailure> {
        let wanted = (calls.len(), items.len());
        let judge = calls.iter_mut().find_map(|call| call.judge.take());
        debug_assert!(judge.is_none() || calls.len() == 1, "a call with a judge stands alone");
        let work = match judge {
            Some(judge) => Work::Judge { items, call: calls.remove(0), judge },
            None => Work::Score { items, calls },
        };
        match self.submit(work).await? {
            Reply::Scored(outcome) => whole(outcome, wanted),
            _ => Err(mismatched()),
        }
    }

    /// Extracts a batch's signals. An `Err` means that its worker was lost.
    pub async fn extract(
        &self,
        sessions: Arc<[JobSession]>,
        calls: Vec<ScorerCall>,
    ) -> Result<BatchOutcome<SessionAnswer>, BatchFailure> {
        let wanted = (calls.len(), sessions.len());
        match self.submit(Work::Extract { sessions, calls }).await? {
            Reply::Extracted(outcome) => whole(outcome, wanted),
            _ => Err(mismatched()),
        }
    }

    async fn submit(&self, work: Work) -> Result<Reply, BatchFailure> {
        let lane = self
            .shared
            .lanes
            .iter()
            .min_by_key(|lane| lane.load.load(Ordering::Relaxed))
            .expect("there is at least one worker");
        lane.load.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let lost = || failure(Cause::WorkerDied, "the workers were stopped".into());
        lane.jobs.send(Job { work, answer }).map_err(|_| lost())?;
        answered.await.map_err(|_| lost())?
    }
}

fn failure(cause: Cause, message: String) -> BatchFailure {
    BatchFailure { unscored: Unscored { cause, message } }
}

/// The outcome, where it has an entry for each call, and an answer in it for
/// each that the batch holds.
fn whole<A>(
    outcome: BatchOutcome<A>,
    (calls, batch): (usize, usize),
) -> Result<BatchOutcome<A>, BatchFailure> {
    let whole = outcome.len() == calls && outcome.iter().flatten().all(|answers| answers.len() == batch);
    if whole { Ok(outcome) } else { Err(mismatched()) }
}

/// A worker that answers another question than it was asked is not to be believed.
fn mismatched() -> BatchFailure {
    failure(Cause::WorkerDied, "the worker answered out of turn".into())
}
