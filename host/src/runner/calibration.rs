//! How far a scorer agrees with people.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::quality::{LeftOut, deciding};
use super::result::CONFIDENCE;
use super::{Runner, RunnerError};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::plugin::{Output, OutputKind, Value};
use crate::domain::review::value_of;
use crate::stats::{
    Agreement, Calibration, HumanAgreement, HumanItem, JudgeIdentity, Measure, Pair, Requirements,
    Resampling, Scale, calibration, human_agreement, in_words, verdict,
};
use crate::store::{
    AnswerScore, CalibrationData, CalibrationQuestion, JudgedAnswer, ScoresOf, StoreError, Wanted,
};

const WEEK_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// The weeks that are set against those before them.
const RECENT_WEEKS: i64 = 4;
/// What a scorer must show where nobody asks for more or less.
const LABELS_MIN: u64 = 100;
const AGREEMENT_MIN: f64 = 0.4;
const BIAS_SHARE_MAX: f64 = 0.05;

/// What a scorer must show; the defaults where it is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// Labels.
    pub labels_min: Option<u64>,
    /// The lower end of the agreement's interval.
    pub agreement_min: Option<f64>,
    /// How far off the mean may be.
    pub bias_max: Option<f64>,
}

/// A scorer's output against people.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CalibrationReport {
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// The run whose scorer is asked about.
    pub run: RunId,
    /// The scorer.
    pub scorer: String,
    /// Its output.
    pub output: String,
    /// What it comes to.
    #[serde(flatten)]
    pub summary: CalibrationSummary,
    /// What was asked of the scorer.
    pub requirements: Requirements,
    /// The intervals' level.
    pub confidence: f64,
    /// The scale of the values.
    pub scale: Scale,
    /// What the rows and columns of confusions are; empty for numbers.
    pub values: Vec<String>,
    /// Weighted by one over the probability with which an answer was taken and
    /// reviewed: about all answers that could have been. None where no probability
    /// is known.
    pub weighted: Option<Agreement>,
    /// Of the reviewed answers as they are.
    pub of_reviewed: Option<Agreement>,
    /// By request class, where there are several; weighted where probabilities are known.
    pub classes: Vec<ClassCalibration>,
    /// By week (from Monday, UTC), where there are several.
    pub weeks: Vec<WeekCalibration>,
    /// How far people agree with one another.
    pub humans: Option<HumanAgreement>,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Agreement in one request class.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ClassCalibration {
    /// The class.
    pub request_class: String,
    /// Its agreement.
    pub agreement: Agreement,
}

/// Agreement in one week.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct WeekCalibration {
    /// When the week begins: of the requests, of a reference set of the reviews.
    pub from: Timestamp,
    /// Its agreement.
    pub agreement: Agreement,
}

/// What a calibration comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CalibrationSummary {
    /// The verdict.
    pub calibration: CalibrationState,
    /// The figures in words.
    pub words: String,
    /// Why it is not calibrated, or drifted.
    pub reasons: Vec<String>,
    /// Answers with a score and a verdict that counts.
    pub labels: u64,
}

/// Whether a scorer's output can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationState {
    /// It agrees with people as far as was asked.
    Calibrated,
    /// That is not shown.
    NotCalibrated,
    /// It did, and the last four weeks are unlike those before.
    Drifted,
}

impl Runner {
    /// Sets a scorer's output against people.
    pub async fn calibration(
        &self,
        question: CalibrationQuestion,
        asked: Asked,
    ) -> Result<CalibrationReport, RunnerError> {
        let evaluation = question.evaluation;
        let data = self.shared.store.calibration_data(question, Wanted::Reviewed).await?;
        Ok(report(evaluation, &data, asked))
    }

