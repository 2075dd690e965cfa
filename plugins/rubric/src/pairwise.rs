//! Which of two answers is better, asked in both orders, because many judges
//! prefer a place.

use assay_plugin::judge::Reply;
use assay_plugin::prelude::*;
use assay_plugin::quotes::{self, shortened};

use crate::config::{Baseline, EvidenceRule, Way};
use crate::outputs::{
    CRITERIA_SCORED, DISAGREEMENT, ORDER_AGREEMENT, POSITION_BIAS, PREFERS_ANSWER, WHEN_FIRST, WHEN_SECOND,
};
use crate::prompt::baseline;
use crate::reply::{self, Better, Compared};
use crate::rubric::{Criterion, Rubric};
use crate::votes::{
    Ballot, Verdict, Vote, combined, coverage, evidence, spread, transcripts, transcripts_of,
};

/// Where the answer was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Second,
}

/// The order in which `prompt::requests` asks.
const PLACES: [Place; 2] = [Place::First, Place::Second];

/// The scores of an item, from two replies of each judge. A preference is 1
/// for the answer, 0 for the baseline, 0.5 for neither.
pub fn scores(rubric: &Rubric, item: &Interaction, replies: &[Reply]) -> Result<Vec<Score>, PluginError> {
    let baseline_text = baseline(rubric, item)?;
    let mut ballots: Vec<_> = rubric
        .criteria
        .iter()
        .map(|criterion| Ballot { name: criterion.name.clone(), votes: Vec::new() })
        .collect();
    let (mut when_first, mut when_second) = (Vec::new(), Vec::new());
    for (profile, replies) in rubric.profiles.iter().zip(replies.chunks_exact(PLACES.len())) {
        let mut by_place = Vec::new();
        for (place, reply) in PLACES.into_iter().zip(replies) {
            let compared: Vec<Compared> = reply::read(reply, rubric, profile)?;
            let votes = rubric.criteria.iter().zip(compared).map(|(criterion, compared)| {
                vote(rubric, criterion, compared, place, &item.actual, baseline_text)
                    .map_err(|what| reply::unfit(profile, &format!("`{}`: {what}", criterion.name)))
            });
            by_place.push(votes.collect::<Result<Vec<_>, _>>()?);
        }
        when_first.push(overall(rubric, &by_place[0]));
        when_second.push(overall(rubric, &by_place[1]));
        let pairs = by_place[0].iter().zip(&by_place[1]);
        for (ballot, (first, second)) in ballots.iter_mut().zip(pairs) {
            ballot.votes.push(in_both_orders(first, second));
        }
    }
    let transcripts = transcripts(replies);
    let mut scores: Vec<_> = ballots
        .iter()
        .filter_map(|ballot| Some(ballot.score(rubric, ballot.value(rubric.combine)?, &transcripts)))
        .collect();
    let both: Vec<_> =
        when_first.iter().zip(&when_second).map(|(first, second)| consistent(*first, *second)).collect();
    let extra = serde_json::Value::Object(transcripts_of(&transcripts)).to_string();
    let values = [
        (PREFERS_ANSWER, combined(&both, rubric.combine)),
        (WHEN_FIRST, combined(&when_first, rubric.combine)),
        (WHEN_SECOND, combined(&when_second, rubric.combine)),
    ];
    for (output, value) in values {
        scores.extend(value.map(|value| Score::new(output, value).with_extra(&*extra)));
    }
    let told: Vec<_> = when_first
        .iter()
        .zip(&when_second)
        .filter_map(|(first, second)| Some(((*first)?, (*second)?)))
        .collect();
    if !told.is_empty() {
        let agree = told.iter().all(|(first, second)| first == second);
        scores.push(Score::new(ORDER_AGREEMENT, agree));
        // Preferring the answer when it is first and not when it is second is
        // a preference for the place.
        let bias: f64 = told.iter().map(|(first, second)| first - second).sum();
        scores.push(Score::new(POSITION_BIAS, bias / told.len() as f64));
    }
    scores.push(coverage(rubric, &ballots, CRITERIA_SCORED, &transcripts));
    let preferences: Vec<_> = both.into_iter().flatten().collect();
    if rubric.has_jury()
        && let Some(spread) = spread(&preferences)
    {
        scores.push(Score::new(DISAGREEMENT, spread));
    }
    Ok(scores)
}

