//! How a run's answers failed: what classifiers named, answer by answer.

use rusqlite::{Transaction, named_params};

use super::results::completion_of;
use super::runs::run_row;
use super::{Result, Store};
use crate::domain::completion::Completion;
use crate::domain::ids::{InteractionId, RunId};

/// One answer of a run, with what classifiers named.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifiedAnswer {
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
    /// (scorer, output, confidence) of each failure mode.
    pub modes: Vec<(usize, usize, f64)>,
}

const OF_PRODUCTION: &str = "\
    SELECT run_item.item, run_item.trial, completion, interaction.uid, class.text, template.text, \
           started_at_us / 86400000000, \
           CASE WHEN interaction.user IS NOT NULL THEN 'u' || interaction.user \
                WHEN session IS NOT NULL THEN 's' || session ELSE 'i' || interaction.id END, \
           1.0 / (coalesce(run_sample.probability, 1.0) * coalesce(upstream_probability, 1.0)) \
    FROM run_item JOIN interaction ON interaction.id = run_item.item \
    LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
    LEFT JOIN name AS class ON class.id = request_class \
    LEFT JOIN name AS template ON template.id = interaction.template \
    WHERE run_item.run = :run AND interaction.uid IS NOT NULL ORDER BY run_item.item, run_item.trial";

const OF_REFERENCE_SET: &str = "\
    SELECT run_item.item, run_item.trial, completion, item.key, request_class, payload ->> '$.template', \
           NULL, 'k' || run_item.item, 1.0 \
    FROM run_item JOIN item ON item.id = run_item.item \
    WHERE run_item.run = :run ORDER BY run_item.item, run_item.trial";

impl Store {
    /// Every answer of a run that has its outcome, with its failure modes.
    /// `classifiers` are the positions of the run's classifiers. Interactions
    /// that a revision replaced are left out.
    pub async fn classified_answers(
        &self,
        run: RunId,
        classifiers: Vec<usize>,
    ) -> Result<Vec<ClassifiedAnswer>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let of_production = transaction
                .prepare_cached("SELECT first_row IS NOT NULL FROM run WHERE id = ?1")?
                .query_row([run], |row| row.get::<_, bool>(0))?;
            let mut labels = labels(transaction, run, &classifiers)?.into_iter().peekable();
            let mut statement =
                transaction.prepare_cached(if of_production { OF_PRODUCTION } else { OF_REFERENCE_SET })?;
            let mut rows = statement.query(named_params! { ":run": run })?;
            let mut answers = Vec::new();
            while let Some(row) = rows.next()? {
                let place: (i64, u32) = (row.get(0)?, row.get(1)?);
                let mut modes = Vec::new();
                while let Some((labelled, mode)) = labels.next_if(|(labelled, _)| *labelled <= place) {
                    if labelled == place {
                        modes.push(mode);
                    }
                }
                answers.push(ClassifiedAnswer {
                    key: if of_production {
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
                    modes,
                });
            }
            Ok(answers)
        })
        .await
    }
}

type Label = ((i64, u32), (usize, usize, f64));

/// The labels of a run, in the order of its answers.
fn labels(transaction: &Transaction<'_>, run: i64, classifiers: &[usize]) -> Result<Vec<Label>> {
    let mut labels = Vec::new();
    let mut statement = transaction.prepare_cached(
        "SELECT item, trial, output, value FROM run_scorer JOIN score ON score.run_scorer = run_scorer.id \
         WHERE run = ?1 AND position = ?2",
    )?;
    for classifier in classifiers {
        let rows = statement.query_map((run, *classifier as i64), |row| {
            let place = (row.get(0)?, row.get(1)?);
            Ok((place, (*classifier, row.get::<_, i64>(2)? as usize, row.get(3)?)))
        })?;
        for row in rows {
            labels.push(row?);
        }
    }
    labels.sort_by_key(|(place, (scorer, output, _))| (*place, *scorer, *output));
    Ok(labels)
}
