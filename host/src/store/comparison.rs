//! What one run says of each answer, to be laid beside another run.

use rusqlite::named_params;

use super::results::completion_of;
use super::runs::run_row;
use super::{Result, Store};
use crate::domain::completion::Completion;
use crate::domain::ids::{InteractionId, RunId};

/// One answer of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedAnswer {
    /// The client's name of the item, or the interaction's id.
    pub key: String,
    /// Which of several answers.
    pub trial: u32,
    /// Class of the request.
    pub request_class: Option<String>,
    /// What is independent of others: the item, or of production the user, else
    /// the session.
    pub cluster: String,
    /// One over the probability with which it was taken.
    pub weight: f64,
    /// Whether the task was completed.
    pub completion: Option<Completion>,
    /// The output's value; none where it has none, or no output is asked for.
    pub value: Option<f64>,
}

const OF_PRODUCTION: &str = "\
    SELECT interaction.uid, run_item.trial, class.text, \
           CASE WHEN interaction.user IS NOT NULL THEN 'u' || interaction.user \
                WHEN session IS NOT NULL THEN 's' || session ELSE 'i' || interaction.id END, \
           1.0 / (coalesce(run_sample.probability, 1.0) * coalesce(upstream_probability, 1.0)), \
           completion, score.value \
    FROM run_item JOIN interaction ON interaction.id = run_item.item \
    LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
    LEFT JOIN name AS class ON class.id = request_class \
    LEFT JOIN score ON score.run_scorer = :scorer AND score.item = run_item.item \
                   AND score.trial = run_item.trial AND score.output = :output \
    WHERE run_item.run = :run AND interaction.uid IS NOT NULL";

const OF_REFERENCE_SET: &str = "\
    SELECT item.key, run_item.trial, request_class, item.key, 1.0, completion, score.value \
    FROM run_item JOIN item ON item.id = run_item.item \
    LEFT JOIN score ON score.run_scorer = :scorer AND score.item = run_item.item \
                   AND score.trial = run_item.trial AND score.output = :output \
    WHERE run_item.run = :run";

impl Store {
    /// Every answer of a run that has its outcome, with one output's value.
    pub async fn compared_answers(
        &self,
        run: RunId,
        output: Option<(usize, usize)>,
    ) -> Result<Vec<ComparedAnswer>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let of_production = transaction
                .prepare_cached("SELECT first_row IS NOT NULL FROM run WHERE id = ?1")?
                .query_row([run], |row| row.get::<_, bool>(0))?;
            let scorer: Option<i64> = match output {
                Some((position, _)) => Some(
                    transaction
                        .prepare_cached("SELECT id FROM run_scorer WHERE run = ?1 AND position = ?2")?
                        .query_row((run, position as i64), |row| row.get(0))?,
                ),
                None => None,
            };
            let mut statement =
                transaction.prepare_cached(if of_production { OF_PRODUCTION } else { OF_REFERENCE_SET })?;
            let rows = statement.query_map(
                named_params! {
                    ":run": run,
                    ":scorer": scorer,
                    ":output": output.map(|(_, output)| output as i64),
                },
                |row| {
                    let key = if of_production {
                        InteractionId::from_bytes(row.get(0)?).to_string()
                    } else {
                        row.get(0)?
                    };
                    Ok(ComparedAnswer {
                        key,
                        trial: row.get(1)?,
                        request_class: row.get(2)?,
                        cluster: row.get(3)?,
                        weight: row.get(4)?,
                        completion: completion_of(row.get(5)?),
                        value: row.get(6)?,
                    })
                },
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
