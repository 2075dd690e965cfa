//! Selecting interactions for reference sets.

use rusqlite::{OptionalExtension as _, params_from_iter, types::Value};

use super::interactions::SliceConditions;
use super::reference_sets::VersionRef;
use super::results::completion_code;
use super::{Result, Store, evaluations, payload, unreadable};
use crate::domain::ids::InteractionId;
use crate::domain::interaction::{Answer, Item};
use crate::domain::selection::Selection;

/// An interaction that fits a selection.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedRow {
    /// The store's own id of it.
    pub row: i64,
    /// Its id.
    pub id: InteractionId,
    /// Class of the request.
    pub request_class: Option<String>,
    /// Probability with which the client's own sampling let it through.
    pub upstream_probability: f64,
}

/// An item of a version, as it was imported.
pub type StoredItem = (String, Item, Vec<(String, u32, Answer)>);

impl Store {
    /// The interactions that fit, in the order of receipt.
    pub async fn selection_rows(&self, selection: Selection) -> Result<Vec<SelectedRow>> {
        self.read(move |transaction| {
            let Some(conditions) = SliceConditions::new(transaction, &selection.slice)? else {
                return Ok(Vec::new());
            };
            let mut sql = format!(
                "SELECT interaction.id, interaction.uid, (SELECT text FROM name WHERE name.id = request_class), \
                        coalesce(upstream_probability, 1.0) FROM interaction WHERE has_content AND {}",
                conditions.sql()
            );
            let mut values = conditions.into_values();
            let mut bind = |value: Value| {
                values.push(value);
                values.len()
            };
            if let Some(outcome) = &selection.outcome {
                let evaluation = bind(Value::Integer(evaluations::row_id(transaction, outcome.evaluation)?));
                let code = completion_code(Some(outcome.completion)).expect("there is a completion");
                let completion = bind(Value::Integer(code));
                // The last run that took it decides.
                sql.push_str(&format!(
                    " AND (SELECT completion FROM run JOIN run_item ON run_item.run = run.id \
                           AND run_item.item = interaction.id AND run_item.trial = 0 \
                           WHERE run.evaluation = ?{evaluation} AND first_row IS NOT NULL \
                           ORDER BY run.id DESC LIMIT 1) = ?{completion}"
                ));
            }
            if let Some(signal) = &selection.signal {
                let output = bind(Value::Text(signal.output.clone()));
                let least = bind(Value::Real(signal.at_least));
                sql.push_str(&format!(
                    " AND EXISTS (SELECT 1 FROM signal WHERE signal.interaction = interaction.id \
                          AND signal.output = ?{output} AND signal.value >= ?{least})"
                ));
            }
            sql.push_str(" ORDER BY interaction.id");
            let mut statement = transaction.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok(SelectedRow {
                    row: row.get(0)?,
                    id: InteractionId::from_bytes(row.get(1)?),
                    request_class: row.get(2)?,
                    upstream_probability: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The content of interactions, in the order asked; those that have gone
    /// meanwhile are left out.
    pub async fn interaction_sides(&self, rows: Vec<i64>) -> Result<Vec<(i64, Item, Answer)>> {
        self.read(move |transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT payload FROM interaction WHERE id = ?1")?;
            let mut sides = Vec::with_capacity(rows.len());
            for row in rows {
                let packed: Option<Vec<u8>> = statement.query_row([row], |row| row.get(0)).optional()?;
                let Some(packed) = packed else { continue };
                let content = payload::decode(&packed)?;
                let item = serde_json::from_str(content.item()).map_err(unreadable("interaction"))?;
                let answer = serde_json::from_str(content.answer()).map_err(unreadable("interaction"))?;
                sides.push((row, item, answer));
            }
            Ok(sides)
        })
        .await
    }

    /// A page of a version's items with all their answers, and what to go on after.
    pub async fn reference_items(
        &self,
        version: VersionRef,
        after: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<StoredItem>, Option<i64>)> {
        self.read(move |transaction| {
            let mut items = transaction.prepare_cached(
                "SELECT id, key, payload FROM item WHERE id > ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id LIMIT ?4",
            )?;
            let mut answers = transaction.prepare_cached(
                "SELECT recording, trial, payload FROM recorded_answer WHERE item = ?1 ORDER BY recording, trial",
            )?;
            let mut page = Vec::new();
            let mut last = None;
            let after = after.unwrap_or(version.first_item - 1);
            let mut rows = items.query((after, version.first_item, version.last_item, limit))?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let item = serde_json::from_str(&row.get::<_, String>(2)?).map_err(unreadable("item"))?;
                let mut recorded = Vec::new();
                let mut found = answers.query([id])?;
                while let Some(answer) = found.next()? {
                    let content =
                        serde_json::from_str(&answer.get::<_, String>(2)?).map_err(unreadable("answer"))?;
                    recorded.push((answer.get(0)?, answer.get(1)?, content));
                }
                page.push((row.get(1)?, item, recorded));
                last = Some(id);
            }
            let more = last.filter(|last| *last < version.last_item);
            Ok((page, more))
        })
        .await
    }
}
