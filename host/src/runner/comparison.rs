//! Two runs beside each other: what moved, and whether that is more than chance.
//!
//! Items that both runs have are compared pair by pair; where they share none,
//! the two groups are. What one of them alone has is counted and left out. Answers
//! of one item, of production of one user or session, are one cluster.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::result::CONFIDENCE;
use super::{Runner, RunnerError};
use crate::domain::completion::Completion;
use crate::domain::evaluation::{DefinitionProblem, find_output};
use crate::domain::ids::RunId;
use crate::domain::run::Run;
use crate::domain::slice::UNCLASSIFIED;
use crate::stats::{
    Cluster, Design, Difference, PairedAnswers, Power, clustered_proportion, difference_of_means,
    difference_of_proportions, holm, items_for_independent, items_for_paired, mcnemar_mid_p,
    paired_difference, paired_means,
};
use crate::store::{AnswerValue, RunAnswer};

/// Probability with which a difference shall be seen that is there.
const POWER: f64 = 0.8;

/// What two runs are compared by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ComparisonQuestion {
    /// The run that was there before.
    pub base: RunId,
    /// The run that is compared with it.
    pub candidate: RunId,
    /// An output, `output` or `scorer.output`; task completion where it is missing.
    pub output: Option<String>,
    /// The difference that shall be seen: of it, how many items that needs.
    pub difference: f64,
}

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// The run that was there before.
    pub base: RunId,
    /// The run that is compared with it.
    pub candidate: RunId,
    /// What is compared: `completion`, or an output.
    pub of: String,
    /// Whether items are compared pair by pair.
    pub paired: bool,
    /// Answers that both have, with a value in both.
    pub shared: u64,
    /// Answers with a value that the base alone has.
    pub base_only: u64,
    /// Answers with a value that the candidate alone has.
    pub candidate_only: u64,
    /// The level of every interval.
    pub confidence: f64,
    /// All answers.
    pub all: Option<ComparedGroup>,
    /// By request class.
    pub classes: Vec<ComparedClass>,
}

/// One class of request.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ComparedClass {
    /// The class.
    pub request_class: String,
    /// Its figures.
    #[serde(flatten)]
    pub group: ComparedGroup,
    /// The probability of so uneven a split by chance, adjusted for the number of
    /// classes (Holm); of paired yes or no only.
    pub p_adjusted: Option<f64>,
}

/// One group of answers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ComparedGroup {
    /// Rate or mean in the base, of what is compared.
    pub base: f64,
    /// Rate or mean in the candidate.
    pub candidate: f64,
    /// Candidate less base.
    #[serde(flatten)]
    pub difference: Difference,
    /// McNemar's mid-p: the probability of so uneven a split if both were equal. It
    /// takes answers as independent, and is there for paired yes or no only.
    pub p: Option<f64>,
    /// Items that it takes to see the difference that was asked for, with a
    /// probability of 0.8; none where no number does.
    pub items_needed: Option<u64>,
}

impl Runner {
    /// Lays two runs beside each other.
    pub async fn compare(&self, question: &ComparisonQuestion) -> Result<Comparison, RunnerError> {
        let store = &self.shared.store;
        let (base, candidate) =
            (store.run_get(question.base).await?, store.run_get(question.candidate).await?);
        let places = [&base, &candidate].map(|run| output_place(run, question.output.as_deref()));
        let [base_place, candidate_place] = places;
        let base = self.valued(question.base, base_place?).await?;
        let candidate = self.valued(question.candidate, candidate_place?).await?;
        Ok(compared(question, &base, &candidate))
    }
}

fn output_place(run: &Run, output: Option<&str>) -> Result<Option<(usize, usize)>, RunnerError> {
    let problem = |message: String| {
        let message = format!("run `{}`: {message}", run.id);
        RunnerError::Definition(vec![DefinitionProblem { path: "/output".into(), message }])
    };
    let Some(output) = output else {
        return match run.definition.completion {
            Some(_) => Ok(None),
            None => Err(problem("it has no completion rule: name an output".into())),
        };
    };
    let declared: Vec<_> =
        run.scorers.iter().map(|scorer| (scorer.name.as_str(), &scorer.outputs[..])).collect();
    let found = find_output(output, &declared).map_err(problem)?;
    Ok(Some((found.scorer, found.output)))
}

/// An answer with what is compared of it.
type Valued = (RunAnswer, f64);

impl Runner {
    /// Those of a run's answers that have a value: of an output, else of completion.
    async fn valued(&self, run: RunId, place: Option<(usize, usize)>) -> Result<Vec<Valued>, RunnerError> {
        let scorers = place.map(|(scorer, _)| scorer).into_iter().collect();
        let answers = self.shared.store.run_answers(run, scorers).await?;
        let value = |answer: &RunAnswer, values: &[AnswerValue]| match place {
            Some((_, output)) => values.iter().find(|value| value.output == output).map(|found| found.value),
            None => match answer.completion? {
                Completion::Completed => Some(1.0),
                Completion::NotCompleted => Some(0.0),
                Completion::Undetermined => None,
            },
        };
        let valued = |(answer, values): (RunAnswer, Vec<AnswerValue>)| {
            let value = value(&answer, &values)?;
            Some((answer, value))
        };
        Ok(answers.into_iter().filter_map(valued).collect())
    }
}

