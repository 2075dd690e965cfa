//! Where a run's answers come from: recordings, or a target that is asked.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Runner, RunnerError};
use crate::domain::clock::Timestamp;
use crate::domain::completion::Presence;
use crate::domain::ids::RunId;
use crate::domain::interaction::{Answer, Item};
use crate::domain::run::Run;
use crate::domain::source::{ProductionSource, ReferenceSource, Source};
use crate::store::{BatchItem, Draw, RowRange, RunInput, StoreError, VersionRef};
use crate::targets::{TargetClient, TargetError};

/// Items that are taken from the store at a time while a target is asked.
const TARGET_ITEMS: u32 = 64;

/// Gives the answers that a run has not scored, in order.
pub(super) struct Answers {
    run: RunId,
    items_max: u32,
    kind: Kind,
}

enum Kind {
    Reference { version: VersionRef, source: ReferenceSource, after: Option<(i64, u32)> },
    Production { draw: Draw, rows: RowRange },
}

impl Answers {
    pub fn new(run: &Run, input: RunInput, items_max: u32) -> Self {
        let (kind, items_max) = match (&run.definition.source, input) {
            (Source::ReferenceSet(source), RunInput::ReferenceSet(version)) => {
                let items_max = if source.target.is_some() { items_max.min(TARGET_ITEMS) } else { items_max };
                (Kind::Reference { version, source: source.clone(), after: None }, items_max)
            }
            (Source::Production { production }, RunInput::Production(rows)) => {
                (Kind::Production { draw: draw(run, production), rows }, items_max)
            }
            _ => unreachable!("a run's input is made from its own source"),
        };
        Self { run: run.id, items_max, kind }
    }

    /// How many there are in all, scored or not; 0 where they have no end.
    pub async fn count(&self, runner: &Runner) -> Result<u64, StoreError> {
        let store = &runner.shared.store;
        match &self.kind {
            Kind::Reference { version, source, .. } if source.target.is_some() => {
                Ok(store.item_count(*version).await? * u64::from(source.trials))
            }
            Kind::Reference { version, source, .. } => {
                store.recorded_count(*version, source.recording().to_owned()).await
            }
            Kind::Production { rows: RowRange { last: None, .. }, .. } => Ok(0),
            Kind::Production { draw, rows } => store.production_count(draw.clone(), *rows).await,
        }
    }

    /// The next ones; empty at the end, or until more come in.
    pub async fn next(&mut self, runner: &Runner) -> Result<Vec<BatchItem>, StoreError> {
        let store = &runner.shared.store;
        match &mut self.kind {
            Kind::Reference { version, source, after } => {
                let batch = if source.target.is_some() {
                    store.target_batch(self.run, *version, source.trials, *after, self.items_max).await?
                } else {
                    let recording = source.recording().to_owned();
                    store.recorded_batch(self.run, *version, recording, *after, self.items_max).await?
                };
                if let Some(last) = batch.last() {
                    *after = Some((last.item, last.trial));
                }
                Ok(batch)
            }
            Kind::Production { draw, rows } => loop {
                let taken = store.production_batch(self.run, draw.clone(), *rows, self.items_max).await?;
                rows.after = rows.after.max(taken.seen);
                if taken.at_end || !taken.items.is_empty() {
                    return Ok(taken.items);
                }
            },
        }
    }

    /// Whether more may come in after the last.
    pub fn follows(&self) -> bool {
        matches!(self.kind, Kind::Production { rows: RowRange { last: None, .. }, .. })
    }

    /// The row of production up to which all was given.
    pub fn seen(&self) -> Option<i64> {
        match &self.kind {
            Kind::Reference { .. } => None,
            Kind::Production { rows, .. } => Some(rows.after),
        }
    }
}

/// What a run takes from production: a window that ends with its start is the
/// same after a restart.
fn draw(run: &Run, source: &ProductionSource) -> Draw {
    let mut slice = source.slice.clone();
    if let Some(last_s) = source.last_s {
        let window_us = i64::try_from(last_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        slice.from = Some(Timestamp(run.created_at.0.saturating_sub(window_us)));
    }
    Draw { slice, sample: source.sample.clone(), salt: run.evaluation }
}

impl Runner {
    /// Asks the target for the answers that a batch lacks. Each is stored as
    /// soon as it is there. A target that refuses every question ends the run.
    pub(super) async fn ask(
        &self,
        run: RunId,
        client: &TargetClient,
        batch: &mut [BatchItem],
    ) -> Result<(), RunnerError> {
        let mut asked = FuturesUnordered::new();
        for item in batch {
            if item.answer.is_none() {
                asked.push(self.ask_one(run, client, item));
            }
        }
        while let Some(result) = asked.next().await {
            result?;
        }
        Ok(())
    }

    async fn ask_one(
        &self,
        run: RunId,
        client: &TargetClient,
        item: &mut BatchItem,
    ) -> Result<(), RunnerError> {
        let question: Item = serde_json::from_str(&item.payload)
            .map_err(|error| StoreError::Unreadable { what: "item", reason: error.to_string() })?;
        let answer = match client.answer(&question).await {
            Ok(answered) => Answer::from(answered),
            Err(error) if error.is_configuration() => return Err(RunnerError::Target(error)),
            Err(error) if error.is_product() => failed(&error),
            // This one cannot be put as a chat: it stays without an answer.
            Err(error) => {
                tracing::warn!(run.id = %run, item.key = item.key, %error, "an item cannot be asked");
                return Ok(());
            }
        };
        let present = answer.presence() == Presence::Given;
        let payload = serde_json::to_string(&answer).expect("an answer is plain JSON");
        let store = &self.shared.store;
        let keep = || store.target_answer_insert(run, item.item, item.trial, present, payload.clone());
        self.persist(keep).await?;
        item.answer = Some((payload, present));
        Ok(())
    }
}

/// The product's failure is part of the measurement.
fn failed(error: &TargetError) -> Answer {
    Answer {
        actual: error.partial().unwrap_or_default().to_owned(),
        error: Some(error.to_string()),
        ..Answer::default()
    }
}
