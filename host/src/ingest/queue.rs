//! The bounded queue before the database, and the task that writes what waits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::IngestError;
use crate::config;
use crate::domain::clock::Clock;
use crate::store::{Arrival, ArrivalRules, Kept, Store, StoreError};

/// The queue is counted in units of this many bytes.
const UNIT_BYTES: usize = 1 << 10;

/// A way into the queue.
pub struct Queue {
    room: Arc<Semaphore>,
    units: usize,
    entries: mpsc::UnboundedSender<Entry>,
}

/// What one request brought. Its room is given back when it is written.
struct Entry {
    arrivals: Vec<Arrival>,
    _room: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Vec<Kept>, Arc<StoreError>>>,
}

impl Queue {
    /// Starts the task that writes. It ends with the queue.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        rules: ArrivalRules,
        settings: &config::Ingest,
    ) -> Self {
        let units = (settings.queue_bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        // Bounded by the room that each entry holds.
        let (entries, received) = mpsc::unbounded_channel();
        tokio::spawn(write_all(store, clock, rules, received, settings.batch_items_max));
        Self { room: Arc::new(Semaphore::new(units)), units, entries }
    }

    /// Puts arrivals in and waits until they are on disk.
    pub async fn put(&self, arrivals: Vec<Arrival>) -> Result<Vec<Kept>, IngestError> {
        if arrivals.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: usize = arrivals.iter().map(Arrival::size).sum();
        // What is larger than the queue may go alone.
        let wanted = bytes.div_ceil(UNIT_BYTES).clamp(1, self.units);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(wanted).map_err(|_| {
            metrics::counter!("assay_ingest_refused_total").increment(1);
            IngestError::Full
        })?;
        let (answer, answered) = oneshot::channel();
        let entry = Entry { arrivals, _room: room, answer };
        let closed = || Arc::new(StoreError::Closed);
        self.entries.send(entry).map_err(|_| closed())?;
        Ok(answered.await.map_err(|_| closed())??)
    }
}

async fn write_all(
    store: Store,
    clock: Arc<dyn Clock>,
    rules: ArrivalRules,
    mut received: mpsc::UnboundedReceiver<Entry>,
    items_max: usize,
) {
    while let Some(first) = received.recv().await {
        let mut entries = vec![first];
        let mut items = entries[0].arrivals.len();
        while items < items_max
            && let Ok(entry) = received.try_recv()
        {
            items += entry.arrivals.len();
            entries.push(entry);
        }
        write(&store, clock.as_ref(), rules, entries).await;
    }
}

/// Writes what several requests brought in one transaction, and answers each.
async fn write(store: &Store, clock: &dyn Clock, rules: ArrivalRules, entries: Vec<Entry>) {
    let mut arrivals = Vec::new();
    let mut waiting = Vec::with_capacity(entries.len());
    for mut entry in entries {
        waiting.push((entry.arrivals.len(), entry.answer, entry._room));
        arrivals.append(&mut entry.arrivals);
    }
    metrics::counter!("assay_ingested_total").increment(arrivals.len() as u64);
    match store.arrivals_insert(arrivals, clock.now(), rules).await {
        Ok(kept) => {
            let mut kept = kept.into_iter();
            for (count, answer, _room) in waiting {
                answer.send(Ok(kept.by_ref().take(count).collect())).ok();
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for (_, answer, _room) in waiting {
                answer.send(Err(Arc::clone(&error))).ok();
            }
        }
    }
}
