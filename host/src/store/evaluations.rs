//! Evaluations.

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::evaluation::{Definition, Evaluation};
use crate::domain::ids::EvaluationId;

type Columns = ([u8; 16], String, i64, i64, Option<String>, Option<i64>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn read((id, definition, created_at, changed_at, schedule, next_due_at): Columns) -> Result<Evaluation> {
    Ok(Evaluation {
        id: EvaluationId::from_bytes(id),
        definition: serde_json::from_str(&definition).map_err(unreadable("evaluation"))?,
        schedule: schedule
            .map(|schedule| serde_json::from_str(&schedule).map_err(unreadable("schedule")))
            .transpose()?,
        next_due_at: next_due_at.map(Timestamp),
        created_at: Timestamp(created_at),
        changed_at: Timestamp(changed_at),
    })
}

pub(super) fn not_found(id: EvaluationId) -> StoreError {
    StoreError::NotFound { kind: "evaluation", name: id.to_string() }
}

/// The store's own id of an evaluation that is not deleted.
pub(super) fn row_id(transaction: &Transaction<'_>, id: EvaluationId) -> Result<i64> {
    transaction
        .prepare_cached("SELECT id FROM evaluation WHERE uid = ?1 AND deleted_at_us IS NULL")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| not_found(id))
}

fn name_taken(error: rusqlite::Error, name: &str) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            StoreError::Conflict(format!("there is an evaluation `{name}` already"))
        }
        _ => error.into(),
    }
}

impl Store {
    /// Keeps a new evaluation.
    pub async fn evaluation_insert(
        &self,
        id: EvaluationId,
        definition: Definition,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO evaluation \
                     (uid, project, environment, name, definition, created_at_us, changed_at_us) \
                     VALUES (:uid, :project, :environment, :name, :definition, :at, :at)",
                )?
                .execute(named_params! {
                    ":uid": id.as_bytes(),
                    ":project": PROJECT,
                    ":environment": ENVIRONMENT,
                    ":name": definition.name,
                    ":definition": json(&definition),
                    ":at": at.0,
                })
                .map_err(|error| name_taken(error, &definition.name))?;
            Ok(())
        })
        .await
    }

    /// Replaces a definition. Runs that exist keep the one they began with.
    pub async fn evaluation_change(
        &self,
        id: EvaluationId,
        definition: Definition,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            let row = row_id(transaction, id)?;
            transaction
                .prepare_cached(
                    "UPDATE evaluation SET name = :name, definition = :definition, changed_at_us = :at \
                     WHERE id = :row",
                )?
                .execute(named_params! {
                    ":name": definition.name,
                    ":definition": json(&definition),
                    ":at": at.0,
                    ":row": row,
                })
                .map_err(|error| name_taken(error, &definition.name))?;
            Ok(())
        })
        .await
    }

    /// Deletes an evaluation and its schedule; its runs stay.
    pub async fn evaluation_delete(&self, id: EvaluationId, at: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            let row = row_id(transaction, id)?;
            transaction.execute("DELETE FROM schedule WHERE evaluation = ?1", [row])?;
            transaction.execute("UPDATE evaluation SET deleted_at_us = ?2 WHERE id = ?1", [row, at.0])?;
            Ok(())
        })
        .await
    }

    /// One evaluation.
    pub async fn evaluation_get(&self, id: EvaluationId) -> Result<Evaluation> {
        self.read(move |transaction| {
            transaction
                .prepare_cached(
                    "SELECT uid, evaluation.definition, created_at_us, changed_at_us, \
                            schedule.definition, next_due_at_us \
                     FROM evaluation LEFT JOIN schedule ON schedule.evaluation = evaluation.id \
                     WHERE uid = ?1 AND deleted_at_us IS NULL",
                )?
                .query_row([id.as_bytes()], columns)
                .optional()?
                .map_or_else(|| Err(not_found(id)), read)
        })
        .await
    }

    /// The evaluation with a name, where there is one.
    pub async fn evaluation_find(&self, name: String) -> Result<Option<Evaluation>> {
        Ok(self.evaluation_list().await?.into_iter().find(|evaluation| evaluation.definition.name == name))
    }

    /// Every evaluation that is not deleted, oldest first.
    pub async fn evaluation_list(&self) -> Result<Vec<Evaluation>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT uid, evaluation.definition, created_at_us, changed_at_us, \
                        schedule.definition, next_due_at_us \
                 FROM evaluation LEFT JOIN schedule ON schedule.evaluation = evaluation.id \
                 WHERE project = :project AND environment = :environment AND deleted_at_us IS NULL \
                 ORDER BY evaluation.id",
            )?;
            let rows = statement
                .query_map(named_params! { ":project": PROJECT, ":environment": ENVIRONMENT }, columns)?;
            rows.map(|row| read(row?)).collect()
        })
        .await
    }
}
