//! A data directory as one file, and back.
//!
//! A backup is a tar archive: the database as it was at one moment, and every
//! accepted component. The cache of compiled artifacts is not in it, because it
//! is made again. Files of the watched folder come back from the components.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{AppError, DATABASE, lock};
use crate::catalogue::{COMPONENTS, WATCHED, component_file};
use crate::store::{StoreError, check_file, snapshot};

/// Why there is no backup, or no restored data directory.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup exists.
    #[error("`{}` exists already: choose another name", .0.display())]
    Exists(PathBuf),
    /// There is no database to back up.
    #[error("there is no database in `{}`", .0.display())]
    NoDatabase(PathBuf),
    /// The data directory has a database.
    #[error("`{}` holds a database already: restore over it with `--replace`, which keeps the old one beside it", .0.display())]
    Occupied(PathBuf),
    /// A file cannot be read or written.
    #[error("failed to {doing} `{}`: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive is not what a backup holds.
    #[error("`{}` is no backup: {reason}", path.display())]
    NoBackup {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory is at fault.
    #[error(transparent)]
    App(#[from] AppError),
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BackupError + 'a {
    move |source| BackupError::File { doing, path: path.to_owned(), source }
}

/// Backs a data directory up while a daemon may work in it.
pub fn back_up(data_dir: &Path, to: &Path) -> Result<u64, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let database = data_dir.join(DATABASE);
    if !database.is_file() {
        return Err(BackupError::NoDatabase(data_dir.to_owned()));
    }
    let beside = |suffix: &str| {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        to.with_file_name(name)
    };
    // Removed on every way out.
    let (copy, part) = (Remove(beside(".db.part")), Remove(beside(".part")));
    fs::remove_file(&copy.0).ok();
    snapshot(&database, &copy.0)?;
    let checked = check_file(&copy.0)?;
    if !checked.problems.is_empty() {
        return Err(StoreError::Damaged(checked.problems.join("; ")).into());
    }
    let file = File::create(&part.0).map_err(failed("write", &part.0))?;
    let mut archive = tar::Builder::new(file);
    archive.append_path_with_name(&copy.0, DATABASE).map_err(failed("read", &copy.0))?;
    for digest in &checked.plugins {
        let name = component_file(*digest);
        let component = data_dir.join(COMPONENTS).join(&name);
        archive
            .append_path_with_name(&component, Path::new(COMPONENTS).join(&name))
            .map_err(failed("read", &component))?;
    }
    let file = archive.into_inner().map_err(failed("write", &part.0))?;
    file.sync_all().map_err(failed("write", &part.0))?;
    let size = file.metadata().map_err(failed("read", &part.0))?.len();
    fs::rename(&part.0, to).map_err(failed("write", to))?;
    Ok(size)
}

/// What becomes of a database that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The restore is refused.
    Keep,
    /// It is moved aside.
    Replace,
}

/// Makes a data directory from a backup. Refused while a daemon works there.
pub fn restore(from: &Path, data_dir: &Path, existing: Existing) -> Result<(), BackupError> {
    fs::create_dir_all(data_dir).map_err(failed("make", data_dir))?;
    let _lock = lock(data_dir)?;
    let database = data_dir.join(DATABASE);
    if database.exists() && existing == Existing::Keep {
        return Err(BackupError::Occupied(data_dir.to_owned()));
    }
    let staging = data_dir.join(".restore.part");
    fs::remove_dir_all(&staging).ok();
    let staging = Remove(staging);
    let archive = File::open(from).map_err(failed("read", from))?;
    let no_backup = |reason: String| BackupError::NoBackup { path: from.to_owned(), reason };
    unpack(archive, &staging.0).map_err(|error| no_backup(error.to_string()))?;
    let copy = staging.0.join(DATABASE);
    if !copy.is_file() {
        return Err(no_backup(format!("there is no `{DATABASE}` in it")));
    }
    let checked = check_file(&copy)?;
    if !checked.problems.is_empty() {
        return Err(no_backup(checked.problems.join("; ")));
    }
    let components = data_dir.join(COMPONENTS);
    fs::create_dir_all(&components).map_err(failed("make", &components))?;
    for digest in &checked.plugins {
        let name = component_file(*digest);
        let staged = staging.0.join(COMPONENTS).join(&name);
        fs::rename(&staged, components.join(&name)).map_err(failed("find in the backup", &staged))?;
    }
    let watched = data_dir.join(WATCHED);
    fs::create_dir_all(&watched).map_err(failed("make", &watched))?;
    for (file, digest) in &checked.plugin_files {
        // A name is one of this folder, whatever the archive says.
        let Some(name) = Path::new(file).file_name() else { continue };
        let (component, file) = (components.join(component_file(*digest)), watched.join(name));
        if component.is_file() && !file.exists() {
            fs::copy(&component, &file).map_err(failed("write", &file))?;
        }
    }
    // A log of the old database would be played into the new one.
    for suffix in ["", "-wal", "-shm"] {
        let old = data_dir.join(format!("{DATABASE}{suffix}"));
        if old.exists() {
            let aside = data_dir.join(format!("{DATABASE}.replaced{suffix}"));
            fs::rename(&old, &aside).map_err(failed("move aside", &old))?;
        }
    }
    fs::rename(&copy, &database).map_err(failed("write", &database))
}

/// Takes only the names that a backup has, whatever else is in the archive.
fn unpack(archive: File, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.join(COMPONENTS))?;
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let plain = entry.header().entry_type().is_file();
        let known = path == Path::new(DATABASE)
            || (path.parent() == Some(Path::new(COMPONENTS))
                && path.extension().is_some_and(|extension| extension == "wasm"));
        if plain && known {
            io::copy(&mut entry, &mut File::create(to.join(path))?)?;
        }
    }
    Ok(())
}

/// A file or folder that goes with this value.
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0)).ok();
    }
}
