//! Scores beside what people said of the same answers.
//!
//! Scores count that share plugin, build, configuration, outputs and the models
//! that answered with the run that is asked about: those of another judge say
//! nothing of this one.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::reviews::{self, SubjectKey};
use super::runs::{pinned, run_row};
use super::signals::CLUSTER;
use super::{Result, Store, StoreError, evaluations, plugins, review_queues};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::plugin::Output;
use crate::domain::review::VerdictContent;
use crate::domain::run::RunScorer;

/// Which scores to set beside which verdicts.
#[derive(Debug, Clone)]
pub struct CalibrationQuestion {
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// Its scorer.
    pub scorer: String,
    /// The scorer's output.
    pub output: String,
    /// The run whose scorer is asked about; the last one where it is missing.
    pub run: Option<RunId>,
    /// Whose scores count.
    pub scores_of: ScoresOf,
    /// Answers to requests of this class only.
    pub request_class: Option<String>,
}

/// Whose scores count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoresOf {
    /// Those of the run that is asked about.
    ThatRun,
    /// Those of every run with the same scorer.
    SameScorer,
}

/// Which answers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that people judged.
    Reviewed,
    /// Also all others with a score.
    All,
}

/// Scores and verdicts.
#[derive(Debug, Clone)]
pub struct CalibrationData {
    /// The run whose scorer is asked about.
    pub run: RunId,
    /// Its scorer.
    pub scorer: RunScorer,
    /// The same input always gives the same score.
    pub is_deterministic: bool,
    /// The output.
    pub output: Output,
    /// Answers with a score, and those with verdicts alone.
    pub answers: Vec<JudgedAnswer>,
    /// Answers with verdicts whose scores are of another build or configuration
    /// of the scorer only.
    pub of_other_scorer: u64,
    /// Answers that were given to reviewers, skipped, and judged by nobody.
    pub skipped: u64,
    /// Answers that queues have looked at.
    pub looked_at: u64,
    /// Those of them that no rule could take.
    pub unreachable: u64,
}

/// An answer with its score and what people said.
#[derive(Debug, Clone)]
pub struct JudgedAnswer {
    /// Class of the request; `unclassified` for those without.
    pub request_class: String,
    /// Its user, else its session, else itself.
    pub cluster: String,
    /// When the request began; of a reference set none.
    pub started_at: Option<Timestamp>,
    /// Its score.
    pub score: AnswerScore,
    /// Probability with which it was received and taken into the run.
    pub taken: f64,
    /// What people said.
    pub verdicts: Vec<Verdict>,
}

/// A score as it is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerScore {
    /// A number, or 1 and 0 for yes and no.
    pub value: Option<f64>,
    /// A category.
    pub category: Option<String>,
}

/// What one person said of an answer; withdrawn and known verdicts, and those on
/// answers with a known verdict, are left out.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Who.
    pub reviewer: String,
    /// It decides over others.
    pub is_adjudication: bool,
    /// It was used to tune the rubric.
    pub is_development: bool,
    /// Probability with which the answer was taken for review.
    pub probability: Option<f64>,
    /// What was said.
    pub content: VerdictContent,
    /// When.
    pub reviewed_at: Timestamp,
}

/// A run whose scores count.
struct Scores {
    run: i64,
    run_scorer: i64,
    output: i64,
    /// Of a reference set: its version, and the recording; none where a target
    /// was asked.
    version: Option<i64>,
    recording: Option<String>,
}

impl Store {
    /// Whether there is anything to say of a scorer's calibration: people reviewed
    /// it, or it does not always say the same.
    pub async fn has_calibration(
        &self,
        evaluation: EvaluationId,
        scorer: String,
        plugin: Digest,
    ) -> Result<bool> {
        self.read(move |transaction| {
            let reviewed = transaction
                .prepare_cached(
                    "SELECT 1 FROM review JOIN evaluation ON evaluation.id = review.evaluation \
                     WHERE evaluation.uid = ?1 AND scorer = ?2",
                )?
                .exists((evaluation.as_bytes(), scorer))?;
            Ok(reviewed || !plugins::is_deterministic(transaction, plugin)?)
        })
        .await
    }

