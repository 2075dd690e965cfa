//! Batches: how what there is to do is cut into them, and the places of those
//! that are under way.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Runner;
use crate::config;

/// A batch's place among those under way; free again when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Which places a batch takes. Those that wait for a judge do not keep the
/// others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It keeps a worker busy.
    Plain,
    /// It mostly waits.
    Judged,
}

impl Runner {
    /// Waits for a place. They bound the batches over all runs, and so the memory.
    pub(super) async fn place(&self, kind: Kind) -> Place {
        let places = match kind {
            Kind::Plain => &self.shared.batches,
            Kind::Judged => &self.shared.judged_batches,
        };
        let permit = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
        Place { _permit: Arc::new(permit) }
    }
}

/// Cuts into batches of at most `batch_max` and within the configured limits.
/// What is larger than a batch may be stands alone.
pub fn cut<T>(
    taken: Vec<T>,
    batch_max: u32,
    limits: &config::Runner,
    size_bytes: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let items_max = batch_max.min(limits.batch_items_max).max(1) as usize;
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for item in taken {
        let size = size_bytes(&item);
        if batch.len() == items_max || (bytes + size > limits.batch_bytes_max && !batch.is_empty()) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(item);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_closes_at_its_items_or_its_bytes_whichever_comes_first() {
        let limits = config::Runner { batch_items_max: 3, batch_bytes_max: 10, ..config::Runner::default() };
        let sizes = vec![1, 1, 1, 1, 9, 11, 1];
        assert_eq!(
            cut(sizes.clone(), 100, &limits, |size| *size),
            [vec![1, 1, 1], vec![1, 9], vec![11], vec![1]]
        );
        assert_eq!(cut(sizes, 1, &limits, |size| *size).len(), 7);
        assert_eq!(cut(Vec::new(), 1, &limits, |size: &usize| *size), Vec::<Vec<usize>>::new());
    }
}
