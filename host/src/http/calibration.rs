//! How far scores and people agree, and what people would say of all answers,
//! over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::{Json, Query};
use super::problem::Problem;
use crate::domain::ids::{EvaluationId, RunId};
use crate::runner::{Asked, CalibrationReport, QualityReport, QualityTarget};
use crate::store::{CalibrationQuestion, ScoresOf};

/// Which scores to set beside which verdicts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CalibrationQuery {
    /// The evaluation.
    evaluation: EvaluationId,
    /// Its scorer; may be missing where it has one.
    scorer: Option<String>,
    /// The scorer's output; may be missing where it has one.
    output: Option<String>,
    /// Scores of this run only; without it those of every run with the same build
    /// and configuration of the scorer as the last one.
    run: Option<RunId>,
    /// Answers to requests of this class only; `unclassified` for those without.
    class: Option<String>,
    /// Labels that there must be; 100 where it is missing.
    labels_min: Option<u64>,
    /// What the lower end of the agreement's interval must reach: kappa, of numbers
    /// the rank correlation; 0.4 where it is missing.
    agreement_min: Option<f64>,
    /// How far off the scorer's mean may be, in the output's range; a twentieth of
    /// the range where it is missing.
    bias_max: Option<f64>,
}

/// As for calibration, and what the estimate is about.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QualityQuery {
    /// The evaluation.
    evaluation: EvaluationId,
    /// Its scorer; may be missing where it has one.
    scorer: Option<String>,
    /// The scorer's output; may be missing where it has one.
    output: Option<String>,
    /// Scores of this run only; without it those of every run with the same build
    /// and configuration of the scorer as the last one.
    run: Option<RunId>,
    /// Answers to requests of this class only; `unclassified` for those without.
    class: Option<String>,
    /// `process` (where it is missing): the process behind these answers;
    /// `these_interactions`: these answers.
    #[param(inline)]
    target: Option<QualityTarget>,
}

/// Calibrate a scorer's output with reviews
///
/// Scores beside the verdicts on the same answers: agreement with its interval,
/// weighted by one over the probability with which an answer was taken and
/// reviewed, and of the reviewed answers; how far people agree with one another;
/// and what it comes to.
#[utoipa::path(get, path = "/v1/calibration", tag = "reviews", params(CalibrationQuery),
    responses((status = 200, body = CalibrationReport), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub async fn calibration(
    State(api): State<Api>,
    Query(query): Query<CalibrationQuery>,
) -> Result<Json<CalibrationReport>, Problem> {
    let CalibrationQuery { evaluation, scorer, output, run, class, labels_min, agreement_min, bias_max } =
        query;
    let asked = Asked { labels_min, agreement_min, bias_max };
    let question = question(&api, evaluation, scorer, output, run, class).await?;
    Ok(Json(api.app.runner.calibration(question, asked).await?))
}

/// Estimate what people would say of all answers
///
/// Prediction-powered inference: the scorer's mean over all answers, corrected by
/// what it gets wrong where people looked. Where no honest interval can be given
/// the answer says why.
#[utoipa::path(get, path = "/v1/quality", tag = "reviews", params(QualityQuery),
    responses((status = 200, body = QualityReport), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub async fn quality(
    State(api): State<Api>,
    Query(query): Query<QualityQuery>,
) -> Result<Json<QualityReport>, Problem> {
    let QualityQuery { evaluation, scorer, output, run, class, target } = query;
    let question = question(&api, evaluation, scorer, output, run, class).await?;
    Ok(Json(api.app.runner.quality(question, target.unwrap_or(QualityTarget::Process)).await?))
}

async fn question(
    api: &Api,
    evaluation: EvaluationId,
    scorer: Option<String>,
    output: Option<String>,
    run: Option<RunId>,
    request_class: Option<String>,
) -> Result<CalibrationQuestion, Problem> {
    let scorer = api.app.runner.review_scorer(evaluation, scorer.as_deref()).await?;
    let form = api.app.runner.review_form(evaluation, &scorer).await?;
    let output = match (output, &form[..]) {
        (Some(output), _) => output,
        (None, [only]) => only.name.clone(),
        (None, _) => {
            let known: Vec<_> = form.iter().map(|output| format!("`{}`", output.name)).collect();
            let told = format!("name an `output` of `{scorer}`: {}", known.join(", "));
            return Err(Problem::bad_request(told));
        }
    };
    let scores_of = if run.is_some() { ScoresOf::ThatRun } else { ScoresOf::SameScorer };
    Ok(CalibrationQuestion { evaluation, scorer, output, run, scores_of, request_class })
}