    /// What reviews say of an output of a run; none where there is nothing to say:
    /// nobody reviewed it, and it always gives the same answer.
    pub(super) async fn calibration_summary(
        &self,
        evaluation: EvaluationId,
        run: RunId,
        scorer: &str,
        output: &str,
    ) -> Result<Option<CalibrationSummary>, RunnerError> {
        let question = CalibrationQuestion {
            evaluation,
            scorer: scorer.to_owned(),
            output: output.to_owned(),
            run: Some(run),
            scores_of: ScoresOf::SameScorer,
            request_class: None,
        };
        let data = match self.shared.store.calibration_data(question, Wanted::Reviewed).await {
            Ok(data) => data,
            // The evaluation is deleted: its runs stay, and nobody reviews them.
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_judged = data.answers.iter().any(|answer| deciding(&answer.verdicts, &data.output).is_some());
        if !is_judged && data.of_other_scorer == 0 && data.is_deterministic {
            return Ok(None);
        }
        Ok(Some(report(evaluation, &data, Asked::default()).summary))
    }
}

/// An answer with both values.
struct Both<'a> {
    answer: &'a JudgedAnswer,
    judge: f64,
    human: f64,
    /// One over the probability of being taken and reviewed; none where unknown.
    weight: Option<f64>,
    at: Timestamp,
}

fn report(evaluation: EvaluationId, data: &CalibrationData, asked: Asked) -> CalibrationReport {
    let output = &data.output;
    let (scale, values) = scale_of(output);
    let mut left_out = LeftOut {
        of_other_scorer: data.of_other_scorer,
        skipped: data.skipped,
        unreachable: data.unreachable,
        ..LeftOut::default()
    };
    let mut both = Vec::new();
    for answer in &data.answers {
        let Some((verdict, value)) = deciding(&answer.verdicts, output) else { continue };
        let human = value_of(value, &output.kind).and_then(|value| number(&value, output));
        let (Some(human), Some(judge)) = (human, score_number(&answer.score, output)) else { continue };
        if verdict.is_development {
            left_out.development += 1;
            continue;
        }
        left_out.without_probability += u64::from(verdict.probability.is_none());
        let weight = verdict.probability.map(|probability| 1.0 / (probability * answer.taken));
        let at = answer.started_at.unwrap_or(verdict.reviewed_at);
        both.push(Both { answer, judge, human, weight, at });
    }
    let numbers = Numbers::of(&data.answers);
    let known: Vec<&Both<'_>> = both.iter().filter(|both| both.weight.is_some()).collect();
    let all: Vec<&Both<'_>> = both.iter().collect();
    let by_class = |both: &Both<'_>| numbers.classes[both.answer.request_class.as_str()];
    let weighted = agree(&known, &numbers, scale, by_class);
    let of_reviewed = agree(&all, &numbers, scale, by_class);
    let told = weighted.as_ref().or(of_reviewed.as_ref());
    let classes = told.map(|told| named_classes(told, &numbers)).unwrap_or_default();
    let requirements = requirements(output, scale, asked);
    let used = if weighted.is_some() { &known } else { &all };
    let summary = summarise(data, told, used, &numbers, scale, requirements, weighted.is_some());
    CalibrationReport {
        evaluation,
        run: data.run,
        scorer: data.scorer.name.clone(),
        output: output.name.clone(),
        summary,
        requirements,
        confidence: CONFIDENCE,
        scale,
        values,
        classes,
        weeks: weeks(used, &numbers, scale),
        humans: humans(data, &numbers, scale),
        weighted: weighted.map(|found| found.weighted),
        of_reviewed: of_reviewed.map(|found| found.of_reviewed),
        left_out,
    }
}

fn resampling() -> Resampling {
    Resampling { confidence: CONFIDENCE, ..Resampling::default() }
}