fn vote(
    rubric: &Rubric,
    criterion: &Criterion,
    compared: Compared,
    place: Place,
    answer: &str,
    baseline: &str,
) -> Result<Vote, String> {
    let (preference, better_text) = match (compared.better, place) {
        (Better::First, Place::First) | (Better::Second, Place::Second) => (Some(1.0), Some(answer)),
        (Better::First, Place::Second) | (Better::Second, Place::First) => (Some(0.0), Some(baseline)),
        (Better::Tie, _) => (Some(0.5), None),
        (Better::CannotTell, _) if criterion.cannot_tell => (None, None),
        (Better::CannotTell, _) => return Err("it may not say `cannot_tell`".into()),
    };
    let (quote, mut reason) = (compared.quote.trim(), shortened(compared.reason.trim(), 1_000));
    let found = match (criterion.evidence, better_text) {
        (EvidenceRule::None, _) | (_, None) => None,
        (_, Some(text)) => quotes::find(text, quote),
    };
    let needs_quote = criterion.evidence == EvidenceRule::Required && better_text.is_some();
    if criterion.evidence != EvidenceRule::None
        && better_text.is_some()
        && !quote.is_empty()
        && found.is_none()
    {
        reason = format!("{reason} (its quotation “{}” is not in the better answer)", shortened(quote, 200));
    }
    let field = match (preference, &rubric.baseline) {
        (Some(1.0), _) => Some("actual"),
        (_, Baseline::Expected) => Some("expected"),
        // Metadata is no field that can be quoted.
        (_, Baseline::Metadata(_)) => None,
    };
    let verdict = match preference {
        None => Verdict::CannotTell,
        Some(_) if needs_quote && found.is_none() => Verdict::NotGrounded,
        Some(preference) => Verdict::Value(preference),
    };
    Ok(Vote { verdict, reason, evidence: field.zip(found).map(|(field, found)| evidence(field, found)) })
}

/// What a judge prefers in one order: the sign of the weighted sum over the
/// criteria.
fn overall(rubric: &Rubric, votes: &[Vote]) -> Option<f64> {
    let (mut sum, mut has_any) = (0.0, false);
    for (criterion, vote) in rubric.criteria.iter().zip(votes) {
        if criterion.way == Way::Neutral {
            continue;
        }
        let ballot = Ballot { name: String::new(), votes: vec![vote.clone()] };
        match vote.value() {
            Some(value) => {
                sum += criterion.weight * (value - 0.5);
                has_any = true;
            }
            None if ballot.may_be_left_out(rubric.total) => {}
            None => return None,
        }
    }
    has_any.then_some(match sum {
        sum if sum > 1e-9 => 1.0,
        sum if sum < -1e-9 => 0.0,
        _ => 0.5,
    })
}

/// The same preference in both orders, else neither.
fn consistent(first: Option<f64>, second: Option<f64>) -> Option<f64> {
    let (first, second) = (first?, second?);
    Some(if first == second { first } else { 0.5 })
}

fn in_both_orders(first: &Vote, second: &Vote) -> Vote {
    let verdict = match consistent(first.value(), second.value()) {
        Some(value) => Verdict::Value(value),
        None if [first.verdict, second.verdict].contains(&Verdict::NotGrounded) => Verdict::NotGrounded,
        None => Verdict::CannotTell,
    };
    Vote {
        verdict,
        reason: format!("shown first: {} / shown second: {}", first.reason, second.reason),
        evidence: first.evidence.clone().or_else(|| second.evidence.clone()),
    }
}
