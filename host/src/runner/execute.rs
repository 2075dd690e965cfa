//! One run from its start to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::batch_work::{BatchWork, batch_max, kind, size};
use super::batches::{self, Place};
use super::bisect::Poison;
use super::judging::Judging;
use super::outcome;
use super::prepare::{ReadyPlugin, ReadyPolicy, ready_policy};
use super::{Runner, RunnerError};
use crate::domain::completion::Presence;
use crate::domain::ids::RunId;
use crate::domain::run::{Progress, Run, RunState};
use crate::domain::source::Source;
use crate::judge::Replies;
use crate::store::{AnswerOutcome, BatchItem, RowRange, RunInput, ScorerOutcomes, StoreError};
use crate::targets::TargetClient;

/// Between two looks for what came in, of a run that follows production.
const FOLLOW_AGAIN: Duration = Duration::from_millis(200);
/// A restart looks at no more than these interactions again.
const NOTE_SEEN_AFTER: i64 = 50_000;

/// What every batch of a run needs.
struct Context {
    run: RunId,
    /// Scorers, then classifiers.
    scorers: Vec<ReadyPlugin>,
    rows: Arc<[i64]>,
    policy: Option<ReadyPolicy>,
    poison: Vec<Poison>,
    /// Batches in quarantine.
    quarantined: AtomicUsize,
    target: Option<TargetClient>,
    judging: Judging,
}

impl Runner {
    /// Executes a run and records how it ended. When the process stops first,
    /// the run stays open for the next one.
    pub(super) async fn execute_to_the_end(&self, id: RunId, cancel: CancellationToken) {
        let result = tokio::select! {
            () = cancel.cancelled() => return,
            result = self.execute(id, cancel.clone()) => result,
        };
        let finished_at = self.shared.clock.now();
        let ended = match result {
            Ok(started_at) => RunState::Finished { started_at, finished_at },
            // Cancelled in the very moment of a commit.
            Err(RunnerError::Store(StoreError::Conflict(_))) => return,
            Err(error) => {
                tracing::error!(run.id = %id, %error, "run failed");
                RunState::Failed { finished_at, reason: error.to_string() }
            }
        };
        metrics::counter!("assay_runs_total", "state" => ended.as_str()).increment(1);
        if let Err(error) = self.persist(|| self.shared.store.run_end(id, ended.clone())).await {
            tracing::error!(run.id = %id, %error, "failed to record the end of a run");
        }
    }

    async fn execute(
        &self,
        id: RunId,
        cancel: CancellationToken,
    ) -> Result<crate::domain::clock::Timestamp, RunnerError> {
        let run = self.shared.store.run_get(id).await?;
        let turn = self.turn(run.evaluation);
        let _turn = turn.lock().await;
        let (started_at, context, mut answers, mut progress) = match run.state {
            RunState::Running { started_at } => {
                let (context, answers) = self.pick_up(&run, cancel).await?;
                (started_at, context, answers, run.progress)
            }
            _ => self.begin(&run, cancel).await?,
        };
        self.report(id, progress);
        tracing::info!(run.id = %id, total = progress.total, done = progress.done, "run goes on");
        let context = Arc::new(context);
        let mut batches = JoinSet::new();
        let mut noted = answers.seen();
        loop {
            let taken = answers.next(self).await?;
            let at_end = taken.is_empty();
            for batch in self.split(&context, taken) {
                // One batch in trouble is enough: the next would likely join it.
                while context.quarantined.load(Ordering::Relaxed) > 0 {
                    match batches.join_next().await {
                        Some(done) => self.count(id, &mut progress, done)?,
                        None => break,
                    }
                }
                // Taken before the task: one that is dropped unstarted gives it back too.
                let place = loop {
                    tokio::select! {
                        place = self.place(kind(&context.scorers)) => break place,
                        Some(done) = batches.join_next() => self.count(id, &mut progress, done)?,
                    }
                };
                let context = Arc::clone(&context);
                let runner = self.clone();
                batches.spawn(async move { runner.score_and_commit(&context, batch, place).await });
            }
            while let Some(done) = batches.try_join_next() {
                self.count(id, &mut progress, done)?;
            }
            if at_end || answers.seen() > noted.map(|noted| noted + NOTE_SEEN_AFTER) {
                while let Some(done) = batches.join_next().await {
                    self.count(id, &mut progress, done)?;
                }
                if let Some(seen) = answers.seen().filter(|seen| Some(*seen) != noted) {
                    self.persist(|| self.shared.store.run_seen(id, seen)).await?;
                    noted = Some(seen);
                }
            }
            if at_end && (!answers.follows() || self.is_finishing(id)) {
                break;
            }
            if at_end {
                tokio::time::sleep(FOLLOW_AGAIN).await;
            }
        }
        Ok(started_at)
    }

    fn count(
        &self,
        id: RunId,
        progress: &mut Progress,
        done: Result<Result<u64, RunnerError>, tokio::task::JoinError>,
    ) -> Result<(), RunnerError> {
        progress.done += done.expect("scoring a batch does not panic")?;
        self.report(id, *progress);
        Ok(())
    }

    fn report(&self, id: RunId, progress: Progress) {
        if let Some(open) = self.open().get(&id) {
            open.progress.send_replace(progress);
        }
    }

