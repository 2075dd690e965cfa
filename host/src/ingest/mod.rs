//! What comes in from production: decoded, redacted, classified, and on disk
//! before it is acknowledged.
//!
//! Everything passes one bounded queue, behind which one task writes all that
//! waits in one transaction. A full queue refuses; it never drops what was
//! taken. Spans of one trace wait in the store until the trace is whole.

mod classes;
pub mod file;
mod native;
pub mod otlp;
mod queue;
mod reclassifier;
mod redaction;
mod traces;

use std::sync::Arc;

use crate::config;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::production::{Event, ProductionInteraction};
use crate::store::{Arrival, ArrivalRules, Kept, NewInteraction, Store, StoreError, TraceWaits};

pub use native::{Lines, Rejected, event_of, interaction_of, read_events, read_interactions};
pub use reclassifier::Reclassifier;
pub use redaction::{Redactor, RuleError};
pub use traces::names_user;

use queue::Queue;

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;

/// Why something was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Too much waits already.
    #[error("the ingest queue is full (`ingest.queue_bytes_max`); send it again in a moment")]
    Full,
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

/// How many of a batch were new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// New ones.
    pub new: usize,
    /// Those that were there before.
    pub duplicates: usize,
}

/// Takes in what production sends. Clones share it.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: config::Ingest,
    redactor: Redactor,
    reclassifier: Reclassifier,
    queue: Queue,
    waiting: traces::Waiting,
}

impl Ingest {
    /// Compiles the rules and starts the task that writes.
    pub fn start(store: Store, clock: Arc<dyn Clock>, settings: config::Ingest) -> Result<Self, RuleError> {
        let redactor = Redactor::new(&settings.redact)?;
        let reclassifier = Reclassifier::new(store.clone(), Arc::clone(&clock), &settings.classes)?;
        let seconds = |seconds: u32| i64::from(seconds) * SECOND_US;
        let rules = ArrivalRules {
            idle_gap_us: seconds(settings.session_idle_s),
            waits: TraceWaits {
                settle_us: seconds(settings.trace_settle_s),
                rootless_us: seconds(settings.trace_rootless_s),
            },
        };
        let queue = Queue::start(store.clone(), Arc::clone(&clock), rules, &settings);
        let waiting = traces::Waiting::default();
        Ok(Self {
            shared: Arc::new(Shared { store, clock, settings, redactor, reclassifier, queue, waiting }),
        })
    }

    /// Takes interactions; they are on disk when this returns.
    pub async fn interactions(&self, interactions: Vec<ProductionInteraction>) -> Result<Taken, IngestError> {
        let now = self.shared.clock.now();
        let arrivals = interactions
            .into_iter()
            .map(|interaction| Arrival::Interaction(Box::new(self.prepare(interaction, now))))
            .collect();
        self.take(arrivals).await
    }

    /// Takes events; they are on disk when this returns.
    pub async fn events(&self, events: Vec<Event>) -> Result<Taken, IngestError> {
        let arrivals = events
            .into_iter()
            .map(|mut event| {
                self.shared.redactor.event(&mut event);
                Arrival::Event(event)
            })
            .collect();
        self.take(arrivals).await
    }

    /// The settings that it goes by.
    pub fn settings(&self) -> &config::Ingest {
        &self.shared.settings
    }

    /// What gives interactions that are there their class anew, by the same rules.
    pub fn reclassifier(&self) -> &Reclassifier {
        &self.shared.reclassifier
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Redacts, classifies and packs an interaction.
    fn prepare(&self, mut interaction: ProductionInteraction, received_at: Timestamp) -> NewInteraction {
        let shared = &self.shared;
        // Rules may speak of what redaction replaces.
        let rules =
            shared.reclassifier.classifier().classify(&mut interaction.interaction, &interaction.origin);
        shared.redactor.interaction(&mut interaction.interaction, &mut interaction.origin);
        NewInteraction::new(interaction, received_at, rules)
    }

    async fn take(&self, arrivals: Vec<Arrival>) -> Result<Taken, IngestError> {
        let kept = self.shared.queue.put(arrivals).await?;
        let new = kept.iter().filter(|kept| **kept == Kept::New).count();
        Ok(Taken { new, duplicates: kept.len() - new })
    }
}
