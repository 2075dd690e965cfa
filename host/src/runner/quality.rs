//! What people would say of all answers, from what they said of a few.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::result::CONFIDENCE;
use super::{Runner, RunnerError};
use crate::domain::evaluation::DefinitionProblem;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::plugin::{Output, OutputKind};
use crate::domain::review::value_of;
use crate::stats::{
    Corrected, CorrectedQuality, Correction, Interval, Judged, Label, Target, Uncorrected, corrected_quality,
};
use crate::store::{CalibrationData, CalibrationQuestion, JudgedAnswer, Verdict, Wanted};

/// What an estimate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityTarget {
    /// The process that these answers came from: others could have come.
    Process,
    /// These answers: only which of them were reviewed is chance.
    TheseInteractions,
}

impl From<QualityTarget> for Target {
    fn from(target: QualityTarget) -> Self {
        match target {
            QualityTarget::Process => Self::Process,
            QualityTarget::TheseInteractions => Self::TheseInteractions,
        }
    }
}

/// The quality that people would find, beside what scorer and people say by
/// themselves. Values are in the output's own range.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct QualityReport {
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// The run whose scorer is asked about; its scores and those of other runs with
    /// the same scorer count.
    pub run: RunId,
    /// The scorer.
    pub scorer: String,
    /// Its output.
    pub output: String,
    /// What the estimate is about.
    pub target: QualityTarget,
    /// The intervals' level.
    pub confidence: f64,
    /// The corrected estimate; none where none can be given.
    pub corrected: Option<Corrected>,
    /// Why there is none.
    pub refused: Option<String>,
    /// What the scorer alone says: no estimate of what people would say.
    pub scorer_only: Option<Uncorrected>,
    /// What the labels alone say.
    pub human_only: Option<Uncorrected>,
    /// Answers with a label that counts.
    pub labelled: u64,
    /// Answers without one.
    pub unlabelled: u64,
    /// Users, else sessions, else answers, with a label.
    pub labelled_clusters: u64,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Labels that do not count, and answers that nothing is claimed of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// Labels that were used to tune the rubric.
    pub development: u64,
    /// Labels of answers that were picked by hand, or imported without the
    /// probability with which they came to be reviewed.
    pub without_probability: u64,
    /// Reviewed answers whose scores are of another build or configuration of the
    /// scorer, or of no run that counts.
    pub of_other_scorer: u64,
    /// Answers that were given to reviewers, skipped, and judged by nobody.
    pub skipped: u64,
    /// Answers that a queue has looked at and no rule could take.
    pub unreachable: u64,
}

impl Runner {
    /// What people would say of all answers on average.
    pub async fn quality(
        &self,
        question: CalibrationQuestion,
        target: QualityTarget,
    ) -> Result<QualityReport, RunnerError> {
        let evaluation = question.evaluation;
        let data = self.shared.store.calibration_data(question, Wanted::All).await?;
        let Some(scale) = Scale::of(&data.output) else {
            let message =
                format!("`{}` is a category: a mean is taken of numbers and of yes and no", data.output.name);
            return Err(RunnerError::Definition(vec![DefinitionProblem { path: "/output".into(), message }]));
        };
        Ok(report(evaluation, &data, scale, target))
    }
}

fn report(
    evaluation: EvaluationId,
    data: &CalibrationData,
    scale: Scale,
    target: QualityTarget,
) -> QualityReport {
    let mut left_out = LeftOut {
        of_other_scorer: data.of_other_scorer,
        skipped: data.skipped,
        unreachable: data.unreachable,
        ..LeftOut::default()
    };
    let strata = strata_of(&data.answers, &data.output);
    let mut clusters = HashMap::<&str, u64>::new();
    let mut items = Vec::with_capacity(data.answers.len());
    for answer in &data.answers {
        let Some(judge) = answer.score.value else { continue };
        let label = label_of(answer, &data.output, &mut left_out);
        let next = clusters.len() as u64;
        items.push(Judged {
            judge: scale.to_share(judge),
            label: label
                .map(|(human, reviewed)| Label { human: scale.to_share(human), reviewed: Some(reviewed) }),
            taken: Some(answer.taken),
            cluster: *clusters.entry(&answer.cluster).or_insert(next),
            stratum: strata.get(answer.request_class.as_str()).copied().unwrap_or(0),
        });
    }
    let found = corrected_quality(&items, target.into(), CONFIDENCE);
    let refused = refusal(&found, &left_out);
    let CorrectedQuality { corrected, judge_only, human_only, labelled, unlabelled, labelled_clusters } =
        found;
    QualityReport {
        evaluation,
        run: data.run,
        scorer: data.scorer.name.clone(),
        output: data.output.name.clone(),
        target,
        confidence: CONFIDENCE,
        corrected: match corrected {
            Correction::Estimated(corrected) if refused.is_none() => Some(scale.corrected(corrected)),
            _ => None,
        },
        refused,
        scorer_only: judge_only.map(|found| scale.uncorrected(found)),
        human_only: human_only.map(|found| scale.uncorrected(found)),
        labelled,
        unlabelled,
        labelled_clusters,
        left_out,
    }
}