fn compared(question: &ComparisonQuestion, base: &[Valued], candidate: &[Valued]) -> Comparison {
    let key = |(answer, _): &Valued| (answer.key.clone(), answer.trial);
    let of_base: HashMap<_, _> = base.iter().map(|valued| (key(valued), valued)).collect();
    let pairs: Vec<_> =
        candidate.iter().filter_map(|valued| Some((*of_base.get(&key(valued))?, valued))).collect();
    let paired = !pairs.is_empty();
    let class =
        |(answer, _): &Valued| answer.request_class.clone().unwrap_or_else(|| UNCLASSIFIED.to_owned());
    let mut groups = BTreeMap::<String, Option<ComparedGroup>>::new();
    let all;
    if paired {
        all = paired_group(&pairs, question.difference);
        let mut by_class = BTreeMap::<String, Vec<_>>::new();
        for pair in &pairs {
            by_class.entry(class(pair.1)).or_default().push(*pair);
        }
        groups.extend(
            by_class.into_iter().map(|(name, pairs)| (name, paired_group(&pairs, question.difference))),
        );
    } else {
        all = unpaired_group(base, candidate, question.difference);
        let mut by_class = BTreeMap::<String, [Vec<Valued>; 2]>::new();
        for (side, answers) in [base, candidate].into_iter().enumerate() {
            for valued in answers {
                by_class.entry(class(valued)).or_default()[side].push(valued.clone());
            }
        }
        groups.extend(
            by_class.into_iter().map(|(name, [base, candidate])| {
                (name, unpaired_group(&base, &candidate, question.difference))
            }),
        );
    }
    let groups: Vec<_> = groups.into_iter().filter_map(|(name, group)| Some((name, group?))).collect();
    let probabilities: Vec<_> = groups.iter().filter_map(|(_, group)| group.p).collect();
    let mut adjusted = holm(&probabilities).into_iter();
    let classes = groups
        .into_iter()
        .map(|(request_class, group)| {
            let p_adjusted = group.p.and_then(|_| adjusted.next());
            ComparedClass { request_class, group, p_adjusted }
        })
        .collect();
    let shared = pairs.len() as u64;
    Comparison {
        base: question.base,
        candidate: question.candidate,
        of: question.output.clone().unwrap_or_else(|| "completion".into()),
        paired,
        shared,
        base_only: base.len() as u64 - shared,
        candidate_only: candidate.len() as u64 - shared,
        confidence: CONFIDENCE,
        all,
        classes,
    }
}

fn is_binary<'a>(mut values: impl Iterator<Item = &'a f64>) -> bool {
    values.all(|value| *value == 0.0 || *value == 1.0)
}

/// Numbers for clusters by their names, one for each name.
#[derive(Default)]
struct ClusterNumbers<'a>(HashMap<&'a str, u64>);

impl<'a> ClusterNumbers<'a> {
    fn of(&mut self, cluster: &'a str) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(cluster).or_insert(next)
    }
}

fn paired_group(pairs: &[(&Valued, &Valued)], sought: f64) -> Option<ComparedGroup> {
    let mut numbers = ClusterNumbers::default();
    let design = Design::new(pairs.iter().map(|(base, _)| (0, numbers.of(&base.0.cluster))));
    // Of the same answer the later run knows the weight as well as the first.
    let weighted = |side: fn(&(&Valued, &Valued)) -> f64| {
        let total: f64 = pairs.iter().map(|(base, _)| base.0.weight).sum();
        pairs.iter().map(|pair| side(pair) * pair.0.0.weight).sum::<f64>() / total
    };
    let (base, candidate) = (weighted(|pair| pair.0.1), weighted(|pair| pair.1.1));
    let values = pairs.iter().flat_map(|(base, candidate)| [&base.1, &candidate.1]);
    if !is_binary(values) {
        let items: Vec<_> =
            pairs.iter().map(|(base, candidate)| (base.1, candidate.1, base.0.weight)).collect();
        let difference = paired_means(&design, &items, CONFIDENCE)?;
        return Some(ComparedGroup { base, candidate, difference, p: None, items_needed: None });
    }
    let items: Vec<_> =
        pairs.iter().map(|(base, candidate)| (base.1 == 1.0, candidate.1 == 1.0, base.0.weight)).collect();
    let difference = paired_difference(&design, &items, CONFIDENCE)?;
    let count = |wanted: (bool, bool)| {
        items.iter().filter(|(first, second, _)| (*first, *second) == wanted).count() as u64
    };
    let answers = PairedAnswers {
        only_first: count((true, false)),
        only_second: count((false, true)),
        items: items.len() as u64,
    };
    let discordance = (answers.only_first + answers.only_second) as f64 / answers.items as f64;
    let power =
        Power { confidence: CONFIDENCE, power: POWER, design_effect: difference.design_effect.max(1.0) };
    let items_needed = items_for_paired(sought, discordance.max(sought), power).ok();
    Some(ComparedGroup { base, candidate, difference, p: Some(mcnemar_mid_p(answers)), items_needed })
}

