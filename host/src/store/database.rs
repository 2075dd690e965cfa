//! The connections and their threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

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

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
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
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;",
            )
            .map_err(failed)?;
        migrations::migrate(&mut writer, path)?;
        let (to_writer, writes) = mpsc::channel::<Work>();
        spawn("store-writer", move || {
            for work in writes {
                work(&mut writer);
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
        let (answer, answered) = oneshot::channel();
        let condition = Arc::clone(&self.last_condition);
        let work: Work = Box::new(move |connection| {
            fault::point("write-begun");
            let result = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(StoreError::from)
                .and_then(|transaction| {
                    let value = work(&transaction)?;
                    fault::point("write-done");
                    transaction.commit()?;
                    fault::point("write-committed");
                    Ok(value)
                });
            condition.note(&result);
            // Who asked may have gone; the transaction is complete all the same.
            answer.send(result).ok();
        });
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

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.into()).spawn(body).expect("the process may start a thread");
}