    async fn begin(
        &self,
        run: &Run,
        cancel: CancellationToken,
    ) -> Result<(crate::domain::clock::Timestamp, Context, Answers, Progress), RunnerError> {
        let (scorers, policy) = self.prepare(&run.definition).await?;
        let input = self.input(run).await?;
        let answers = Answers::new(run, input, self.shared.limits.batch_items_max);
        let total = answers.count(self).await?;
        let started_at = self.shared.clock.now();
        let pinned: Vec<_> = scorers.iter().map(|ready| ready.pinned.clone()).collect();
        let start = || self.shared.store.run_start(run.id, input, pinned.clone(), total, started_at);
        let rows = self.persist(start).await?;
        let rows = rows.into_iter().map(|pinned| pinned.row).collect();
        let context = self.context(run, scorers, policy, rows, cancel)?;
        Ok((started_at, context, answers, Progress { total, done: 0 }))
    }

    /// What a run takes, as of now.
    async fn input(&self, run: &Run) -> Result<RunInput, StoreError> {
        let store = &self.shared.store;
        match &run.definition.source {
            Source::ReferenceSet(source) => store
                .reference_set_version(source.reference_set.clone(), source.version)
                .await
                .map(RunInput::ReferenceSet),
            Source::Production { production } => {
                let newest = store.interaction_last_row().await?;
                Ok(RunInput::Production(if production.follow {
                    let after = store.followed_until(run.evaluation).await?.unwrap_or(newest);
                    RowRange { after, last: None }
                } else {
                    RowRange { after: 0, last: Some(newest) }
                }))
            }
        }
    }

    async fn pick_up(&self, run: &Run, cancel: CancellationToken) -> Result<(Context, Answers), RunnerError> {
        let (input, pinned) = self.shared.store.run_pinned(run.id).await?;
        let rows = pinned.iter().map(|pinned| pinned.row).collect();
        let mut scorers = Vec::new();
        for pinned in pinned {
            scorers.push(self.load_pinned(pinned.scorer).await?);
        }
        let policy = match &run.definition.completion {
            Some(policy) => Some(ready_policy(policy, &scorers).map_err(RunnerError::Definition)?),
            None => None,
        };
        let answers = Answers::new(run, input, self.shared.limits.batch_items_max);
        Ok((self.context(run, scorers, policy, rows, cancel)?, answers))
    }

    fn context(
        &self,
        run: &Run,
        scorers: Vec<ReadyPlugin>,
        policy: Option<ReadyPolicy>,
        rows: Arc<[i64]>,
        cancel: CancellationToken,
    ) -> Result<Context, RunnerError> {
        let poison = scorers.iter().map(|_| Poison::default()).collect();
        let target = match run.definition.source.target() {
            Some(target) => {
                let clock = Arc::clone(&self.shared.clock);
                Some(TargetClient::new(target)?.with_clock(move || clock.now().0))
            }
            None => None,
        };
        let quarantined = AtomicUsize::new(0);
        let judging = Judging {
            judges: self.shared.judges.clone(),
            run: Some(run.id),
            replies: Replies::CachedOrFresh,
            cancel,
        };
        Ok(Context { run: run.id, scorers, rows, policy, poison, quarantined, target, judging })
    }

    /// Cuts what was taken into batches within every scorer's limits.
    fn split(&self, context: &Context, taken: Vec<BatchItem>) -> Vec<Vec<BatchItem>> {
        batches::cut(taken, batch_max(&context.scorers), &self.shared.limits, size)
    }

    async fn score_and_commit(
        &self,
        context: &Context,
        mut batch: Vec<BatchItem>,
        place: Place,
    ) -> Result<u64, RunnerError> {
        if let Some(client) = &context.target {
            self.ask(context.run, client, &mut batch).await?;
        }
        let outcomes = self.score(context, batch, place).await;
        metrics::counter!("assay_answers_scored_total").increment(outcomes.len() as u64);
        let (store, rows) = (&self.shared.store, &context.rows);
        let outcomes: Arc<[AnswerOutcome]> = outcomes.into();
        let commit = || store.outcomes_commit(context.run, Arc::clone(rows), Arc::clone(&outcomes));
        Ok(self.persist(commit).await?)
    }

    async fn score(&self, context: &Context, batch: Vec<BatchItem>, place: Place) -> Vec<AnswerOutcome> {
        let work = BatchWork {
            scorers: &context.scorers,
            poison: &context.poison,
            quarantined: &context.quarantined,
            judging: &context.judging,
            rows: Some(&context.rows),
        };
        let outcomes = self.answers(&work, &batch, place).await;
        let mut columns: Vec<_> = outcomes.into_iter().map(Vec::into_iter).collect();
        batch
            .iter()
            .map(|item| {
                let outcome = |column: &mut std::vec::IntoIter<_>| {
                    column.next().expect("each plugin has an outcome for each item")
                };
                finish(context, item, columns.iter_mut().map(outcome).collect())
            })
            .collect()
    }
}

fn finish(context: &Context, item: &BatchItem, scorers: Vec<ScorerOutcomes>) -> AnswerOutcome {
    let given = |present: bool| if present { Presence::Given } else { Presence::Missing };
    let presence = item.answer.as_ref().map(|(_, present)| given(*present));
    let class = item.request_class.as_deref();
    let completion = outcome::completion(context.policy.as_ref(), class, presence, &scorers);
    AnswerOutcome { item: item.item, trial: item.trial, completion, probability: item.probability, scorers }
}
