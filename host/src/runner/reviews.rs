//! Review queues: looking at what runs have scored, drawing, and checking what
//! people say against the form.

use std::collections::HashMap;

use super::{Runner, RunnerError};
use crate::domain::digest::Digest;
use crate::domain::evaluation::{DefinitionProblem, OutputRef, find_output};
use crate::domain::ids::{AssignmentId, EvaluationId, InteractionId, ReviewId, RunId};
use crate::domain::plugin::{Capability, Output, OutputKind, Value};
use crate::domain::review::{
    QueueDefinition, Review, ReviewKind, ReviewSubject, Seen, VerdictContent, check_name,
};
use crate::domain::run::RunScorer;
use crate::store::{
    Assigned, Candidate, CandidatePage, Closing, DrawnAnswer, NewReview, QueueFilled, ScoreRow, StoreError,
};

/// Answers that are looked at in one go.
const LOOKED_AT: u32 = 1_000;

/// A line of reviews that were made elsewhere.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewLine {
    id: Option<String>,
    interaction: Option<String>,
    reference_set: Option<String>,
    version: Option<u32>,
    key: Option<String>,
    #[serde(default)]
    trial: u32,
    recording: Option<String>,
    run: Option<RunId>,
    reviewer: String,
    #[serde(default)]
    values: std::collections::BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    failure_modes: Vec<String>,
    notes: Option<String>,
    probability: Option<f64>,
    #[serde(default)]
    development: bool,
    #[serde(default)]
    gold: bool,
    reviewed_at: Option<crate::domain::clock::Timestamp>,
}

/// Whose form reviews fill in.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewTarget {
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// Its scorer; may be missing where it has one.
    pub scorer: Option<String>,
    /// The queue that known verdicts go into.
    pub queue: Option<String>,
}

/// What became of reviews that were made elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewsImported {
    /// New ones.
    pub accepted: u64,
    /// Those that were there before.
    pub duplicates: u64,
    /// Those that cannot be used: place in the input, and why.
    pub rejected: Vec<(usize, String)>,
}

fn problem(path: &str, message: impl Into<String>) -> RunnerError {
    RunnerError::Definition(vec![DefinitionProblem { path: path.into(), message: message.into() }])
}

impl Runner {
    /// Completes a queue's definition, or says what is wrong with it: plugins are
    /// asked for the outputs that rules name.
    pub async fn check_queue(&self, mut definition: QueueDefinition) -> Result<QueueDefinition, RunnerError> {
        let mut problems = definition.problems();
        let evaluation = self.shared.store.evaluation_get(definition.evaluation).await?.definition;
        let scorers: Vec<_> = evaluation.scorers.iter().map(|scorer| scorer.name().to_owned()).collect();
        match choose_scorer(definition.scorer.as_deref(), &scorers) {
            Ok(scorer) => definition.scorer = Some(scorer),
            Err(message) => problems.push(DefinitionProblem { path: "/scorer".into(), message }),
        }
        if definition.rules.iter().any(|rule| !rule.outputs().is_empty()) {
            let (ready, _) = self.prepare(&evaluation).await?;
            let declared: Vec<_> =
                ready.iter().map(|ready| (&*ready.pinned.name, &ready.pinned.outputs[..])).collect();
            for (index, rule) in definition.rules.iter().enumerate() {
                for (member, output) in rule.outputs() {
                    if let Err(message) = find_output(output, &declared) {
                        problems
                            .push(DefinitionProblem { path: format!("/rules/{index}/{member}"), message });
                    }
                }
            }
        }
        if problems.is_empty() { Ok(definition) } else { Err(RunnerError::Definition(problems)) }
    }

    /// The outputs that people judge.
    pub async fn review_form(
        &self,
        evaluation: EvaluationId,
        scorer: &str,
    ) -> Result<Vec<Output>, RunnerError> {
        if let Some(form) = self.shared.store.review_form(evaluation, scorer.to_owned()).await? {
            return Ok(form);
        }
        let definition = self.shared.store.evaluation_get(evaluation).await?.definition;
        let (ready, _) = self.prepare(&definition).await?;
        let found = ready.into_iter().find(|ready| ready.pinned.name == scorer);
        found
            .map(|ready| ready.pinned.outputs)
            .ok_or_else(|| problem("/scorer", format!("the evaluation has no scorer `{scorer}`")))
    }

    /// The scorer that is meant: the one that is named, else the only one.
    pub async fn review_scorer(
        &self,
        evaluation: EvaluationId,
        scorer: Option<&str>,
    ) -> Result<String, RunnerError> {
        let definition = self.shared.store.evaluation_get(evaluation).await?.definition;
        let scorers: Vec<_> = definition.scorers.iter().map(|scorer| scorer.name().to_owned()).collect();
        choose_scorer(scorer, &scorers).map_err(|message| problem("/scorer", message))
    }

