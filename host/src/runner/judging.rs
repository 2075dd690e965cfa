//! What a run's plugins ask of judges, and on which item's account.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::prepare::ReadyPlugin;
use crate::domain::ids::RunId;
use crate::domain::judge::{JudgeAnswer, JudgeRequest};
use crate::domain::plugin::{PluginError, PluginErrorKind};
use crate::domain::run::answer_name;
use crate::judge::{Asker, Judges, Replies};
use crate::store::{BatchItem, TranscriptSubject};
use crate::workers::{Judge, ScorerCall};

/// Where a run's judged plugins get their replies.
#[derive(Clone)]
pub(super) struct Judging {
    pub judges: Judges,
    /// The run that costs are counted for.
    pub run: Option<RunId>,
    pub replies: Replies,
    /// Set when the run ends before its time: nothing more is asked then.
    pub cancel: CancellationToken,
}

/// The judge of one batch.
struct BatchJudge {
    judging: Judging,
    asker: Asker,
    /// The answers by their ids in the batch; nothing of them is kept without.
    subjects: HashMap<String, TranscriptSubject>,
}

impl Judging {
    /// A plugin's call over a batch. `run_scorer` is under what transcripts are
    /// kept; without it none are.
    pub fn call(&self, ready: &ReadyPlugin, run_scorer: Option<i64>, batch: &[BatchItem]) -> ScorerCall {
        let subject = |run_scorer, item: &BatchItem| {
            let subject = TranscriptSubject { run_scorer, item: item.item, trial: item.trial };
            (job_id(item), subject)
        };
        let subjects = run_scorer
            .map(|run_scorer| batch.iter().map(|item| subject(run_scorer, item)).collect())
            .unwrap_or_default();
        let asker = Asker { plugin: ready.pinned.plugin.clone(), run: self.run, replies: self.replies };
        let judge = BatchJudge { judging: self.clone(), asker, subjects };
        ScorerCall { judge: Some(Arc::new(judge)), ..ready.call() }
    }
}

/// An answer's id in its batch. Several answers to one item are told apart.
pub(super) fn job_id(item: &BatchItem) -> String {
    answer_name(&item.key, item.trial)
}

impl fmt::Debug for BatchJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchJudge").field("asker", &self.asker).finish_non_exhaustive()
    }
}

#[async_trait]
impl Judge for BatchJudge {
    async fn answer(&self, requests: Vec<JudgeRequest>) -> Vec<JudgeAnswer> {
        let wanted = requests.len();
        let answers = join_all(requests.into_iter().map(|request| {
            let subject = request.interaction_id.as_ref().and_then(|id| self.subjects.get(id)).copied();
            self.judging.judges.complete(&self.asker, subject, request)
        }));
        tokio::select! {
            answers = answers => answers,
            () = self.judging.cancel.cancelled() => {
                let ended = PluginError {
                    kind: PluginErrorKind::HostUnavailable,
                    message: "the run ended before the judge was asked".into(),
                };
                vec![Err(ended); wanted]
            }
        }
    }
}
