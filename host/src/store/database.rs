//! The connections and their threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::checkpoints::Checkpoints;
use super::condition::LastCondition;
use super::{BUSY_TIMEOUT, Result, StoreError, migrations};
use crate::fault;

const READERS: usize = 2;
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 128;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the database. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::Sender<Work>,
    readers: mpsc::Sender<Work>,
    pub(super) last_condition: Arc<LastCondition>,
    path: Arc<PathBuf>,
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; \
         PRAGMA mmap_size = 268435456;",
    )?;
    Ok(connection)
}

impl Store {
    /// Opens or makes the database and brings it up to this version.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| StoreError::opening(path, source);
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(failed)?;
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST;",
            )
            .map_err(failed)?;
        migrations::migrate(&mut writer, path)?;
        let mut checkpoints = Checkpoints::start(path, &mut writer).map_err(failed)?;
        let (to_writer, writes) = mpsc::channel::<Work>();
        spawn("store-writer", move || {
            for work in writes {
                work(&mut writer);
                checkpoints.between_commits(&writer);
            }
        });
        let (to_readers, reads) = mpsc::channel::<Work>();
        let reads = Arc::new(Mutex::new(reads));
        for _ in 0..READERS {
            let mut reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
            let reads = Arc::clone(&reads);
            spawn("store-reader", move || {
                loop {
                    let work = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match work {
                        Ok(work) => work(&mut reader),
                        Err(_) => return,
                    }
                }
            });
        }
        let last_condition = Arc::default();
        Ok(Self { writer: to_writer, readers: to_readers, last_condition, path: Arc::new(path.to_owned()) })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One transaction that writes. It is durable when this returns.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let condition = Arc::clone(&self.last_condition);
        self.on_writer(move |connection| {
            let result = transact(connection, work);
            condition.note(&result);
            result
        })
        .await
    }

    /// As [`Store::write`]; what is deleted is overwritten in the file, also
    /// where that takes a write of its own.
    pub(super) async fn erase<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.on_writer(move |connection| {
            connection.execute_batch("PRAGMA secure_delete = ON")?;
            let result = transact(connection, work);
            connection.execute_batch("PRAGMA secure_delete = FAST")?;
            result
        })
        .await
    }

    /// Deletes a name that no interaction up to a row and nothing else has. To look
    /// for its references SQLite would read the whole table of interactions, with
    /// all writes waiting: the caller has looked, and what gets the name meanwhile
    /// makes it stay. So does a reclassification, which gives names to what is there.
    pub(super) async fn erase_name(&self, name: i64, seen: i64) -> Result<()> {
        self.on_writer(move |connection| {
            connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA foreign_keys = OFF")?;
            let result = transact(connection, |transaction| {
                transaction.execute(
                    "DELETE FROM name WHERE id = ?1 \
                     AND NOT EXISTS (SELECT 1 FROM interaction WHERE user = ?1) \
                     AND NOT EXISTS (SELECT 1 FROM event WHERE user = ?1) \
                     AND NOT EXISTS (SELECT 1 FROM session WHERE user = ?1) \
                     AND NOT EXISTS (SELECT 1 FROM reclassification WHERE state = 'running') \
                     AND NOT EXISTS (SELECT 1 FROM interaction WHERE id > ?2 AND ?1 IN \
                         (tenant, request_class, class_rules, template, template_version, model, service_version))",
                    [name, seen],
                )?;
                Ok(())
            });
            connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA secure_delete = FAST")?;
            result
        })
        .await
    }

    /// Empties the write-ahead log; answers whether it is empty. It is not while
    /// someone reads what was there before.
    pub async fn log_empty(&self) -> Result<bool> {
        self.on_writer(|connection| {
            // Writes wait meanwhile.
            connection.busy_timeout(Duration::from_millis(100))?;
            let busy =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok(!busy?)
        })
        .await
    }

    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        // Who asked may have gone; the work is complete all the same.
        let work: Work = Box::new(move |connection| drop(answer.send(work(connection))));
        self.writer.send(work).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// One consistent read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let result =
                connection.transaction().map_err(StoreError::from).and_then(|transaction| work(&transaction));
            answer.send(result).ok();
        });
        self.readers.send(work).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

fn transact<T>(connection: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    fault::point("write-begun");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    fault::point("write-done");
    transaction.commit()?;
    fault::point("write-committed");
    Ok(value)
}

pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.into()).spawn(body).expect("the process may start a thread");
}
