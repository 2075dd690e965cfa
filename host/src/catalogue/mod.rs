//! Plugins: accepting component files, keeping them, and swapping builds.
//!
//! A file is accepted only after it was compiled, described and smoke-tested
//! in worker processes. What is broken is listed with its reason and replaces
//! nothing. Accepted components are kept by digest, because runs refer to them.

mod accept;
mod bundled;
mod folder;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::store::{Store, StoreError, StoredPlugin};
use crate::workers::{Artifact, ArtifactCache, ArtifactError, CompileError, Workers};

pub use accept::Rejected;
pub use folder::{FileStatus, watch};

/// The watched folder of a data directory.
pub const WATCHED: &str = "plugins";
/// Where a data directory keeps accepted components.
pub const COMPONENTS: &str = "components";

/// The contract that this build speaks.
pub const CONTRACT: &str = "assay:plugin@0.1.0";

/// Why a plugin is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The component is at fault.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache of artifacts is at fault.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Compiling failed, though the component was accepted once.
    #[error("failed to compile plugin {digest}: {source}")]
    Compile {
        /// Which.
        digest: Digest,
        /// Why.
        source: CompileError,
    },
    /// A file cannot be used.
    #[error("failed to use `{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// All plugins of a data directory. Clones share them.
#[derive(Clone)]
pub struct Catalogue {
    shared: Arc<Shared>,
}

struct Shared {
    /// The watched folder.
    folder: PathBuf,
    /// Accepted components, by digest.
    components: PathBuf,
    component_bytes_max: u64,
    cache: ArtifactCache,
    store: Store,
    workers: Workers,
    clock: Arc<dyn Clock>,
    artifacts: Mutex<HashMap<Digest, Arc<Artifact>>>,
    files: Mutex<BTreeMap<String, FileStatus>>,
    /// One scan at a time.
    scanning: tokio::sync::Mutex<()>,
}

impl Catalogue {
    /// Opens the folders of a data directory. A component is not larger than
    /// `component_bytes_max`.
    pub fn open(
        data: &Path,
        component_bytes_max: u64,
        cache: ArtifactCache,
        store: Store,
        workers: Workers,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CatalogueError> {
        let make = |name: &str| {
            let path = data.join(name);
            fs::create_dir_all(&path)
                .map_err(|source| CatalogueError::File { path: path.clone(), source })?;
            Ok::<_, CatalogueError>(path)
        };
        Ok(Self {
            shared: Arc::new(Shared {
                folder: make(WATCHED)?,
                components: make(COMPONENTS)?,
                component_bytes_max,
                cache,
                store,
                workers,
                clock,
                artifacts: Mutex::default(),
                files: Mutex::default(),
                scanning: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// The watched folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// The largest component file, in bytes.
    pub fn component_bytes_max(&self) -> u64 {
        self.shared.component_bytes_max
    }

    /// What became of each file of the watched folder.
    pub fn files(&self) -> BTreeMap<String, FileStatus> {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The build that a scorer names: the pinned one, or the current one.
    pub async fn find(&self, name: &str, digest: Option<Digest>) -> Result<StoredPlugin, StoreError> {
        match digest {
            None => self.shared.store.plugin_current(name.to_owned()).await,
            Some(digest) => {
                let found = self.shared.store.plugin_get(digest).await?;
                found.filter(|plugin| plugin.descriptor.name == name).ok_or_else(|| StoreError::NotFound {
                    kind: "plugin",
                    name: format!("{name}` with digest `{digest}"),
                })
            }
        }
    }

    /// The artifact of an accepted plugin: from memory, from the cache, or
    /// compiled again.
    pub async fn artifact(&self, digest: Digest) -> Result<Arc<Artifact>, CatalogueError> {
        if let Some(artifact) = self.artifacts().get(&digest) {
            return Ok(Arc::clone(artifact));
        }
        let shared = Arc::clone(&self.shared);
        let compatibility = shared.workers.compatibility();
        let cached = blocking(move || shared.cache.get(digest, compatibility)).await?;
        let artifact = match cached {
            Some(artifact) => artifact,
            None => {
                let path = self.component_path(digest);
                let component =
                    fs::read(&path).map_err(|source| CatalogueError::File { path: path.clone(), source })?;
                self.compile(digest, component)
                    .await?
                    .map_err(|source| CatalogueError::Compile { digest, source })?
            }
        };
        let artifact = Arc::new(artifact);
        self.artifacts().insert(digest, Arc::clone(&artifact));
        Ok(artifact)
    }

    async fn compile(
        &self,
        digest: Digest,
        component: Vec<u8>,
    ) -> Result<Result<Artifact, CompileError>, CatalogueError> {
        let bytes = match self.shared.workers.compile(component).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let shared = Arc::clone(&self.shared);
        let compatibility = shared.workers.compatibility();
        Ok(Ok(blocking(move || shared.cache.put(digest, compatibility, &bytes)).await?))
    }

    /// Makes an older build the current one: the one before the present, or
    /// the given one.
    pub async fn roll_back(&self, name: &str, to: Option<Digest>) -> Result<StoredPlugin, CatalogueError> {
        let store = &self.shared.store;
        let history = store.plugin_history(name.to_owned()).await?;
        let current = history.first().and_then(|change| change.digest);
        let to = match to {
            Some(digest) => digest,
            None => history
                .iter()
                .filter_map(|change| change.digest)
                .find(|digest| Some(*digest) != current)
                .ok_or_else(|| StoreError::NotFound {
                    kind: "earlier build of plugin",
                    name: name.to_owned(),
                })?,
        };
        let plugin = self.find(name, Some(to)).await?;
        store.plugin_set_current(name.to_owned(), Some(to), self.shared.clock.now()).await?;
        Ok(plugin)
    }

    /// Takes a plugin out of use, with its files in the watched folder. Its
    /// component stays for the runs that refer to it.
    pub async fn remove(&self, name: &str) -> Result<(), CatalogueError> {
        let store = &self.shared.store;
        store.plugin_current(name.to_owned()).await?;
        for (file, digest) in store.plugin_file_list().await? {
            let of_this =
                store.plugin_get(digest).await?.is_some_and(|plugin| plugin.descriptor.name == name);
            if of_this {
                let path = self.shared.folder.join(&file);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(CatalogueError::File { path, source: error });
                    }
                    _ => store.plugin_file_set(file, None).await?,
                }
            }
        }
        store.plugin_set_current(name.to_owned(), None, self.shared.clock.now()).await?;
        Ok(())
    }

    fn artifacts(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Artifact>>> {
        self.shared.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component_path(&self, digest: Digest) -> PathBuf {
        self.shared.components.join(component_file(digest))
    }
}

/// The name of an accepted component's file in [`COMPONENTS`].
pub fn component_file(digest: Digest) -> String {
    format!("{}.wasm", digest.to_string().trim_start_matches("sha256:"))
}

/// File work of a few megabytes, off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("file work does not panic")
}
