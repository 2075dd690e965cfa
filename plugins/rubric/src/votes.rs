//! Votes of one judge or several on one criterion, and the value they make.

use assay_plugin::judge::Reply;
use assay_plugin::quotes::{head, shortened};
use assay_plugin::{Evidence, Score};
use serde_json::{Map, Value, json};

use crate::config::{Combine, TotalRule};
use crate::rubric::Rubric;

/// The host refuses details of more than 16 KiB an output.
const REASON_BYTES_MAX: usize = 4_000;
const QUOTE_BYTES_MAX: usize = 1_000;

/// What one judge says of one criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// What it counts.
    pub verdict: Verdict,
    /// The judge's words.
    pub reason: String,
    /// The quotation, as it stands in the field.
    pub evidence: Option<Evidence>,
}

/// What a vote counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// A value.
    Value(f64),
    /// The judge cannot tell.
    CannotTell,
    /// The quotation that is needed is not in the answer.
    NotGrounded,
}

impl Vote {
    /// The value, where there is one.
    pub fn value(&self) -> Option<f64> {
        match self.verdict {
            Verdict::Value(value) => Some(value),
            Verdict::CannotTell | Verdict::NotGrounded => None,
        }
    }
}

/// All judges' votes on one criterion, in the order of the rubric's profiles.
#[derive(Debug)]
pub struct Ballot {
    /// The criterion's name.
    pub name: String,
    /// One for each judge.
    pub votes: Vec<Vote>,
}

impl Ballot {
    /// The value that the votes make; none where there is no such value.
    pub fn value(&self, combine: Combine) -> Option<f64> {
        let votes: Vec<_> = self.votes.iter().map(Vote::value).collect();
        combined(&votes, combine)
    }

    /// Whether a total may leave this criterion out: it has no value, and not
    /// because of a quotation that is in no answer.
    pub fn may_be_left_out(&self, rule: TotalRule) -> bool {
        rule == TotalRule::Rest && self.votes.iter().all(|vote| vote.verdict != Verdict::NotGrounded)
    }

    /// How far the judges are apart; none with fewer than two values.
    pub fn spread(&self) -> Option<f64> {
        let values = self.votes.iter().filter_map(Vote::value);
        spread(&values.collect::<Vec<_>>())
    }

    /// The criterion's score.
    pub fn score(&self, rubric: &Rubric, value: f64, transcripts: &[&str]) -> Score {
        let mut extra = transcripts_of(transcripts);
        if rubric.has_jury() {
            let votes = rubric.profiles.iter().zip(&self.votes).map(|(profile, vote)| match vote.verdict {
                Verdict::Value(value) => json!({"profile": profile, "value": value}),
                Verdict::CannotTell => json!({"profile": profile, "cannot_tell": true}),
                Verdict::NotGrounded => json!({"profile": profile, "not_grounded": true}),
            });
            extra.insert("votes".into(), votes.collect());
            if let Some(spread) = self.spread() {
                extra.insert("spread".into(), spread.into());
            }
        }
        let mut score = Score::new(&self.name, value)
            .because(self.reason(rubric))
            .with_extra(Value::Object(extra).to_string());
        for vote in &self.votes {
            if let Some(evidence) = &vote.evidence
                && !score.evidence.contains(evidence)
                && score.evidence.len() < 5
            {
                score = score.grounded_in(evidence.clone());
            }
        }
        score
    }

    /// Why there is the value, or none: the judges' words, each with its name
    /// where there are several.
    pub fn reason(&self, rubric: &Rubric) -> String {
        let told: Vec<_> = rubric
            .profiles
            .iter()
            .zip(&self.votes)
            .map(|(profile, vote)| {
                let what = match vote.verdict {
                    Verdict::Value(value) => format!("{value}"),
                    Verdict::CannotTell => "cannot tell".into(),
                    Verdict::NotGrounded => "not grounded".into(),
                };
                match (rubric.has_jury(), vote.verdict) {
                    (true, _) => format!("{profile}: {what}: {}", vote.reason),
                    (false, Verdict::Value(_)) => vote.reason.clone(),
                    (false, _) => format!("{what}: {}", vote.reason),
                }
            })
            .collect();
        shortened(&told.join("\n"), REASON_BYTES_MAX)
    }
}

/// A quotation as evidence; of a long one its start, which is as well in the
/// field.
pub fn evidence(field: &str, quote: &str) -> Evidence {
    Evidence::new(field, head(quote, QUOTE_BYTES_MAX))
}

/// What the scores say of the calls that they come from.
pub fn transcripts_of(transcripts: &[&str]) -> Map<String, Value> {
    Map::from_iter([("transcripts".to_owned(), transcripts.iter().copied().collect())])
}

/// The host's ids of its records of the calls.
pub fn transcripts(replies: &[Reply]) -> Vec<&str> {
    replies.iter().map(|reply| reply.transcript_id.as_str()).collect()
}

/// One value of several votes, some of which may be none.
pub fn combined(votes: &[Option<f64>], combine: Combine) -> Option<f64> {
    let values: Vec<_> = votes.iter().copied().flatten().collect();
    let is_most = |count: usize| count * 2 > votes.len();
    match combine {
        Combine::Mean => is_most(values.len()).then(|| values.iter().sum::<f64>() / values.len() as f64),
        Combine::Majority => values
            .iter()
            .copied()
            .find(|value| is_most(values.iter().filter(|other| *other == value).count())),
    }
}

/// The greatest less the least; none of fewer than two.
pub fn spread(values: &[f64]) -> Option<f64> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let greatest = values.iter().copied().max_by(f64::total_cmp)?;
    (values.len() > 1).then_some(greatest - least)
}

/// The output that every judged item has: how many criteria have a value, and
/// what the others lack.
pub fn coverage(rubric: &Rubric, ballots: &[Ballot], output: &str, transcripts: &[&str]) -> Score {
    let without: Vec<_> = ballots.iter().filter(|ballot| ballot.value(rubric.combine).is_none()).collect();
    let share = (ballots.len() - without.len()) as f64 / ballots.len() as f64;
    let score = Score::new(output, share).with_extra(Value::Object(transcripts_of(transcripts)).to_string());
    if without.is_empty() {
        return score;
    }
    let told: Vec<_> =
        without.iter().map(|ballot| format!("`{}`: {}", ballot.name, ballot.reason(rubric))).collect();
    score.because(shortened(&told.join("\n"), REASON_BYTES_MAX))
}