    /// Sets scores beside verdicts.
    pub async fn calibration_data(
        &self,
        question: CalibrationQuestion,
        wanted: Wanted,
    ) -> Result<CalibrationData> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, question.evaluation)?;
            let (run, uid) = asked_run(transaction, evaluation, &question)?;
            let scorer = scorer_of(transaction, run, &question.scorer)?;
            let place = scorer.outputs.iter().position(|output| output.name == question.output);
            let place = place.ok_or_else(|| no_output(&question, &scorer))?;
            let runs = match question.scores_of {
                ScoresOf::ThatRun => vec![run],
                ScoresOf::SameScorer => started_runs(transaction, evaluation)?,
            };
            let is_deterministic = plugins::is_deterministic(transaction, scorer.digest)?;
            let mut scores: Vec<Scores> = Vec::new();
            for run in runs {
                scores.extend(same_scores(transaction, run, &scorer, place)?);
            }
            if !is_deterministic {
                keep_same_models(transaction, run, &question.scorer, &mut scores)?;
            }
            let verdicts = verdicts(transaction, evaluation, &question.scorer)?;
            let class = question.request_class.as_deref();
            let (looked_at, unreachable) =
                review_queues::reach(transaction, evaluation, &question.scorer, class)?;
            let mut data = CalibrationData {
                run: uid,
                is_deterministic,
                output: scorer.outputs[place].clone(),
                scorer,
                answers: Vec::new(),
                of_other_scorer: 0,
                skipped: skipped(transaction, evaluation, &question.scorer)?,
                looked_at,
                unreachable,
            };
            match wanted {
                Wanted::Reviewed => add_reviewed(transaction, &scores, verdicts, &mut data)?,
                Wanted::All => add_all(transaction, &scores, verdicts, &mut data)?,
            }
            if let Some(class) = &question.request_class {
                data.answers.retain(|answer| answer.request_class == *class);
            }
            Ok(data)
        })
        .await
    }
}

/// The run that is asked about: the last one that has the scorer where none is
/// named.
fn asked_run(
    transaction: &Transaction<'_>,
    evaluation: i64,
    question: &CalibrationQuestion,
) -> Result<(i64, RunId)> {
    let run = question.run.map(|id| run_row(transaction, id)).transpose()?;
    transaction
        .prepare_cached(
            "SELECT run.id, run.uid FROM run JOIN run_scorer ON run_scorer.run = run.id AND name = :scorer \
             WHERE evaluation = :evaluation AND (:run IS NULL OR run.id = :run) ORDER BY run.id DESC LIMIT 1",
        )?
        .query_row(
            named_params! { ":evaluation": evaluation, ":scorer": question.scorer, ":run": run },
            |row| Ok((row.get(0)?, RunId::from_bytes(row.get(1)?))),
        )
        .optional()?
        .ok_or_else(|| StoreError::NotFound {
            kind: "run of the evaluation with a scorer",
            name: question.scorer.clone(),
        })
}

fn scorer_of(transaction: &Transaction<'_>, run: i64, name: &str) -> Result<RunScorer> {
    let scorers = pinned(transaction, run)?;
    let found = scorers.into_iter().find(|pinned| pinned.scorer.name == name);
    Ok(found.expect("the run was found by its scorer").scorer)
}

fn no_output(question: &CalibrationQuestion, scorer: &RunScorer) -> StoreError {
    let known: Vec<_> = scorer.outputs.iter().map(|output| format!("`{}`", output.name)).collect();
    StoreError::BadInput(format!(
        "the scorer `{}` gives no output `{}`; it gives {}",
        question.scorer,
        question.output,
        known.join(", ")
    ))
}

/// Runs that were started, the newest first.
fn started_runs(transaction: &Transaction<'_>, evaluation: i64) -> Result<Vec<i64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id FROM run WHERE evaluation = ?1 AND (version IS NOT NULL OR first_row IS NOT NULL) ORDER BY id DESC",
    )?;
    let rows = statement.query_map([evaluation], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A run's scores, where its scorer is the same.
fn same_scores(
    transaction: &Transaction<'_>,
    run: i64,
    scorer: &RunScorer,
    place: usize,
) -> Result<Option<Scores>> {
    let found = pinned(transaction, run)?.into_iter().find(|pinned| {
        let other = &pinned.scorer;
        (&other.name, other.digest, &other.config) == (&scorer.name, scorer.digest, &scorer.config)
            && other.outputs == scorer.outputs
    });
    let Some(found) = found else { return Ok(None) };
    let (version, recording) = transaction
        .prepare_cached(
            "SELECT version, iif(definition ->> '$.source.target' IS NULL, \
                    coalesce(definition ->> '$.source.recording', 'default'), NULL) FROM run WHERE id = ?1",
        )?
        .query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(Scores { run, run_scorer: found.row, output: place as i64, version, recording }))
}