/// Why no corrected estimate is given.
fn refusal(found: &CorrectedQuality, left_out: &LeftOut) -> Option<String> {
    if found.labelled == 0 && left_out.without_probability > 0 {
        return Some(format!(
            "none of the {} labels has a known probability of being reviewed: what was picked by hand, or imported \
             without `probability`, stands for nothing but itself",
            left_out.without_probability
        ));
    }
    if found.labelled == 0 && left_out.development > 0 {
        return Some(format!("all {} labels were used to tune the rubric", left_out.development));
    }
    if left_out.unreachable > 0 {
        return Some(format!(
            "{} answers could not be taken by any rule of the queue, so that nothing is known of them: add a rule \
             that takes any answer, or ask for a class that is reviewed",
            left_out.unreachable
        ));
    }
    match &found.corrected {
        Correction::Estimated(_) => None,
        Correction::Refused { reason } => Some(reason.to_string()),
    }
}

/// The human value of an answer and the probability with which it was asked for;
/// counts what does not count.
fn label_of(answer: &JudgedAnswer, output: &Output, left_out: &mut LeftOut) -> Option<(f64, f64)> {
    let (verdict, value) = deciding(&answer.verdicts, output)?;
    if verdict.is_development {
        left_out.development += 1;
        return None;
    }
    let Some(probability) = verdict.probability else {
        left_out.without_probability += 1;
        return None;
    };
    Some((value_of(value, &output.kind)?.as_number()?, probability))
}

/// What counts of several verdicts on one answer: the last decision over them,
/// else the last word of the first person who judged the output.
pub(super) fn deciding<'a>(
    verdicts: &'a [Verdict],
    output: &Output,
) -> Option<(&'a Verdict, &'a serde_json::Value)> {
    let judged =
        || verdicts.iter().filter_map(|verdict| Some((verdict, verdict.content.values.get(&output.name)?)));
    let decision = judged().rfind(|(verdict, _)| verdict.is_adjudication);
    decision.or_else(|| {
        let (first, _) = judged().next()?;
        judged().rfind(|(verdict, _)| verdict.reviewer == first.reviewer)
    })
}

/// A stratum for each class with labels in at least two clusters. The others
/// share one, which joins the first where its labels are too few.
fn strata_of<'a>(answers: &'a [JudgedAnswer], output: &Output) -> HashMap<&'a str, u32> {
    let mut labelled = BTreeMap::<&str, Vec<&str>>::new();
    for answer in answers {
        let clusters = labelled.entry(&answer.request_class).or_default();
        let counts = deciding(&answer.verdicts, output)
            .is_some_and(|(verdict, _)| !verdict.is_development && verdict.probability.is_some());
        if counts && clusters.len() < 2 && !clusters.contains(&answer.cluster.as_str()) {
            clusters.push(&answer.cluster);
        }
    }
    let rest: Vec<&str> =
        labelled.values().filter(|clusters| clusters.len() < 2).flatten().copied().collect();
    let rest_stands_alone = rest.iter().any(|cluster| *cluster != rest[0]);
    let (mut strata, mut next) = (HashMap::new(), 1);
    for (class, clusters) in labelled {
        let own = clusters.len() >= 2;
        let stratum = if own { next } else { u32::from(!rest_stands_alone) };
        next += u32::from(own);
        strata.insert(class, stratum);
    }
    strata
}

/// From an output's range to 0 to 1 and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    width: f64,
}

impl Scale {
    /// None of a category.
    pub(super) fn of(output: &Output) -> Option<Self> {
        match &output.kind {
            OutputKind::Boolean => Some(Self { low: 0.0, width: 1.0 }),
            OutputKind::Number { low, high } if high > low => Some(Self { low: *low, width: high - low }),
            OutputKind::Number { .. } | OutputKind::Category(_) => None,
        }
    }

    pub(super) fn to_share(self, value: f64) -> f64 {
        ((value - self.low) / self.width).clamp(0.0, 1.0)
    }

    fn value(self, share: f64) -> f64 {
        self.low + share * self.width
    }

    fn interval(self, interval: Interval) -> Interval {
        Interval { low: self.value(interval.low), high: self.value(interval.high) }
    }

    fn corrected(self, found: Corrected) -> Corrected {
        Corrected {
            estimate: self.value(found.estimate),
            interval: self.interval(found.interval),
            standard_error: found.standard_error.map(|error| error * self.width),
            ..found
        }
    }

    fn uncorrected(self, found: Uncorrected) -> Uncorrected {
        Uncorrected {
            estimate: self.value(found.estimate),
            interval: found.interval.map(|interval| self.interval(interval)),
            ..found
        }
    }
}
