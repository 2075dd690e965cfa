//! Where batches that failed as a whole are tried again, so that a plugin that
//! loops or traps takes little from the others.
//!
//! A batch in quarantine has no place among the batches under way. One batch
//! for each two workers is tried at a time, and while other work waits an
//! attempt that failed is paid for with a pause: what failing attempts take is
//! a stated share of a worker's time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::workers::Workers;

/// Turns for the batches of all runs.
pub struct Quarantine {
    turns: Semaphore,
    share_max: f64,
}

/// A batch's stay in quarantine.
pub struct Stay<'a> {
    quarantine: &'a Quarantine,
    _counted: Counted<'a>,
    _turn: SemaphorePermit<'a>,
}

/// A batch among those of its run that are in quarantine or wait for it.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Quarantine {
    /// `share_max`, over 0 and at most 1, of a worker's time is for attempts
    /// that fail.
    pub fn new(workers: usize, share_max: f64) -> Self {
        Self { turns: Semaphore::new((workers / 2).max(1)), share_max }
    }

    /// Waits for a turn. `batches` counts those of the batch's run, also while
    /// they wait.
    pub async fn enter<'a>(&'a self, batches: &'a AtomicUsize) -> Stay<'a> {
        batches.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(batches);
        let turn = self.turns.acquire().await.expect("the semaphore is never closed");
        Stay { quarantine: self, _counted: counted, _turn: turn }
    }
}

impl Stay<'_> {
    /// Pauses for an attempt that failed after `wasted`, where others wait.
    pub async fn pay(&self, wasted: Duration, workers: &Workers) {
        if workers.is_busy() {
            tokio::time::sleep(wasted.mul_f64(1.0 / self.quarantine.share_max - 1.0)).await;
        }
    }
}
