//! Everything that comes in, written in one transaction.

use super::events;
use super::interactions::{self, Kept, NewInteraction};
use super::names::Names;
use super::traces::{self, PendingPart, TraceWaits};
use super::{Result, Store};
use crate::domain::clock::Timestamp;
use crate::domain::production::Event;

/// Something that came in.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// An interaction that is complete.
    Interaction(Box<NewInteraction>),
    /// A part of a trace that may not be.
    Part(PendingPart),
    /// Something that a user did.
    Event(Event),
}

impl Arrival {
    /// Its size in the database, roughly.
    pub fn size(&self) -> usize {
        match self {
            Self::Interaction(new) => new.size(),
            Self::Part(part) => part.size(),
            Self::Event(event) => {
                event.kind.len() + event.value.as_ref().map_or(0, |value| value.to_string().len()) + 150
            }
        }
    }
}

/// What the writing of arrivals goes by.
#[derive(Debug, Clone, Copy)]
pub struct ArrivalRules {
    /// A conversation that rests longer than this goes on as another session.
    pub idle_gap_us: i64,
    /// How long traces wait.
    pub waits: TraceWaits,
}

impl Store {
    /// Writes arrivals; answers for each whether it was new. All or none are written.
    pub async fn arrivals_insert(
        &self,
        arrivals: Vec<Arrival>,
        received_at: Timestamp,
        rules: ArrivalRules,
    ) -> Result<Vec<Kept>> {
        self.write(move |transaction| {
            let mut names = Names::default();
            arrivals
                .iter()
                .map(|arrival| match arrival {
                    Arrival::Interaction(new) => {
                        interactions::insert(transaction, &mut names, new, rules.idle_gap_us)
                    }
                    Arrival::Part(part) => traces::insert(transaction, part, received_at, rules.waits),
                    Arrival::Event(event) => {
                        events::insert(transaction, &mut names, event, received_at, rules.idle_gap_us)
                    }
                })
                .collect()
        })
        .await
    }
}
