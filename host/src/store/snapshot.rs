//! Copies of the database, and whether a file is a good one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Result, StoreError, migrations};
use crate::domain::digest::Digest;

/// Problems that one check tells of.
const TOLD_MAX: u32 = 20;

/// What a look at a database file found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Its schema.
    pub schema: u32,
    /// Runs that are not over.
    pub open_runs: u64,
    /// The plugins that it refers to.
    pub plugins: Vec<Digest>,
    /// Files of the watched folder, with the digests of their components.
    pub plugin_files: Vec<(String, Digest)>,
    /// What is wrong with it, in SQLite's words.
    pub problems: Vec<String>,
}

/// Writes a consistent copy of a database that may be in use. `to` must not
/// exist.
pub fn snapshot(from: &Path, to: &Path) -> Result<()> {
    // One read transaction: writers go on, and are not in the copy.
    open_read_only(from)?.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(())
}

/// Looks at every page and reference of a database file, changing nothing.
pub fn check_file(path: &Path) -> Result<Checked> {
    let connection = open_read_only(path)?;
    let schema: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > migrations::KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found: schema, known: migrations::KNOWN });
    }
    let mut problems = Vec::new();
    let mut integrity = connection.prepare(&format!("PRAGMA integrity_check({TOLD_MAX})"))?;
    for line in integrity.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            problems.push(line);
        }
    }
    let mut references = connection.prepare("PRAGMA foreign_key_check")?;
    let broken = references.query_map([], |row| {
        Ok(format!(
            "a row of `{}` refers to a missing `{}`",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ))
    })?;
    for line in broken.take(TOLD_MAX as usize) {
        problems.push(line?);
    }
    if schema == 0 {
        problems.push("it holds no tables of this program".into());
        return Ok(Checked { schema, open_runs: 0, plugins: Vec::new(), plugin_files: Vec::new(), problems });
    }
    let open_runs: i64 =
        connection.query_row("SELECT count(*) FROM run WHERE state IN ('queued', 'running')", [], |row| {
            row.get(0)
        })?;
    let mut statement = connection.prepare("SELECT digest FROM plugin ORDER BY digest")?;
    let plugins = statement.query_map([], |row| Ok(Digest::from_bytes(row.get(0)?)))?;
    let plugins = plugins.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare("SELECT file, digest FROM plugin_file ORDER BY file")?;
    let plugin_files = statement.query_map([], |row| Ok((row.get(0)?, Digest::from_bytes(row.get(1)?))))?;
    let plugin_files = plugin_files.collect::<rusqlite::Result<_>>()?;
    Ok(Checked { schema, open_runs: open_runs as u64, plugins, plugin_files, problems })
}

pub(super) fn open_read_only(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|source| StoreError::opening(path, source))?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    Ok(connection)
}
