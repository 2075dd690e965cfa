//! Points for each criterion, and their total.

use assay_plugin::judge::Reply;
use assay_plugin::prelude::*;
use assay_plugin::quotes::{self, shortened};

use crate::config::{EvidenceRule, TotalRule, Way};
use crate::outputs::{CRITERIA_SCORED, DISAGREEMENT, TOTAL, total_range};
use crate::reply::{self, Graded};
use crate::rubric::{Criterion, Rubric};
use crate::votes::{Ballot, Verdict, Vote, coverage, evidence, transcripts, transcripts_of};

/// The scores of an item, from one reply of each judge.
pub fn scores(rubric: &Rubric, item: &Interaction, replies: &[Reply]) -> Result<Vec<Score>, PluginError> {
    let mut ballots: Vec<_> = rubric
        .criteria
        .iter()
        .map(|criterion| Ballot { name: criterion.name.clone(), votes: Vec::new() })
        .collect();
    for (profile, reply) in rubric.profiles.iter().zip(replies) {
        let graded: Vec<Graded> = reply::read(reply, rubric, profile)?;
        for ((criterion, graded), ballot) in rubric.criteria.iter().zip(graded).zip(&mut ballots) {
            let vote = vote(criterion, graded, &item.actual)
                .map_err(|what| reply::unfit(profile, &format!("`{}`: {what}", criterion.name)))?;
            ballot.votes.push(vote);
        }
    }
    let transcripts = transcripts(replies);
    let mut scores: Vec<_> = ballots
        .iter()
        .filter_map(|ballot| Some(ballot.score(rubric, ballot.value(rubric.combine)?, &transcripts)))
        .collect();
    if let Some(total) = total(rubric, &ballots) {
        let extra = serde_json::Value::Object(transcripts_of(&transcripts)).to_string();
        scores.push(Score::new(TOTAL, total).with_extra(extra));
    }
    scores.push(coverage(rubric, &ballots, CRITERIA_SCORED, &transcripts));
    if let Some(disagreement) = disagreement(rubric, &ballots) {
        scores.push(Score::new(DISAGREEMENT, disagreement));
    }
    Ok(scores)
}

fn vote(criterion: &Criterion, graded: Graded, answer: &str) -> Result<Vote, String> {
    let points = graded.points(criterion)?;
    let (quote, mut reason) = (graded.quote.trim(), shortened(graded.reason.trim(), 1_000));
    let found = match criterion.evidence {
        EvidenceRule::None => None,
        EvidenceRule::Optional | EvidenceRule::Required => quotes::find(answer, quote),
    };
    if criterion.evidence != EvidenceRule::None && !quote.is_empty() && found.is_none() {
        reason = format!("{reason} (its quotation “{}” is not in the answer)", shortened(quote, 200));
    }
    let verdict = match points {
        None => Verdict::CannotTell,
        // What is absent cannot be quoted.
        Some(points) if points == criterion.low && quote.is_empty() => Verdict::Value(points as f64),
        Some(_) if criterion.evidence == EvidenceRule::Required && found.is_none() => Verdict::NotGrounded,
        Some(points) => Verdict::Value(points as f64),
    };
    Ok(Vote { verdict, reason, evidence: found.map(|found| evidence("actual", found)) })
}

/// The weighted sum. Where fewer points are better it counts what is missing
/// to the most; criteria that are better neither way are left out.
fn total(rubric: &Rubric, ballots: &[Ballot]) -> Option<f64> {
    let (low, high) = total_range(&rubric.criteria)?;
    let (mut sum, mut sum_low, mut sum_high, mut is_whole) = (0.0, 0.0, 0.0, true);
    for (criterion, ballot) in rubric.criteria.iter().zip(ballots) {
        let (least, most) = (criterion.low as f64, criterion.high as f64);
        let better = |value: f64| match criterion.way {
            Way::Higher => Some(value),
            Way::Lower => Some(least + most - value),
            Way::Neutral => None,
        };
        match ballot.value(rubric.combine) {
            None if criterion.way == Way::Neutral => {}
            None if ballot.may_be_left_out(rubric.total) => is_whole = false,
            None => return None,
            Some(value) => {
                let Some(value) = better(value) else { continue };
                sum += criterion.weight * value;
                sum_low += criterion.weight * least;
                sum_high += criterion.weight * most;
            }
        }
    }
    if is_whole {
        return Some(sum.clamp(low, high));
    }
    debug_assert_eq!(rubric.total, TotalRule::Rest);
    let share = (sum - sum_low) / (sum_high - sum_low);
    share.is_finite().then(|| (low + share * (high - low)).clamp(low, high))
}

/// How far the judges are apart, as a share of the range, over the criteria
/// with at least two values.
fn disagreement(rubric: &Rubric, ballots: &[Ballot]) -> Option<f64> {
    let shares = rubric.criteria.iter().zip(ballots).filter_map(|(criterion, ballot)| {
        let range = (criterion.high - criterion.low) as f64;
        ballot.spread().map(|spread| spread / range)
    });
    let shares: Vec<_> = shares.collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}
