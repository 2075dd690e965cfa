//! Puts the parts together: a data directory becomes a store, workers, a
//! catalogue and a runner.

mod backup;
mod daemon_client;
mod doctor;
mod erase;
mod export;
mod file_import;
mod import;
mod reclassify;
mod selection;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::ingest::{Ingest, RuleError};
use crate::judge::{JudgeError, Judges};
use crate::protocol;
use crate::runner::Runner;
use crate::store::{Store, StoreError};
use crate::workers::{ArtifactCache, Confinement, Settings, StartError, Workers};

pub use backup::{BackupError, Existing, back_up, restore};
pub use daemon_client::{DaemonClient, DaemonError, Received};
pub use doctor::{Finding, Health, examine};
pub use erase::{ErasedUser, erase_user};
pub use export::{ExportError, ExportFormat, Exported, export};
pub use file_import::{Destination, FileImport, FileImportError, Imported, import_file};
pub use import::{ImportError, import_reference_set};
pub use reclassify::reclassify;
pub use selection::{SelectionError, select_reference_set};

/// Why the parts cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory cannot be used.
    #[error("failed to use the data directory `{}`: {source}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process runs evaluations there.
    #[error(
        "the data directory `{}` is in use by another `assay`: stop it, or choose another with `--data-dir`",
        .0.display()
    )]
    InUse(PathBuf),
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The workers are at fault.
    #[error(transparent)]
    Workers(#[from] StartError),
    /// The rules for what comes in are at fault.
    #[error("the setting `ingest` is wrong: {0}")]
    Ingest(#[from] RuleError),
    /// The judges are at fault.
    #[error(transparent)]
    Judges(#[from] JudgeError),
    /// The plugins are at fault.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// The database's name in a data directory.
const DATABASE: &str = "assay.db";

/// All parts of a data directory. Clones share them.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// The worker processes.
    pub workers: Workers,
    /// The plugins.
    pub catalogue: Catalogue,
    /// The runs.
    pub runner: Runner,
    /// The models that plugins may ask.
    pub judges: Judges,
    /// What comes in from production.
    pub ingest: Ingest,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Held while the process lives: one process executes runs.
    _lock: Option<Arc<File>>,
}

/// Makes the data directory and opens its database.
pub fn open_store(data_dir: &Path) -> Result<Store, AppError> {
    fs::create_dir_all(data_dir).map_err(|source| AppError::DataDir { path: data_dir.to_owned(), source })?;
    Ok(Store::open(&data_dir.join(DATABASE))?)
}

/// Opens a data directory's database where there is one.
pub fn open_store_that_exists(data_dir: &Path) -> Result<Store, AppError> {
    Ok(Store::open(&existing_database(data_dir)?)?)
}

fn existing_database(data_dir: &Path) -> Result<PathBuf, AppError> {
    let database = data_dir.join(DATABASE);
    if database.is_file() {
        Ok(database)
    } else {
        let name = database.display().to_string();
        Err(StoreError::NotFound { kind: "database", name }.into())
    }
}

fn lock(data_dir: &Path) -> Result<File, AppError> {
    let failed = |source| AppError::DataDir { path: data_dir.to_owned(), source };
    let path = data_dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AppError::InUse(data_dir.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

fn worker_settings(config: &Config) -> io::Result<Settings> {
    let mut settings = Settings::of_this_binary()?;
    let workers = &config.workers;
    if workers.count > 0 {
        settings.count = workers.count;
    }
    settings.compile_timeout = Duration::from_secs(workers.compile_timeout_s);
    settings.restarts_per_minute_max = workers.restarts_per_minute_max;
    settings.worker_memory_bytes_max = workers.worker_memory_bytes_max;
    settings.compile_memory_bytes_max = workers.compile_memory_bytes_max;
    if workers.require_sandbox {
        settings.confinement = Confinement::Required;
    }
    settings.limits = protocol::Limits {
        component_nesting_max: workers.component_nesting_max,
        memory_bytes_max: workers.memory_bytes_max,
        table_elements_max: workers.table_elements_max,
        stack_bytes_max: workers.stack_bytes_max,
        answer_bytes_max: workers.answer_bytes_max,
        handles_max: workers.handles_max,
        log_lines_max: workers.log_lines_max,
        log_bytes_max: workers.log_bytes_max,
        deadline_base_ms: workers.deadline_base_ms,
        deadline_item_ms: workers.deadline_item_ms,
        deadline_max_ms: workers.deadline_max_ms,
        judged_batches_max: workers.judged_batches_max,
        judge_calls_per_item_max: workers.judge_calls_per_item_max,
        judge_repairs_max: workers.judge_repairs_max,
    };
    Ok(settings)
}

/// Rewrites a data directory's database, so that what was let go takes no room.
/// Refused while a daemon works there. Answers its size before and after, in
/// bytes.
pub fn vacuum(data_dir: &Path) -> Result<(u64, u64), AppError> {
    let database = existing_database(data_dir)?;
    let _lock = lock(data_dir)?;
    Ok(crate::store::vacuum(&database)?)
}

/// A data directory's ingest alone, without workers, plugins and runs.
pub struct Intake {
    /// What comes in from production.
    pub ingest: Ingest,
    _lock: File,
}

impl Intake {
    /// Opens it, with this process as the only one that works there.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        let store = open_store(&config.data_dir)?;
        let lock = lock(&config.data_dir)?;
        let ingest = Ingest::start(store, clock, config.ingest.clone())?;
        Ok(Self { ingest, _lock: lock })
    }
}

impl App {
    /// Opens everything, with this process as the one that executes runs.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        Self::open_with(config, clock, None).await
    }

    /// Opens everything but leaves runs to the daemon that may be at work: for
    /// commands about plugins.
    pub async fn open_beside_daemon(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        Self::open_parts(config, clock, None, None).await
    }

    /// As [`App::open`], with another binary as worker.
    pub async fn open_with(
        config: &Config,
        clock: Arc<dyn Clock>,
        worker: Option<PathBuf>,
    ) -> Result<Self, AppError> {
        let data_dir = &config.data_dir;
        fs::create_dir_all(data_dir)
            .map_err(|source| AppError::DataDir { path: data_dir.clone(), source })?;
        let lock = lock(data_dir)?;
        Self::open_parts(config, clock, worker, Some(Arc::new(lock))).await
    }

    async fn open_parts(
        config: &Config,
        clock: Arc<dyn Clock>,
        worker: Option<PathBuf>,
        lock: Option<Arc<File>>,
    ) -> Result<Self, AppError> {
        let data_dir = &config.data_dir;
        let failed = |source| AppError::DataDir { path: data_dir.clone(), source };
        let mut settings = worker_settings(config).map_err(failed)?;
        if let Some(worker) = worker {
            settings.executable = worker;
        }
        let store = open_store(data_dir)?;
        let workers = Workers::start(settings).await?;
        let artifacts = config.artifact_dir.clone().unwrap_or_else(|| data_dir.join("artifacts"));
        let cache =
            ArtifactCache::open(&artifacts, config.artifact_cache_bytes_max).map_err(CatalogueError::from)?;
        let catalogue = Catalogue::open(
            data_dir,
            config.workers.component_bytes_max,
            cache,
            store.clone(),
            workers.clone(),
            Arc::clone(&clock),
        )?;
        catalogue.accept_bundled().await?;
        catalogue.scan().await?;
        let judges = Judges::new(store.clone(), Arc::clone(&clock), &config.judge, &config.ingest.redact)?;
        let runner = Runner::new(
            store.clone(),
            catalogue.clone(),
            workers.clone(),
            Arc::clone(&clock),
            config.runner.clone(),
            config.behaviour.extractors.clone(),
            judges.clone(),
        );
        let ingest = Ingest::start(store.clone(), Arc::clone(&clock), config.ingest.clone())?;
        Ok(Self { store, workers, catalogue, runner, judges, ingest, clock, _lock: lock })
    }
}