/// Leaves runs out whose scorer was answered by other models than that of the run
/// that is asked about. A run that has asked no model yet is not told apart.
fn keep_same_models(
    transaction: &Transaction<'_>,
    run: i64,
    scorer: &str,
    scores: &mut Vec<Scores>,
) -> Result<()> {
    let asked: Option<i64> = transaction
        .prepare_cached("SELECT id FROM run_scorer WHERE run = ?1 AND name = ?2")?
        .query_row((run, scorer), |row| row.get(0))
        .optional()?;
    let Some(asked) = asked else { return Ok(()) };
    let wanted = models_of(transaction, asked)?;
    let mut kept = Vec::with_capacity(scores.len());
    for run in scores.drain(..) {
        let models = models_of(transaction, run.run_scorer)?;
        if models.is_empty() || wanted.is_empty() || models == wanted {
            kept.push(run);
        }
    }
    *scores = kept;
    Ok(())
}

/// The models that answered a scorer of a run, as their responses named them.
fn models_of(transaction: &Transaction<'_>, run_scorer: i64) -> Result<BTreeSet<String>> {
    let mut statement = transaction.prepare_cached(
        "SELECT DISTINCT model FROM transcript_use JOIN transcript ON transcript.id = transcript_use.transcript \
         WHERE run_scorer = ?1 AND model IS NOT NULL",
    )?;
    let rows = statement.query_map([run_scorer], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What was said of each answer, in order.
fn verdicts(
    transaction: &Transaction<'_>,
    evaluation: i64,
    scorer: &str,
) -> Result<HashMap<SubjectKey, Vec<Verdict>>> {
    let mut statement = transaction.prepare_cached(
        "SELECT review.subject, reviewer, kind = 'adjudication', development, \
                coalesce(review_item.probability, review.probability), content, reviewed_at_us \
         FROM review LEFT JOIN review_item ON review_item.id = review.item \
         WHERE evaluation = ?1 AND scorer = ?2 AND withdrawn_at_us IS NULL AND kind <> 'gold' \
           AND coalesce(gold, 0) = 0 ORDER BY review.id",
    )?;
    let mut rows = statement.query((evaluation, scorer))?;
    let mut keys = HashMap::<i64, SubjectKey>::new();
    let mut found = HashMap::<SubjectKey, Vec<Verdict>>::new();
    while let Some(row) = rows.next()? {
        let subject: i64 = row.get(0)?;
        let key = match keys.get(&subject) {
            Some(key) => key.clone(),
            None => {
                let key = reviews::key_of(transaction, subject)?;
                keys.insert(subject, key.clone());
                key
            }
        };
        found.entry(key).or_default().push(Verdict {
            reviewer: row.get(1)?,
            is_adjudication: row.get(2)?,
            is_development: row.get(3)?,
            probability: row.get(4)?,
            content: reviews::read_content(&row.get::<_, String>(5)?)?,
            reviewed_at: Timestamp(row.get(6)?),
        });
    }
    Ok(found)
}

/// What was let in, given to someone, and judged by nobody.
fn skipped(transaction: &Transaction<'_>, evaluation: i64, scorer: &str) -> Result<u64> {
    let count: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM review_item JOIN review_queue ON review_queue.id = review_item.queue \
             WHERE evaluation = ?1 AND scorer = ?2 AND probability IS NOT NULL \
               AND EXISTS (SELECT 1 FROM review_assignment WHERE item = review_item.id AND state = 'skipped') \
               AND NOT EXISTS (SELECT 1 FROM review WHERE review.item = review_item.id AND withdrawn_at_us IS NULL)",
        )?
        .query_row((evaluation, scorer), |row| row.get(0))?;
    Ok(count as u64)
}

/// For each answer with verdicts its newest score.
fn add_reviewed(
    transaction: &Transaction<'_>,
    scores: &[Scores],
    verdicts: HashMap<SubjectKey, Vec<Verdict>>,
    data: &mut CalibrationData,
) -> Result<()> {
    let mut verdicts: Vec<_> = verdicts.into_iter().collect();
    // In the order of the answers, so that figures repeat.
    verdicts.sort_by_cached_key(|(key, _)| place_of(key));
    for (key, said) in verdicts {
        let mut found = None;
        for run in scores {
            found = run.of(transaction, &key)?;
            if found.is_some() {
                break;
            }
        }
        match found {
            Some(answer) => data.answers.push(JudgedAnswer { verdicts: said, ..answer }),
            None => data.of_other_scorer += 1,
        }
    }
    Ok(())
}

fn place_of(key: &SubjectKey) -> (i64, u32, i64, String) {
    match key {
        SubjectKey::Interaction(row) => (*row, 0, 0, String::new()),
        SubjectKey::Item { item, trial, recording, run } => (*item, *trial, *run, recording.clone()),
    }
}

/// Every answer with a score, each once with its newest. Of reference sets the
/// newest run alone: another is about the same answers, or about other ones of
/// another target.
fn add_all(
    transaction: &Transaction<'_>,
    scores: &[Scores],
    mut verdicts: HashMap<SubjectKey, Vec<Verdict>>,
    data: &mut CalibrationData,
) -> Result<()> {
    let mut seen = HashSet::new();
    for (index, run) in scores.iter().enumerate() {
        if index > 0 && (run.version.is_some() || scores[0].version.is_some()) {
            break;
        }
        run.each(transaction, |item, trial, answer| {
            if scores.len() > 1 && !seen.insert((item, trial)) {
                return;
            }
            let said = verdicts.remove(&run.key(item, trial)).unwrap_or_default();
            data.answers.push(JudgedAnswer { verdicts: said, ..answer });
        })?;
    }
    data.of_other_scorer = verdicts.len() as u64;
    Ok(())
}

impl Scores {
    fn key(&self, item: i64, trial: u32) -> SubjectKey {
        match (self.version, &self.recording) {
            (None, _) => SubjectKey::Interaction(item),
            (Some(_), Some(recording)) => {
                SubjectKey::Item { item, trial, recording: recording.clone(), run: 0 }
            }
            (Some(_), None) => SubjectKey::Item { item, trial, recording: String::new(), run: self.run },
        }
    }

    /// The statement for its kind of answers, after the conditions on `score`.
    fn sql(&self, conditions: &str) -> String {
        match self.version {
            None => format!(
                "SELECT score.item, score.trial, score.value, score.category, \
                        (SELECT text FROM name WHERE name.id = request_class), {CLUSTER}, started_at_us, \
                        coalesce(run_sample.probability, 1.0) * coalesce(upstream_probability, 1.0) \
                 FROM score CROSS JOIN interaction ON interaction.id = score.item AND interaction.uid IS NOT NULL \
                 LEFT JOIN run_sample ON run_sample.run = :run AND run_sample.interaction = score.item \
                 WHERE {conditions}"
            ),
            Some(_) => format!(
                "SELECT score.item, score.trial, score.value, score.category, request_class, 't' || score.item, \
                        NULL, 1.0 FROM score CROSS JOIN item ON item.id = score.item \
                 WHERE {conditions} AND :run IS NOT NULL"
            ),
        }
    }

    /// One answer with its score.
    fn of(&self, transaction: &Transaction<'_>, key: &SubjectKey) -> Result<Option<JudgedAnswer>> {
        let (item, trial) = match key {
            SubjectKey::Interaction(row) => (*row, 0),
            SubjectKey::Item { item, trial, .. } => (*item, *trial),
        };
        if self.key(item, trial) != *key {
            return Ok(None);
        }
        let sql = self
            .sql("run_scorer = :scorer AND score.item = :item AND score.trial = :trial AND output = :output");
        Ok(transaction
            .prepare_cached(&sql)?
            .query_row(
                named_params! {
                    ":run": self.run,
                    ":scorer": self.run_scorer,
                    ":item": item,
                    ":trial": trial,
                    ":output": self.output,
                },
                answer,
            )
            .optional()?
            .map(|(_, _, answer)| answer))
    }

    /// Every answer with its score, in order.
    fn each(
        &self,
        transaction: &Transaction<'_>,
        mut with: impl FnMut(i64, u32, JudgedAnswer),
    ) -> Result<()> {
        let sql = self.sql("run_scorer = :scorer AND output = :output");
        let mut statement = transaction.prepare_cached(&format!("{sql} ORDER BY score.item, score.trial"))?;
        let mut rows = statement
            .query(named_params! { ":run": self.run, ":scorer": self.run_scorer, ":output": self.output })?;
        while let Some(row) = rows.next()? {
            let (item, trial, answer) = answer(row)?;
            with(item, trial, answer);
        }
        Ok(())
    }
}

fn answer(row: &Row<'_>) -> rusqlite::Result<(i64, u32, JudgedAnswer)> {
    let request_class: Option<String> = row.get(4)?;
    let answer = JudgedAnswer {
        request_class: request_class.unwrap_or_else(|| crate::domain::slice::UNCLASSIFIED.to_owned()),
        cluster: row.get(5)?,
        started_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        score: AnswerScore { value: row.get(2)?, category: row.get(3)? },
        taken: row.get(7)?,
        verdicts: Vec::new(),
    };
    Ok((row.get(0)?, row.get(1)?, answer))
}
