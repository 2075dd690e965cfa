//! One batch under all plugins of a run: which plugin gets which answers, in
//! how many jobs.
//!
//! Plugins that ask no judge share a job, because its items are decoded once.
//! One that does has a job of its own. Scorers get what there is to judge;
//! classifiers also get answers that are missing, because that is a way to fail.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::batches::{Kind, Place};
use super::bisect::{Fate, Poison};
use super::judging::{Judging, job_id};
use super::prepare::ReadyPlugin;
use super::{Runner, outcome};
use crate::domain::plugin::{Capability, Cause, Unscored};
use crate::protocol::{ItemAnswer, JobItem};
use crate::store::{BatchItem, ScorerOutcomes};

/// What a batch is given to.
pub(super) struct BatchWork<'a> {
    pub scorers: &'a [ReadyPlugin],
    /// One counter for each of them.
    pub poison: &'a [Poison],
    /// Counts the run's batches in quarantine.
    pub quarantined: &'a AtomicUsize,
    pub judging: &'a Judging,
    /// Under what transcripts are kept, for each scorer; none keeps nothing.
    pub rows: Option<&'a [i64]>,
}

/// Which plugins get an answer.
enum Audience {
    All,
    /// Scorers are told this instead.
    Classifiers(Unscored),
    /// All are told this instead.
    Nobody(Unscored),
}

/// Plugins, and the answers that they get: their indices.
struct Group {
    plugins: Vec<usize>,
    items: Vec<usize>,
}

impl Runner {
    /// What became of each answer under each plugin: a list for each plugin.
    pub(super) async fn answers(
        &self,
        work: &BatchWork<'_>,
        batch: &[BatchItem],
        place: Place,
    ) -> Vec<Vec<ScorerOutcomes>> {
        let audiences: Vec<_> = batch.iter().map(|item| self.audience(item)).collect();
        let under_way = groups(work.scorers, &audiences).into_iter().map(|group| {
            let place = place.clone();
            let jobs: Arc<[JobItem]> = group.items.iter().map(|item| job(&batch[*item])).collect();
            async move {
                let plugins = group.plugins.iter().map(|plugin| &work.scorers[*plugin]);
                let calls: Vec<_> = plugins
                    .zip(&group.plugins)
                    .map(|(ready, plugin)| {
                        if ready.judges {
                            let row = work.rows.map(|rows| rows[*plugin]);
                            work.judging.call(ready, row, batch)
                        } else {
                            ready.call()
                        }
                    })
                    .collect();
                let poison: Vec<_> = group.plugins.iter().map(|plugin| &work.poison[*plugin]).collect();
                let bisect = self.bisect(work.quarantined);
                (bisect.answer::<JobItem>(jobs, &calls, &poison, place).await, group)
            }
        });
        let under_way: Vec<_> = under_way.collect();
        // The jobs have it: a batch in trouble gives its place back before the end.
        drop(place);
        let done = join_all(under_way).await;
        let mut fates: Vec<Vec<Option<Fate<ItemAnswer>>>> = work
            .scorers
            .iter()
            .map(|_| audiences.iter().map(|audience| audience.reason().map(Err)).collect())
            .collect();
        for (answers, group) in done {
            for (plugin, answers) in group.plugins.iter().zip(answers) {
                for (item, answer) in group.items.iter().zip(answers) {
                    fates[*plugin][*item] = Some(answer);
                }
            }
        }
        let checked = |(fates, ready): (Vec<Option<_>>, &ReadyPlugin)| {
            let every = |fate: Option<_>| fate.expect("what no plugin gets has its reason");
            fates.into_iter().map(|fate| outcome::check(every(fate), &ready.pinned.outputs)).collect()
        };
        fates.into_iter().zip(work.scorers).map(checked).collect()
    }

    fn audience(&self, item: &BatchItem) -> Audience {
        let limit = self.shared.limits.batch_bytes_max;
        let no_answer = |message: &str| Unscored { cause: Cause::NoAnswer, message: message.to_owned() };
        match &item.answer {
            None => Audience::Nobody(no_answer("no answer is recorded")),
            Some(_) if size(item) > limit => {
                let message = format!("the item has {} bytes, over the limit of {limit}", size(item));
                Audience::Nobody(Unscored { cause: Cause::TooLarge, message })
            }
            Some((_, false)) => Audience::Classifiers(no_answer("the product gave no answer")),
            Some(_) => Audience::All,
        }
    }
}

impl Audience {
    fn reason(&self) -> Option<Unscored> {
        match self {
            Self::All => None,
            Self::Classifiers(why) | Self::Nobody(why) => Some(why.clone()),
        }
    }
}

/// Which places batches under these plugins take.
pub(super) fn kind(scorers: &[ReadyPlugin]) -> Kind {
    if scorers.iter().any(|ready| ready.judges) { Kind::Judged } else { Kind::Plain }
}

/// The most items of a batch that each of these plugins takes.
pub(super) fn batch_max(scorers: &[ReadyPlugin]) -> u32 {
    scorers.iter().map(|ready| ready.batch_max).min().unwrap_or(u32::MAX)
}

/// What an item counts for in a batch, in bytes.
pub(super) fn size(item: &BatchItem) -> usize {
    item.payload.len() + item.answer.as_ref().map_or(0, |(answer, _)| answer.len())
}

fn job(item: &BatchItem) -> JobItem {
    let answer = item.answer.as_ref().map(|(answer, _)| answer.clone()).unwrap_or_default();
    JobItem { id: job_id(item), item: item.payload.clone(), answer }
}

fn groups(scorers: &[ReadyPlugin], audiences: &[Audience]) -> Vec<Group> {
    let items = |wanted: fn(&Audience) -> bool| -> Vec<usize> {
        (0..audiences.len()).filter(|item| wanted(&audiences[*item])).collect()
    };
    let plugins = |wanted: fn(&ReadyPlugin) -> bool| -> Vec<usize> {
        (0..scorers.len()).filter(|plugin| wanted(&scorers[*plugin])).collect()
    };
    let given = items(|audience| matches!(audience, Audience::All));
    let missing = items(|audience| matches!(audience, Audience::Classifiers(_)));
    let mut groups = vec![
        Group { plugins: plugins(|ready| !ready.judges), items: given.clone() },
        Group { plugins: plugins(|ready| !ready.judges && is_classifier(ready)), items: missing.clone() },
    ];
    for plugin in plugins(|ready| ready.judges) {
        let mut items = given.clone();
        if is_classifier(&scorers[plugin]) {
            items.extend(&missing);
        }
        groups.push(Group { plugins: vec![plugin], items });
    }
    groups.retain(|group| !group.plugins.is_empty() && !group.items.is_empty());
    groups
}

fn is_classifier(ready: &ReadyPlugin) -> bool {
    ready.capability == Capability::Label
}
