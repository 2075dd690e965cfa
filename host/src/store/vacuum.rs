//! Rewriting a database file, so that what was let go takes no room in it and
//! leaves no trace.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, Result, StoreError, migrations};

/// Rewrites a database that nobody else has open. It needs as much room again
/// as the new file takes. Answers its size before and after, in bytes.
pub fn vacuum(path: &Path) -> Result<(u64, u64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|source| StoreError::opening(path, source))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let schema: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > migrations::KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found: schema, known: migrations::KNOWN });
    }
    checkpoint(&connection)?;
    let before = size(path);
    // The whole new file goes through the write-ahead log, which is emptied after it.
    connection.execute_batch("VACUUM")?;
    checkpoint(&connection)?;
    Ok((before, size(path)))
}

/// Moves the write-ahead log into the database and cuts it to nothing.
fn checkpoint(connection: &Connection) -> Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(StoreError::Locked) } else { Ok(()) }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
