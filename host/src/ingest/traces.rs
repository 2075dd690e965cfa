//! Spans on their way to interactions.
//!
//! A model span that is its own root and brought its content is an interaction
//! at once. Every other span waits in the store for the rest of its trace.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::otlp::{LogFact, LogWhat, SpanRecord, assemble};
use super::{Ingest, IngestError, SECOND_US, Taken};
use crate::domain::ids::InteractionId;
use crate::domain::production::IncomingScore;
use crate::store::{Arrival, AssembledTrace, PendingPart, StoreError, TraceId};

/// Traces that are assembled in one transaction.
const ASSEMBLED_AT_ONCE: u32 = 500;

/// The traces that have spans in the store which were not assembled yet.
#[derive(Default)]
pub struct Waiting(Mutex<HashSet<TraceId>>);

impl Waiting {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<TraceId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record as the store keeps it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Part {
    Log(LogFact),
    Span(Box<SpanRecord>),
}

/// Whether a stored record of a span says that it is a user's. One that cannot be
/// read is nobody's.
pub fn names_user(record: &[u8], user: &str) -> bool {
    let named = match serde_json::from_slice(record) {
        Ok(Part::Span(span)) => span.facts.user,
        Ok(Part::Log(LogFact { what: LogWhat::Details(facts), .. })) => facts.user,
        _ => None,
    };
    named.as_deref() == Some(user)
}

impl Ingest {
    /// Takes spans and log records of spans; they are on disk when this
    /// returns.
    pub async fn spans(&self, spans: Vec<SpanRecord>, logs: Vec<LogFact>) -> Result<Taken, IngestError> {
        let now = self.now();
        let mut together = HashMap::<TraceId, u32>::new();
        for trace in spans.iter().map(|span| span.trace).chain(logs.iter().map(|log| log.trace)) {
            *together.entry(trace).or_default() += 1;
        }
        let mut arrivals = Vec::with_capacity(spans.len() + logs.len());
        for span in spans {
            let alone = together[&span.trace] == 1
                && span.stands_alone()
                && !self.shared.waiting.set().contains(&span.trace);
            if alone {
                let made = assemble(std::slice::from_ref(&span), &[]);
                arrivals.extend(
                    made.into_iter().map(|made| Arrival::Interaction(Box::new(self.prepare(made, now)))),
                );
            } else {
                let (trace, id, is_root) = (span.trace, span.span, span.parent.is_none());
                arrivals.push(self.part(trace, id, 0, is_root, Part::Span(Box::new(span))));
            }
        }
        for log in logs {
            let (trace, span) = (log.trace, log.span);
            let content = serde_json::to_vec(&log).expect("a record is plain JSON");
            let hash = blake3::hash(&content);
            let part = i64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
            arrivals.push(self.part(trace, span, part | 1, false, Part::Log(log)));
        }
        self.take(arrivals).await
    }

    fn part(&self, trace: TraceId, span: [u8; 8], part: i64, is_root: bool, mut record: Part) -> Arrival {
        self.shared.waiting.set().insert(trace);
        match &mut record {
            Part::Span(span) => self.shared.redactor.facts(&mut span.facts),
            Part::Log(log) => self.shared.redactor.log(log),
        }
        let record = serde_json::to_vec(&record).expect("a record is plain JSON");
        Arrival::Part(PendingPart::new(trace, span, part, is_root, &record))
    }

    /// Reads which traces an earlier process left waiting.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let waiting = self.shared.store.traces_waiting().await?;
        self.shared.waiting.set().extend(waiting);
        Ok(())
    }

    /// Turns the traces that have waited long enough into interactions.
    pub async fn assemble_due(&self) -> Result<(), StoreError> {
        let now = self.now();
        loop {
            let due = self.shared.store.traces_due(now, ASSEMBLED_AT_ONCE).await?;
            if due.is_empty() {
                return Ok(());
            }
            let mut assembled = Vec::with_capacity(due.len());
            for trace in due {
                let (mut spans, mut logs) = (Vec::new(), Vec::new());
                for (_, record) in &trace.parts {
                    match serde_json::from_slice(record) {
                        Ok(Part::Span(span)) => spans.push(*span),
                        Ok(Part::Log(log)) => logs.push(log),
                        Err(error) => tracing::error!(%error, "a stored span cannot be read and is left out"),
                    }
                }
                let made = assemble(&spans, &logs);
                let interactions = made.into_iter().map(|made| self.prepare(made, now)).collect();
                let late_scores = scores_of_others(&spans, logs);
                assembled.push(AssembledTrace {
                    id: trace.id,
                    last_received_at: trace.last_received_at,
                    interactions,
                    late_scores,
                });
            }
            {
                let mut waiting = self.shared.waiting.set();
                for trace in &assembled {
                    waiting.remove(&trace.id);
                }
            }
            let idle_gap_us = i64::from(self.shared.settings.session_idle_s) * SECOND_US;
            self.shared.store.traces_assembled(assembled, idle_gap_us).await?;
        }
    }

    /// Forgets spans for which nothing more is expected.
    pub async fn forget_spans(&self) -> Result<(), StoreError> {
        let late_us = i64::from(self.shared.settings.trace_late_s) * SECOND_US;
        let before = crate::domain::clock::Timestamp(self.now().0 - late_us);
        while self.shared.store.traces_forget(before, ASSEMBLED_AT_ONCE).await? > 0 {}
        Ok(())
    }
}

/// Scores of spans that are interactions already.
fn scores_of_others(spans: &[SpanRecord], logs: Vec<LogFact>) -> Vec<(InteractionId, IncomingScore)> {
    logs.into_iter()
        .filter(|log| spans.iter().all(|span| span.span != log.span))
        .filter_map(|log| match log.what {
            LogWhat::Score(score) => Some((InteractionId::of_span(&log.trace, &log.span), score)),
            _ => None,
        })
        .collect()
}