    /// Looks at what is due in every queue, and lets in what their quotas allow.
    pub async fn fill_review_queues(&self) -> Result<(), RunnerError> {
        for queue in self.shared.store.review_queue_list().await? {
            let now = self.shared.clock.now();
            let name = queue.definition.name.clone();
            self.look(&name).await?;
            let is_due = match queue.next_release_at {
                Some(at) => at <= now,
                // What was taken before a restart may wait, too.
                None => {
                    queue.definition.quota.is_none() && self.shared.store.review_is_waiting(queue.id).await?
                }
            };
            if is_due {
                self.shared.store.review_release(name, now).await?;
            }
        }
        Ok(())
    }

    /// Looks at what is due in one queue and lets in what its quota allows, also
    /// before its time.
    pub async fn fill_review_queue(&self, name: &str) -> Result<QueueFilled, RunnerError> {
        let mut filled = self.look(name).await?;
        filled.add(self.shared.store.review_release(name.to_owned(), self.shared.clock.now()).await?);
        Ok(filled)
    }

    async fn look(&self, name: &str) -> Result<QueueFilled, RunnerError> {
        let store = &self.shared.store;
        let mut filled = QueueFilled::default();
        loop {
            let now = self.shared.clock.now();
            let Some(page) = store.review_candidates(name.to_owned(), LOOKED_AT, now).await? else {
                return Ok(filled);
            };
            let drawn = draw(&page);
            filled.add(store.review_draws_commit(&page, drawn, now).await?);
        }
    }

    /// Gives a reviewer an answer, with the form.
    pub async fn next_review(
        &self,
        queue: &str,
        reviewer: &str,
    ) -> Result<Option<(Assigned, Vec<Output>)>, RunnerError> {
        check_name(reviewer).map_err(|message| problem("/reviewer", message))?;
        let store = &self.shared.store;
        let definition = store.review_queue_get(queue.to_owned()).await?.definition;
        let form =
            self.review_form(definition.evaluation, definition.scorer.as_deref().unwrap_or("")).await?;
        let now = self.shared.clock.now();
        let given =
            store.review_next(queue.to_owned(), reviewer.to_owned(), AssignmentId::new(), now).await?;
        Ok(given.map(|given| (given, form)))
    }

    /// Keeps a verdict.
    pub async fn review(
        &self,
        assignment: AssignmentId,
        content: VerdictContent,
        development: bool,
    ) -> Result<Review, RunnerError> {
        let store = &self.shared.store;
        let definition = store.review_assignment_queue(assignment).await?.definition;
        let form =
            self.review_form(definition.evaluation, definition.scorer.as_deref().unwrap_or("")).await?;
        content.check(&form).map_err(|message| problem("/values", message))?;
        let closing = Closing::Verdict { id: ReviewId::new(), content, development };
        let review = store.review_close(assignment, closing, self.shared.clock.now()).await?;
        Ok(review.expect("a verdict makes a review"))
    }

    /// Decides over verdicts that disagree.
    pub async fn adjudicate(
        &self,
        over: ReviewId,
        reviewer: String,
        content: VerdictContent,
    ) -> Result<Review, RunnerError> {
        check_name(&reviewer).map_err(|message| problem("/reviewer", message))?;
        let store = &self.shared.store;
        let verdict = store.review_get(over).await?;
        let form = self.review_form(verdict.evaluation, &verdict.scorer).await?;
        content.check(&form).map_err(|message| problem("/values", message))?;
        Ok(store.review_adjudicate(over, ReviewId::new(), reviewer, content, self.shared.clock.now()).await?)
    }

    /// Keeps reviews that were made elsewhere. Those that cannot be used are told
    /// by their place, and the others stay.
    pub async fn import_reviews(
        &self,
        target: &ReviewTarget,
        lines: Vec<Result<ReviewLine, String>>,
    ) -> Result<ReviewsImported, RunnerError> {
        let scorer = self.review_scorer(target.evaluation, target.scorer.as_deref()).await?;
        let form = self.review_form(target.evaluation, &scorer).await?;
        let mut imported = ReviewsImported::default();
        let (mut places, mut reviews) = (Vec::new(), Vec::new());
        let mut newest = HashMap::new();
        for (place, line) in lines.into_iter().enumerate() {
            let made = match line {
                Ok(line) => self.review_of(target, &scorer, &form, line, &mut newest).await?,
                Err(reason) => Err(reason),
            };
            match made {
                Ok(review) => {
                    places.push(place);
                    reviews.push(review);
                }
                Err(reason) => imported.rejected.push((place, reason)),
            }
        }
        let now = self.shared.clock.now();
        let outcomes = self
            .shared
            .store
            .review_import(target.evaluation, scorer, target.queue.clone(), reviews, now)
            .await?;
        for (place, outcome) in places.into_iter().zip(outcomes) {
            match outcome {
                Ok(true) => imported.accepted += 1,
                Ok(false) => imported.duplicates += 1,
                Err(reason) => imported.rejected.push((place, reason)),
            }
        }
        imported.rejected.sort();
        Ok(imported)
    }

