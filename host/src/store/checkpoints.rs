//! Moving the write-ahead log into the database beside the commits.
//!
//! SQLite on its own does it within a commit, once the log is long enough: who
//! waits for that commit waits for tens of megabytes to be written. Here a
//! thread of its own moves most of the log while the writer goes on. The writer
//! then moves what came meanwhile, between two commits, because only a log that
//! is moved as a whole begins anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

use rusqlite::{Connection, OpenFlags};

use super::Result;
use super::database::{connect, spawn};

/// Pages of the log after which it is moved, and again after as many: 16 MiB.
const PAGES: i64 = 4_000;
/// More than this is not left to the writer, if another pass can help.
const LEFT_MAX: i64 = 500;
const PASSES_MAX: u32 = 4;
/// A log of so many pages is moved by the writer, whoever waits: 512 MiB.
const PAGES_MAX: i64 = 131_072;

/// The writer's side.
pub struct Checkpoints {
    shared: Arc<Shared>,
    begin: SyncSender<()>,
    /// Pages of the log at which it is moved next.
    due_at: i64,
    last: i64,
}

#[derive(Default)]
struct Shared {
    /// Pages of the log after the last commit.
    pages: AtomicI64,
    /// The other thread is at work.
    working: AtomicBool,
    /// The other thread is done, and the writer's part is to do.
    moved: AtomicBool,
}

impl Checkpoints {
    /// Starts the thread, and takes the writer's log from SQLite's own care.
    pub fn start(path: &Path, writer: &mut Connection) -> rusqlite::Result<Self> {
        let shared = Arc::<Shared>::default();
        let pages = Arc::clone(&shared);
        writer.wal_hook(Some(move |_: &mut _, count| {
            pages.pages.store(i64::from(count), Ordering::Relaxed);
            Ok(())
        }))?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (begin, begun) = mpsc::sync_channel(1);
        let its = Arc::clone(&shared);
        spawn("store-checkpointer", move || work(&connection, &its, &begun));
        Ok(Self { shared, begin, due_at: PAGES, last: 0 })
    }

    /// Does the writer's part, between two commits.
    pub fn between_commits(&mut self, writer: &Connection) {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        if pages < self.last {
            // The log has begun anew.
            self.due_at = PAGES;
        }
        self.last = pages;
        if self.shared.moved.swap(false, Ordering::Acquire) || pages >= PAGES_MAX.max(self.due_at) {
            report(checkpoint(writer));
            // Where someone still reads what is in the log, it goes on instead.
            self.due_at = pages + PAGES;
        } else if pages >= self.due_at && !self.shared.working.swap(true, Ordering::Acquire) {
            self.begin.try_send(()).ok();
        }
    }
}

fn work(connection: &Connection, shared: &Shared, begun: &Receiver<()>) {
    while begun.recv().is_ok() {
        for _ in 0..PASSES_MAX {
            match checkpoint(connection) {
                Ok(moved) if shared.pages.load(Ordering::Relaxed) - moved > LEFT_MAX => {}
                other => {
                    report(other);
                    break;
                }
            }
        }
        shared.moved.store(true, Ordering::Release);
        shared.working.store(false, Ordering::Release);
    }
}

/// Moves what nobody holds up; answers how many pages of the log are moved.
fn checkpoint(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))?)
}

fn report(moved: Result<i64>) {
    if let Err(error) = moved {
        tracing::warn!(%error, "the write-ahead log was not moved into the database and grows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_pages(path: &Path) -> u64 {
        std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len() / 4_096)
    }

    #[test]
    fn a_log_under_constant_writes_is_moved_and_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writer = connect(&path, flags).expect("opened");
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x BLOB)").expect("written");
        let mut checkpoints = Checkpoints::start(&path, &mut writer).expect("started");
        let mut most = 0;
        for round in 0..400 {
            // 200 pages a commit, 80,000 in all.
            writer
                .execute_batch(
                    "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
                     SELECT zeroblob(4000) FROM n",
                )
                .expect("written");
            most = most.max(checkpoints.shared.pages.load(Ordering::Relaxed));
            checkpoints.between_commits(&writer);
            // A reader holds the log for a while.
            if round == 100 {
                let reader = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened");
                let reading = reader.unchecked_transaction().expect("begun");
                reading.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).expect("read");
                writer.execute_batch("INSERT INTO t VALUES (zeroblob(4000))").expect("written");
                checkpoints.between_commits(&writer);
            }
        }
        assert!(most >= PAGES, "it never grew: {most}");
        assert!(
            most < 40_000 && log_pages(&path) < 45_000,
            "{most} of 80,000 pages, and {}",
            log_pages(&path)
        );
        let count: i64 = writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("read");
        assert_eq!(count, 80_001);
    }
}