/// None where there is nothing to compare.
fn agree(
    both: &[&Both<'_>],
    numbers: &Numbers<'_>,
    scale: Scale,
    class: impl Fn(&Both<'_>) -> u32,
) -> Option<Calibration> {
    let pairs: Vec<Pair> = both
        .iter()
        .map(|both| Pair {
            judge: both.judge,
            human: both.human,
            weight: both.weight.unwrap_or(1.0),
            cluster: numbers.clusters[both.answer.cluster.as_str()],
            stratum: numbers.classes[both.answer.request_class.as_str()],
            class: class(both),
        })
        .collect();
    calibration(&pairs, scale, resampling()).ok()
}

fn named_classes(found: &Calibration, numbers: &Numbers<'_>) -> Vec<ClassCalibration> {
    let names: HashMap<u32, &str> = numbers.classes.iter().map(|(name, number)| (*number, *name)).collect();
    let mut classes: Vec<_> = found
        .classes
        .iter()
        .map(|class| ClassCalibration {
            request_class: names[&class.class].to_owned(),
            agreement: class.agreement.clone(),
        })
        .collect();
    classes.sort_by(|one, other| one.request_class.cmp(&other.request_class));
    classes
}

/// Weeks since the Monday before the epoch.
fn week_of(at: Timestamp) -> i64 {
    (at.0 + 3 * WEEK_US / 7).div_euclid(WEEK_US)
}

fn weeks(both: &[&Both<'_>], numbers: &Numbers<'_>, scale: Scale) -> Vec<WeekCalibration> {
    let first = both.iter().map(|both| week_of(both.at)).min().unwrap_or(0);
    let number = |both: &Both<'_>| u32::try_from(week_of(both.at) - first).unwrap_or(u32::MAX);
    let found = agree(both, numbers, scale, number);
    let weeks = found.into_iter().flat_map(|found| found.classes).map(|week| WeekCalibration {
        from: Timestamp((first + i64::from(week.class)) * WEEK_US - 3 * WEEK_US / 7),
        agreement: week.agreement,
    });
    weeks.collect()
}

/// Whether agreement in the last weeks is unlike that before them: their
/// intervals do not meet. That is cautious: it may be overlooked.
fn has_drifted(both: &[&Both<'_>], numbers: &Numbers<'_>, scale: Scale, measure: Measure) -> bool {
    let Some(last) = both.iter().map(|both| week_of(both.at)).max() else { return false };
    let is_recent = |both: &Both<'_>| u32::from(week_of(both.at) > last - RECENT_WEEKS);
    let Some(found) = agree(both, numbers, scale, is_recent) else { return false };
    let interval = |part: u32| {
        let class = found.classes.iter().find(|class| class.class == part)?;
        let figure = match measure {
            Measure::Spearman => class.agreement.bias,
            _ => class.agreement.accuracy,
        };
        figure?.interval()
    };
    match (interval(0), interval(1)) {
        (Some(before), Some(now)) => before.high < now.low || now.high < before.low,
        _ => false,
    }
}

fn summarise(
    data: &CalibrationData,
    told: Option<&Calibration>,
    used: &[&Both<'_>],
    numbers: &Numbers<'_>,
    scale: Scale,
    requirements: Requirements,
    is_weighted: bool,
) -> CalibrationSummary {
    let Some(told) = told else {
        let (words, reason) = if data.of_other_scorer > 0 {
            let words = "what people reviewed was scored by another build or configuration of the scorer";
            (words, format!("{} reviewed answers have no score of this scorer", data.of_other_scorer))
        } else {
            ("nobody has reviewed this output", "there are no labels".to_owned())
        };
        return CalibrationSummary {
            calibration: CalibrationState::NotCalibrated,
            words: words.into(),
            reasons: vec![reason],
            labels: 0,
        };
    };
    let agreement = if is_weighted { &told.weighted } else { &told.of_reviewed };
    let mut reasons: Vec<String> = match verdict(agreement, requirements, JudgeIdentity::Same) {
        crate::stats::Verdict::Calibrated => Vec::new(),
        crate::stats::Verdict::NotCalibrated { reasons } => reasons.iter().map(ToString::to_string).collect(),
    };
    let mut words = in_words(agreement, scale);
    if !is_weighted {
        words.push_str("; of the reviewed answers, which stand for nothing but themselves");
    }
    let mut state = CalibrationState::Calibrated;
    if !reasons.is_empty() {
        state = CalibrationState::NotCalibrated;
    } else if has_drifted(used, numbers, scale, requirements.measure) {
        state = CalibrationState::Drifted;
        reasons.push(format!("agreement in the last {RECENT_WEEKS} weeks is unlike that before them"));
    }
    CalibrationSummary { calibration: state, words, reasons, labels: agreement.n }
}

fn requirements(output: &Output, scale: Scale, asked: Asked) -> Requirements {
    let width = match &output.kind {
        OutputKind::Number { low, high } => high - low,
        OutputKind::Boolean | OutputKind::Category(_) => 1.0,
    };
    Requirements {
        labels_min: asked.labels_min.unwrap_or(LABELS_MIN),
        measure: if scale == Scale::Number { Measure::Spearman } else { Measure::Kappa },
        agreement_min: asked.agreement_min.unwrap_or(AGREEMENT_MIN),
        bias_max: asked.bias_max.unwrap_or(BIAS_SHARE_MAX * width),
    }
}

/// How people agree with one another: each one's last word on an answer.
fn humans(data: &CalibrationData, numbers: &Numbers<'_>, scale: Scale) -> Option<HumanAgreement> {
    let output = &data.output;
    let mut items = Vec::new();
    for answer in &data.answers {
        let mut by_reviewer = BTreeMap::<&str, f64>::new();
        let mut probability = None;
        for verdict in answer.verdicts.iter().filter(|verdict| !verdict.is_adjudication) {
            let value = verdict.content.values.get(&output.name);
            let value = value.and_then(|value| number(&value_of(value, &output.kind)?, output));
            let Some(value) = value else { continue };
            by_reviewer.insert(&verdict.reviewer, value);
            probability = verdict.probability;
        }
        if !by_reviewer.is_empty() {
            items.push((
                HumanItem {
                    ratings: by_reviewer.into_values().collect(),
                    weight: 1.0,
                    cluster: numbers.clusters[answer.cluster.as_str()],
                    stratum: numbers.classes[answer.request_class.as_str()],
                },
                probability.map(|probability| 1.0 / (probability * answer.taken)),
            ));
        }
    }
    let is_known = items.iter().all(|(_, weight)| weight.is_some());
    let items: Vec<_> = items
        .into_iter()
        .map(|(item, weight)| HumanItem { weight: weight.filter(|_| is_known).unwrap_or(1.0), ..item })
        .collect();
    human_agreement(&items, scale, resampling()).ok().filter(|found| found.items > 0)
}

/// Numbers for names.
struct Numbers<'a> {
    clusters: HashMap<&'a str, u64>,
    classes: HashMap<&'a str, u32>,
}

impl<'a> Numbers<'a> {
    fn of(answers: &'a [JudgedAnswer]) -> Self {
        let (mut clusters, mut classes) = (HashMap::new(), HashMap::new());
        for answer in answers {
            let (cluster, class) = (clusters.len() as u64, classes.len() as u32);
            clusters.entry(answer.cluster.as_str()).or_insert(cluster);
            classes.entry(answer.request_class.as_str()).or_insert(class);
        }
        Self { clusters, classes }
    }
}

fn scale_of(output: &Output) -> (Scale, Vec<String>) {
    match &output.kind {
        OutputKind::Boolean => (Scale::YesNo, vec!["no".into(), "yes".into()]),
        OutputKind::Number { .. } => (Scale::Number, Vec::new()),
        OutputKind::Category(names) => (Scale::Category { categories: names.len() }, names.clone()),
    }
}

/// A value as statistics take it: a category by its place.
fn number(value: &Value, output: &Output) -> Option<f64> {
    match (value, &output.kind) {
        (Value::Category(name), OutputKind::Category(names)) => {
            names.iter().position(|known| known == name).map(|place| place as f64)
        }
        (value, _) => value.as_number(),
    }
}

fn score_number(score: &AnswerScore, output: &Output) -> Option<f64> {
    match &output.kind {
        OutputKind::Number { .. } => score.value,
        OutputKind::Boolean => score.value.map(|value| f64::from(u8::from(value >= 0.5))),
        OutputKind::Category(_) => number(&Value::Category(score.category.clone()?), output),
    }
}