    async fn review_of(
        &self,
        target: &ReviewTarget,
        scorer: &str,
        form: &[Output],
        line: ReviewLine,
        newest: &mut HashMap<String, u32>,
    ) -> Result<Result<NewReview, String>, RunnerError> {
        let subject = match (&line.interaction, &line.reference_set, &line.key) {
            (Some(name), None, None) => {
                ReviewSubject::Interaction { interaction: InteractionId::of_name(name) }
            }
            (None, Some(set), Some(key)) => {
                let version = match line.version.or_else(|| newest.get(set).copied()) {
                    Some(version) => version,
                    None => match self.shared.store.reference_set_version(set.clone(), None).await {
                        Ok(version) => version.number,
                        Err(error @ StoreError::NotFound { .. }) => return Ok(Err(error.to_string())),
                        Err(error) => return Err(error.into()),
                    },
                };
                if line.version.is_none() {
                    newest.insert(set.clone(), version);
                }
                ReviewSubject::Item {
                    reference_set: set.clone(),
                    version,
                    key: key.clone(),
                    trial: line.trial,
                    recording: line.recording.clone(),
                    run: line.run,
                }
            }
            _ => return Ok(Err("either `interaction`, or `reference_set` and `key`".into())),
        };
        Ok(new_review(target, scorer, form, subject, line, self.shared.clock.now()))
    }
}

fn new_review(
    target: &ReviewTarget,
    scorer: &str,
    form: &[Output],
    subject: ReviewSubject,
    line: ReviewLine,
    now: crate::domain::clock::Timestamp,
) -> Result<NewReview, String> {
    check_name(&line.reviewer).map_err(|message| format!("`reviewer`: {message}"))?;
    if let Some(probability) = line.probability
        && !(probability > 0.0 && probability <= 1.0)
    {
        return Err(format!("`probability` is {probability}; it is over 0 and at most 1"));
    }
    let content =
        VerdictContent { values: line.values, failure_modes: line.failure_modes, notes: line.notes };
    content.check(form)?;
    // The same line is the same review, whenever it is sent again.
    let name = match &line.id {
        Some(id) => serde_json::json!([target.evaluation, scorer, "id", id]),
        None => serde_json::json!([
            target.evaluation,
            scorer,
            subject,
            line.reviewer,
            content,
            line.gold,
            line.reviewed_at
        ]),
    };
    Ok(NewReview {
        id: ReviewId::derived(&Digest::of(name.to_string().as_bytes())),
        subject,
        reviewer: line.reviewer,
        kind: if line.gold { ReviewKind::Gold } else { ReviewKind::Verdict },
        development: line.development,
        probability: line.probability,
        content,
        reviewed_at: line.reviewed_at.unwrap_or(now),
    })
}

fn choose_scorer(named: Option<&str>, scorers: &[String]) -> Result<String, String> {
    match (named, scorers) {
        (Some(named), _) if scorers.iter().any(|scorer| scorer == named) => Ok(named.to_owned()),
        (None, [only]) => Ok(only.clone()),
        _ => {
            let known: Vec<_> = scorers.iter().map(|scorer| format!("`{scorer}`")).collect();
            Err(format!("name one of the evaluation's scorers: {}", known.join(", ")))
        }
    }
}

/// Evaluates the queue's rules for every answer of a page.
fn draw(page: &CandidatePage) -> Vec<DrawnAnswer> {
    let definition = &page.queue.definition;
    let declared: Vec<_> = page.scorers.iter().map(|scorer| (&*scorer.name, &scorer.outputs[..])).collect();
    let known: HashMap<&str, OutputRef> = definition
        .rules
        .iter()
        .flat_map(|rule| rule.outputs())
        .filter_map(|(_, name)| Some((name, find_output(name, &declared).ok()?)))
        .collect();
    let answer = |candidate: &Candidate| {
        let value = |name: &str| {
            let place = known.get(name)?;
            let (_, score) = candidate
                .item
                .scores
                .iter()
                .find(|(scorer, score)| (*scorer, score.output) == (place.scorer, place.output))?;
            value_of(score, &page.scorers[place.scorer].outputs[place.output].kind)
        };
        let signal =
            |name: &str| candidate.signals.iter().find(|(output, _)| output == name).map(|(_, value)| *value);
        let seen = Seen {
            value: &value,
            signal: &signal,
            completion: candidate.item.completion,
            has_failure_mode: has_failure_mode(candidate, &page.scorers),
        };
        let drawing = definition.draw(page.queue.id, &candidate.subject.bytes(), &seen);
        DrawnAnswer {
            subject: candidate.subject.clone(),
            request_class: candidate.item.request_class.clone(),
            stratum: drawing.stratum,
            probability: drawing.probability,
            taken: drawing.taken,
        }
    };
    page.candidates.iter().map(answer).collect()
}

fn value_of(score: &ScoreRow, kind: &OutputKind) -> Option<Value> {
    Some(match kind {
        OutputKind::Number { .. } => Value::Number(score.value?),
        OutputKind::Boolean => Value::Boolean(score.value? >= 0.5),
        OutputKind::Category(_) => Value::Category(score.category.clone()?),
    })
}

fn has_failure_mode(candidate: &Candidate, scorers: &[RunScorer]) -> bool {
    candidate.item.scores.iter().any(|(scorer, score)| {
        let output = &scorers[*scorer].outputs[score.output];
        output.capability == Capability::Label
            && (score.category.is_some() || score.value.is_some_and(|value| value >= 0.5))
    })
}
