//! Has an extractor read sessions, in batches as a run's items are. It knows
//! nothing of the store: who asks keeps what came of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

use super::batches::{self, Kind, Place};
use super::bisect::Poison;
use super::outcome::{self, CheckedSignal};
use super::prepare::ReadyPlugin;
use super::{Runner, RunnerError};
use crate::domain::evaluation::Scorer;
use crate::domain::plugin::{Capability, Cause, Unscored};
use crate::domain::run::RunScorer;
use crate::protocol::JobSession;

/// An extractor that can run.
#[derive(Debug, Clone)]
pub struct ReadyExtractor(ReadyPlugin);

impl ReadyExtractor {
    /// What was pinned: name, digest, configuration, and the outputs that
    /// [`CheckedSignal::output`] counts.
    pub fn pinned(&self) -> &RunScorer {
        &self.0.pinned
    }
}

/// What came of a session: its signals, or why there are none.
pub type SessionOutcome = Result<Vec<CheckedSignal>, Unscored>;

impl Runner {
    /// Pins a plugin as an extractor: its current build where no digest is
    /// named. `place` is the JSON Pointer to where it is asked for.
    pub async fn prepare_extractor(
        &self,
        wanted: &Scorer,
        place: &str,
    ) -> Result<ReadyExtractor, RunnerError> {
        self.prepare_plugin(wanted, Capability::Signal, place)
            .await?
            .map(ReadyExtractor)
            .map_err(RunnerError::Definition)
    }

    /// Extracts the signals of sessions: one outcome for each, in their order.
    /// Poison sessions are counted over one such call.
    pub async fn extract(
        &self,
        extractor: &ReadyExtractor,
        sessions: Vec<JobSession>,
    ) -> Vec<SessionOutcome> {
        let limits = &self.shared.limits;
        let poison = Poison::default();
        let quarantined = AtomicUsize::new(0);
        let mut outcomes = Vec::with_capacity(sessions.len());
        let mut under_way = FuturesOrdered::new();
        for batch in batches::cut(sessions, extractor.0.batch_max, limits, size) {
            // One batch in trouble is enough: the next would likely join it.
            while quarantined.load(Ordering::Relaxed) > 0 {
                match under_way.next().await {
                    Some(done) => outcomes.extend(done),
                    None => break,
                }
            }
            let place = loop {
                tokio::select! {
                    place = self.place(Kind::Plain) => break place,
                    Some(done) = under_way.next() => outcomes.extend(done),
                }
            };
            under_way.push_back(self.extract_batch(extractor, batch, &poison, &quarantined, place));
        }
        while let Some(done) = under_way.next().await {
            outcomes.extend(done);
        }
        outcomes
    }

    async fn extract_batch(
        &self,
        ReadyExtractor(ready): &ReadyExtractor,
        batch: Vec<JobSession>,
        poison: &Poison,
        quarantined: &AtomicUsize,
        place: Place,
    ) -> Vec<SessionOutcome> {
        let limit = self.shared.limits.batch_bytes_max;
        // One that is too large stands alone in its batch.
        if let [session] = &batch[..]
            && size(session) > limit
        {
            let message = format!("the session has {} bytes, over the limit of {limit}", size(session));
            return vec![Err(Unscored { cause: Cause::TooLarge, message })];
        }
        let ids: Vec<Vec<_>> = batch
            .iter()
            .map(|session| session.interactions.iter().map(|interaction| interaction.id.clone()).collect())
            .collect();
        let bisect = self.bisect(quarantined);
        let mut fates = bisect.answer(batch.into(), &[ready.call()], &[poison], place).await;
        fates
            .remove(0)
            .into_iter()
            .zip(&ids)
            .map(|(fate, ids)| outcome::check_session(fate, &ready.pinned.outputs, ids))
            .collect()
    }
}

fn size(session: &JobSession) -> usize {
    let interactions = session.interactions.iter().map(|item| item.item.len() + item.answer.len());
    let events = session
        .events
        .iter()
        .map(|event| event.kind.len() + event.value_json.as_ref().map_or(0, |value| value.len()));
    interactions.chain(events).sum()
}
