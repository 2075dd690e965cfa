//! Where a run's answers come from: recordings, or a target that is asked.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Runner, RunnerError};
use crate::domain::completion::Presence;
use crate::domain::evaluation::Source;
use crate::domain::ids::RunId;
use crate::domain::interaction::{Answer, Item};
use crate::store::{BatchItem, StoreError, VersionRef};
use crate::targets::{TargetClient, TargetError};

/// Items that are taken from the store at a time while a target is asked.
const TARGET_ITEMS: u32 = 64;

/// Gives the answers that a run has not scored, in order.
pub(super) struct Answers {
    run: RunId,
    version: VersionRef,
    source: Source,
    after: Option<(i64, u32)>,
    items_max: u32,
}

impl Answers {
    pub fn new(run: RunId, version: VersionRef, source: Source, items_max: u32) -> Self {
        let items_max = if source.target.is_some() { items_max.min(TARGET_ITEMS) } else { items_max };
        Self { run, version, source, after: None, items_max }
    }

    /// How many there are in all, scored or not.
    pub async fn count(runner: &Runner, version: VersionRef, source: &Source) -> Result<u64, StoreError> {
        let store = &runner.shared.store;
        if source.target.is_some() {
            Ok(store.item_count(version).await? * u64::from(source.trials))
        } else {
            store.recorded_count(version, source.recording().to_owned()).await
        }
    }

    /// The next ones; empty at the end.
    pub async fn next(&mut self, runner: &Runner) -> Result<Vec<BatchItem>, StoreError> {
        let store = &runner.shared.store;
        let batch = if self.source.target.is_some() {
            store.target_batch(self.run, self.version, self.source.trials, self.after, self.items_max).await?
        } else {
            let recording = self.source.recording().to_owned();
            store.recorded_batch(self.run, self.version, recording, self.after, self.items_max).await?
        };
        if let Some(last) = batch.last() {
            self.after = Some((last.item, last.trial));
        }
        Ok(batch)
    }
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
