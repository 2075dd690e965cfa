//! Whether the database can be written, as the last write found it.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;

use super::{Result, Store, StoreError};

/// Whether the database can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It can.
    Writable,
    /// The disk is full; runs wait.
    DiskFull,
    /// Another process holds it; runs wait.
    Locked,
    /// Its content is damaged.
    Damaged,
}

const ALL: [Condition; 4] = [Condition::Writable, Condition::DiskFull, Condition::Locked, Condition::Damaged];

/// The last write's finding.
#[derive(Debug, Default)]
pub struct LastCondition(AtomicU8);

impl LastCondition {
    pub fn note<T>(&self, result: &Result<T>) {
        let found = match result {
            Ok(_) => Condition::Writable,
            Err(StoreError::DiskFull) => Condition::DiskFull,
            Err(StoreError::Locked) => Condition::Locked,
            Err(StoreError::Damaged(_)) => Condition::Damaged,
            // A refused request says nothing about the disk.
            Err(_) => return,
        };
        self.0.store(found as u8, Ordering::Relaxed);
    }

    pub fn get(&self) -> Condition {
        ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

impl StoreError {
    /// Whether the same write can succeed later with nothing else changed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Locked)
    }
}

impl Store {
    /// Whether the database can be written. Where the last write could not, a
    /// small one is tried.
    pub async fn condition(&self) -> Condition {
        if self.last_condition.get() != Condition::Writable {
            self.write(|transaction| {
                let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
                Ok(transaction.pragma_update(None, "user_version", version)?)
            })
            .await
            .ok();
        }
        self.last_condition.get()
    }
}
