//! The plugin `rubric`: a team's own criteria, judged by a model.
//!
//! The judge answers one concrete question for each criterion. Totals, ranges,
//! votes and whether a quotation is in the answer are decided here, from a
//! reply that is read strictly: nothing that an answer says about its own
//! grade is ever read as one.

mod absolute;
mod config;
mod outputs;
mod pairwise;
mod prompt;
mod ready_made;
mod reply;
mod rubric;
mod votes;

use assay_plugin::judge::Reply;
use assay_plugin::prelude::*;

pub use config::{Baseline, Combine, Config, CriterionConfig, EvidenceRule, Mode, TotalRule, Way};
pub use ready_made::READY_MADE;
pub use rubric::{Criterion, Rubric};

/// Scores answers by a rubric: named criteria, each a concrete question that a judge answers
#[scorer(name = "rubric", batch, judging, batch_max = 64, prepare = Rubric::new, outputs = outputs::outputs)]
fn rubric(rubric: &Rubric, items: &[Interaction]) -> Vec<Result<Vec<Score>, PluginError>> {
    let asked: Vec<_> = items.iter().map(|item| prompt::requests(rubric, item)).collect();
    let requests: Vec<_> = asked.iter().flatten().flatten().cloned().collect();
    let mut answers = judge::complete(&requests).into_iter();
    let scored = items.iter().zip(asked).map(|(item, asked)| {
        let replies: Result<Vec<Reply>, _> = answers.by_ref().take(asked?.len()).collect();
        match rubric.mode {
            Mode::Absolute => absolute::scores(rubric, item, &replies?),
            Mode::Pairwise => pairwise::scores(rubric, item, &replies?),
        }
    });
    scored.collect()
}