fn unpaired_group(base: &[Valued], candidate: &[Valued], sought: f64) -> Option<ComparedGroup> {
    if base.is_empty() || candidate.is_empty() {
        return None;
    }
    if is_binary(base.iter().chain(candidate).map(|(_, value)| value)) {
        let rate = |side: &[Valued]| {
            let mut clusters = BTreeMap::<&str, Cluster>::new();
            for (answer, value) in side {
                let cluster = clusters.entry(&answer.cluster).or_default();
                cluster.n += 1;
                cluster.weight += answer.weight;
                cluster.successes += answer.weight * value;
            }
            clustered_proportion(&clusters.into_values().collect::<Vec<_>>(), CONFIDENCE)
        };
        let (base, candidate) = (rate(base)?, rate(candidate)?);
        let difference = difference_of_proportions(&base, &candidate);
        let design_effect = base.design_effect.max(candidate.design_effect).max(1.0);
        let power = Power { confidence: CONFIDENCE, power: POWER, design_effect };
        // Towards the middle, where there is room for the difference.
        let toward = if base.rate > 0.5 { -sought } else { sought };
        let items_needed = items_for_independent(base.rate, toward, power).ok();
        let (base, candidate) = (base.rate, candidate.rate);
        return Some(ComparedGroup { base, candidate, difference, p: None, items_needed });
    }
    let mean = |side: &[Valued]| {
        let mut numbers = ClusterNumbers::default();
        let clusters: Vec<_> = side.iter().map(|(answer, _)| (0, numbers.of(&answer.cluster))).collect();
        let values: Vec<_> = side.iter().map(|(answer, value)| (*value, answer.weight)).collect();
        Design::new(clusters).mean(&values, CONFIDENCE)
    };
    let (base, candidate) = (mean(base)?, mean(candidate)?);
    let difference = difference_of_means(&base, &candidate, CONFIDENCE);
    Some(ComparedGroup {
        base: base.mean,
        candidate: candidate.mean,
        difference,
        p: None,
        items_needed: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(key: usize, value: f64) -> Valued {
        let answer = RunAnswer {
            key: key.to_string(),
            trial: 0,
            completion: None,
            request_class: Some(if key.is_multiple_of(2) { "even" } else { "odd" }.into()),
            template: None,
            day: None,
            cluster: key.to_string(),
            weight: 1.0,
        };
        (answer, value)
    }

    fn question() -> ComparisonQuestion {
        ComparisonQuestion { base: RunId::new(), candidate: RunId::new(), output: None, difference: 0.02 }
    }

    #[test]
    fn shared_items_are_compared_pair_by_pair() {
        // 1 pair one way, 7 the other, of 21: Fagerland, Lydersen & Laake 2014, Statistics
        // in Medicine 33:2850–2875; McNemar's mid-p is 0.039 there.
        let base: Vec<_> = (0..21).map(|key| answer(key, f64::from(u8::from(key < 10)))).collect();
        let candidate: Vec<_> =
            (0..21).map(|key| answer(key, f64::from(u8::from((7..11).contains(&key))))).collect();
        let found = compared(&question(), &base, &candidate);
        assert!(found.paired && (found.shared, found.base_only) == (21, 0));
        let all = found.all.expect("there are pairs");
        assert!((all.p.expect("yes or no") - 0.039_062_5).abs() < 1e-6, "{:?}", all.p);
        assert!((all.difference.difference - (-6.0 / 21.0)).abs() < 1e-12);
        assert_eq!(found.classes.len(), 2);
        for class in &found.classes {
            assert!(class.p_adjusted >= class.group.p, "{class:?}");
        }
    }

    #[test]
    fn groups_that_share_nothing_are_compared_as_groups() {
        let base: Vec<_> = (0..100).map(|key| answer(key, f64::from(u8::from(key < 80)))).collect();
        let candidate: Vec<_> = (100..200).map(|key| answer(key, f64::from(u8::from(key < 160)))).collect();
        let found = compared(&question(), &base, &candidate);
        assert_eq!((found.paired, found.shared, found.candidate_only), (false, 0, 100));
        let all = found.all.expect("both have answers");
        assert!((all.difference.difference + 0.2).abs() < 1e-12);
        let interval = all.difference.interval.expect("100 clusters each");
        assert!(interval.high < 0.0 && interval.low > -0.35, "{interval:?}");
        assert!(all.items_needed.is_some_and(|items| items > 5_000), "{:?}", all.items_needed);
    }

    #[test]
    fn scores_that_are_no_yes_or_no_are_compared_by_their_means() {
        let base: Vec<_> = (0..40).map(|key| answer(key, key as f64 / 10.0)).collect();
        let candidate: Vec<_> = (0..40).map(|key| answer(key, key as f64 / 10.0 + 0.5)).collect();
        let all = compared(&question(), &base, &candidate).all.expect("there are pairs");
        assert!((all.difference.difference - 0.5).abs() < 1e-12 && all.p.is_none());
    }
}
