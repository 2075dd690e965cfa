//! Has the configured extractors read the sessions that closed.

use std::collections::HashMap;
use std::sync::Arc;

use super::extract::{ReadyExtractor, SessionOutcome};
use super::{Runner, RunnerError};
use crate::domain::digest::Digest;
use crate::protocol::{JobEvent, JobItem, JobSession};
use crate::store::{DueSession, SessionSignals, SignalRow};

/// Sessions that are read from the store at a time.
const SESSIONS_AT_ONCE: u32 = 200;

/// Extractors that were prepared, by the builds that were current then.
#[derive(Default)]
pub(super) struct Prepared(tokio::sync::Mutex<Option<OfBuilds>>);

type OfBuilds = (Vec<Digest>, Arc<[ReadyExtractor]>);

impl Runner {
    /// Reads every session that is due.
    pub async fn extract_due(&self) -> Result<(), RunnerError> {
        loop {
            let due = self.shared.store.sessions_to_extract(SESSIONS_AT_ONCE).await?;
            if due.is_empty() {
                return Ok(());
            }
            let extractors = self.extractors().await?;
            if extractors.is_empty() {
                return Ok(());
            }
            let mut given: Vec<SessionSignals> = due
                .iter()
                .map(|session| SessionSignals {
                    session: session.row,
                    revision: session.revision,
                    extractors: Vec::new(),
                })
                .collect();
            let jobs: Vec<_> = due.iter().map(job).collect();
            for extractor in extractors.iter() {
                let outcomes = self.extract(extractor, jobs.clone()).await;
                for ((outcome, session), given) in outcomes.into_iter().zip(&due).zip(&mut given) {
                    given.extractors.push(rows(outcome, session, extractor));
                }
            }
            let pinned: Vec<_> = extractors.iter().map(|extractor| extractor.pinned().clone()).collect();
            let commit = || self.shared.store.signals_commit(pinned.clone(), given.clone());
            self.persist(commit).await?;
        }
    }

    /// The configured extractors whose plugins are there, prepared once for
    /// each build.
    async fn extractors(&self) -> Result<Arc<[ReadyExtractor]>, RunnerError> {
        let mut wanted = Vec::new();
        let mut digests = Vec::new();
        for extractor in &self.shared.extractors {
            match self.shared.catalogue.find(&extractor.plugin, extractor.digest).await {
                Ok(current) => {
                    digests.push(current.digest);
                    wanted.push(extractor);
                }
                Err(crate::store::StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut prepared = self.shared.prepared.0.lock().await;
        if let Some((of, ready)) = &*prepared
            && *of == digests
        {
            return Ok(Arc::clone(ready));
        }
        let mut ready = Vec::new();
        for (index, extractor) in wanted.into_iter().enumerate() {
            ready.push(self.prepare_extractor(extractor, &format!("/behaviour/extractors/{index}")).await?);
        }
        let ready: Arc<[_]> = ready.into();
        *prepared = Some((digests, Arc::clone(&ready)));
        Ok(ready)
    }
}

fn job(session: &DueSession) -> JobSession {
    JobSession {
        id: session.id.to_string(),
        user: session.user.clone(),
        interactions: session
            .interactions
            .iter()
            .map(|interaction| JobItem {
                id: interaction.id.to_string(),
                item: interaction.item.clone(),
                answer: interaction.answer.clone(),
            })
            .collect(),
        events: session
            .events
            .iter()
            .map(|event| JobEvent {
                at_us: event.at.0,
                kind: event.kind.clone(),
                interaction_id: event.interaction.map(|id| id.to_string()),
                value_json: event.value.clone(),
            })
            .collect(),
    }
}

fn rows(
    outcome: SessionOutcome,
    session: &DueSession,
    extractor: &ReadyExtractor,
) -> Result<Vec<SignalRow>, crate::domain::plugin::Unscored> {
    let by_id: HashMap<_, _> = session
        .interactions
        .iter()
        .map(|interaction| (interaction.id.to_string(), interaction.row))
        .collect();
    let outputs = &extractor.pinned().outputs;
    Ok(outcome?
        .into_iter()
        .map(|signal| SignalRow {
            interaction: signal.interaction_id.and_then(|id| by_id.get(&id).copied()),
            output: outputs[signal.output].name.clone(),
            value: signal.value,
            category: signal.category,
            detail: signal.detail,
        })
        .collect())
}
