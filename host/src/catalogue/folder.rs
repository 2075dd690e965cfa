//! The watched folder: what is dropped there is accepted, what is deleted
//! there goes out of use.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::{Catalogue, CatalogueError, Rejected, blocking, bundled};
use crate::domain::digest::Digest;

/// After a change the folder is left alone this long, so that a file which is
/// being copied is read once and whole.
const SETTLE: Duration = Duration::from_millis(200);
/// Some file systems report no changes; then this is how late a file is seen.
const RESCAN: Duration = Duration::from_secs(30);

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// Digest of what it holds; none where it could not be read.
    pub digest: Option<Digest>,
    /// The plugin's name, or why it was not accepted.
    pub outcome: Result<String, String>,
}

/// Watches the folder until the future is dropped.
pub async fn watch(catalogue: Catalogue) {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_event| {
        // A full channel means that a scan is due anyway.
        changed.try_send(()).ok();
    })
    .and_then(|mut watcher| {
        watcher.watch(catalogue.folder(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    if let Err(error) = &watcher {
        tracing::warn!(%error, "the plugin folder cannot be watched; it is read every 30 s instead");
    }
    loop {
        // First of all too: a file may have come before the watcher was there.
        if let Err(error) = catalogue.scan().await {
            tracing::error!(%error, "failed to read the plugin folder");
        }
        tokio::select! {
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                changes.try_recv().ok();
            }
            () = tokio::time::sleep(RESCAN) => {}
        }
    }
}

impl Catalogue {
    /// Reads the folder once: accepts what is new, lists what is broken,
    /// takes out of use what is gone.
    pub async fn scan(&self) -> Result<(), CatalogueError> {
        let _alone = self.shared.scanning.lock().await;
        let (folder, bytes_max) = (self.shared.folder.clone(), self.shared.component_bytes_max);
        let seen = blocking(move || read_folder(&folder, bytes_max))
            .await
            .map_err(|source| CatalogueError::File { path: self.shared.folder.clone(), source })?;
        let known: HashMap<_, _> = self.shared.store.plugin_file_list().await?.into_iter().collect();
        let before = self.files();
        let mut files = BTreeMap::new();
        for (file, content) in seen {
            let status = match content {
                Err(reason) => FileStatus { digest: None, outcome: Err(reason) },
                Ok(component) => {
                    let digest = Digest::of(&component);
                    match before.get(&file) {
                        Some(status) if status.digest == Some(digest) => status.clone(),
                        _ => {
                            let new = known.get(&file) != Some(&digest);
                            FileStatus {
                                digest: Some(digest),
                                outcome: self.take(&file, component, digest, new).await,
                            }
                        }
                    }
                }
            };
            if let Err(reason) = &status.outcome
                && before.get(&file) != Some(&status)
            {
                tracing::warn!(file, reason, "a file in the plugin folder is no plugin");
            }
            files.insert(file, status);
        }
        for (file, digest) in known {
            if !files.contains_key(&file) && !bundled::is_bundled(&file) {
                self.forget(file, digest).await?;
            }
        }
        *self.shared.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }

    async fn take(
        &self,
        file: &str,
        component: Vec<u8>,
        digest: Digest,
        new: bool,
    ) -> Result<String, String> {
        if !new && let Ok(Some(plugin)) = self.shared.store.plugin_get(digest).await {
            // Seen before the restart: whatever is current now was chosen since.
            return Ok(plugin.descriptor.name);
        }
        let plugin = self.accept(component).await.map_err(|error| error.to_string())?;
        self.shared
            .store
            .plugin_file_set(file.to_owned(), Some(digest))
            .await
            .map_err(|error| error.to_string())?;
        Ok(plugin.descriptor.name)
    }

    async fn forget(&self, file: String, digest: Digest) -> Result<(), CatalogueError> {
        let store = &self.shared.store;
        if let Some(plugin) = store.plugin_get(digest).await? {
            let name = plugin.descriptor.name;
            let is_current =
                store.plugin_current(name.clone()).await.is_ok_and(|current| current.digest == digest);
            if is_current {
                tracing::info!(plugin.name = name, file, "plugin taken out of use, because its file is gone");
                store.plugin_set_current(name, None, self.shared.clock.now()).await?;
            }
        }
        store.plugin_file_set(file, None).await?;
        Ok(())
    }
}

type Content = Result<Vec<u8>, String>;

fn read_folder(folder: &Path, bytes_max: u64) -> std::io::Result<Vec<(String, Content)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.ends_with(".wasm") || name.starts_with('.') {
            continue;
        }
        let content = match entry.metadata() {
            Ok(metadata) if metadata.len() > bytes_max => {
                Err(Rejected::TooLarge { bytes: metadata.len(), bytes_max }.to_string())
            }
            _ => fs::read(entry.path()).map_err(|error| format!("failed to read: {error}")),
        };
        files.push((name, content));
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(files)
}
