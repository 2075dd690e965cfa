//! Every answer of a run that has its outcome, with what figures are grouped,
//! clustered and weighted by.

use rusqlite::{Transaction, named_params};

use super::results::completion_of;
use super::runs::run_row;
use super::signals::CLUSTER;
use super::{Result, Store};
use crate::domain::completion::Completion;
use crate::domain::ids::{InteractionId, RunId};

/// One answer of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunAnswer {
    /// The client's name of the item, or the interaction's id.
    pub key: String,
    /// Which of several answers.
    pub trial: u32,
    /// Whether the task was completed.
    pub completion: Option<Completion>,
    /// Class of the request.
    pub request_class: Option<String>,
    /// Prompt template.
    pub template: Option<String>,
    /// The day, counted from the Unix epoch, UTC; none of an answer to a
    /// reference set.
    pub day: Option<i64>,
    /// What is independent of others: the item, or of production the user, else
    /// the session.
    pub cluster: String,
    /// One over the probability with which it was taken.
    pub weight: f64,
}

/// A number that one of a run's plugins gave an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerValue {
    /// The plugin's position among the run's.
    pub scorer: usize,
    /// Which of its outputs.
    pub output: usize,
    /// The number.
    pub value: f64,
}

fn of_production() -> String {
    format!(
        "SELECT run_item.item, run_item.trial, completion, interaction.uid, class.text, template.text, \
                started_at_us / 86400000000, {CLUSTER}, \
                1.0 / (coalesce(run_sample.probability, 1.0) * coalesce(upstream_probability, 1.0)) \
         FROM run_item JOIN interaction ON interaction.id = run_item.item \
         LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
         LEFT JOIN name AS class ON class.id = request_class \
         LEFT JOIN name AS template ON template.id = interaction.template \
         WHERE run_item.run = :run AND interaction.uid IS NOT NULL ORDER BY run_item.item, run_item.trial"
    )
}

const OF_REFERENCE_SET: &str = "\
    SELECT run_item.item, run_item.trial, completion, item.key, request_class, payload ->> '$.template', \
           NULL, item.key, 1.0 \
    FROM run_item JOIN item ON item.id = run_item.item \
    WHERE run_item.run = :run ORDER BY run_item.item, run_item.trial";

impl Store {
    /// Every answer of a run that has its outcome, with the numbers that the plugins
    /// at these positions gave it. Interactions that a revision replaced are left
    /// out.
    pub async fn run_answers(
        &self,
        run: RunId,
        scorers: Vec<usize>,
    ) -> Result<Vec<(RunAnswer, Vec<AnswerValue>)>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let is_of_production = transaction
                .prepare_cached("SELECT first_row IS NOT NULL FROM run WHERE id = ?1")?
                .query_row([run], |row| row.get::<_, bool>(0))?;
            let mut values = values(transaction, run, &scorers)?.into_iter().peekable();
            let sql = if is_of_production { of_production() } else { OF_REFERENCE_SET.to_owned() };
            let mut statement = transaction.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! { ":run": run })?;
            let mut answers = Vec::new();
            while let Some(row) = rows.next()? {
                let place: Place = (row.get(0)?, row.get(1)?);
                let mut of_answer = Vec::new();
                while let Some((valued, value)) = values.next_if(|(valued, _)| *valued <= place) {
                    if valued == place {
                        of_answer.push(value);
                    }
                }
                let answer = RunAnswer {
                    key: if is_of_production {
                        InteractionId::from_bytes(row.get(3)?).to_string()
                    } else {
                        row.get(3)?
                    },
                    trial: place.1,
                    completion: completion_of(row.get(2)?),
                    request_class: row.get(4)?,
                    template: row.get(5)?,
                    day: row.get(6)?,
                    cluster: row.get(7)?,
                    weight: row.get(8)?,
                };
                answers.push((answer, of_answer));
            }
            Ok(answers)
        })
        .await
    }
}

/// The store's own id of an item, and which of several answers.
type Place = (i64, u32);

/// What plugins gave, in the order of the answers.
fn values(transaction: &Transaction<'_>, run: i64, scorers: &[usize]) -> Result<Vec<(Place, AnswerValue)>> {
    let mut values = Vec::new();
    let mut statement = transaction.prepare_cached(
        "SELECT item, trial, output, value FROM run_scorer JOIN score ON score.run_scorer = run_scorer.id \
         WHERE run = ?1 AND position = ?2 AND value IS NOT NULL",
    )?;
    for scorer in scorers {
        let rows = statement.query_map((run, *scorer as i64), |row| {
            let output = row.get::<_, i64>(2)? as usize;
            Ok(((row.get(0)?, row.get(1)?), AnswerValue { scorer: *scorer, output, value: row.get(3)? }))
        })?;
        for row in rows {
            values.push(row?);
        }
    }
    values.sort_by_key(|(place, value)| (*place, value.scorer, value.output));
    Ok(values)
}
