//! Schedules, and what is due.

use rusqlite::named_params;

use super::evaluations::row_id;
use super::{Result, Store, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::evaluation::Schedule;
use crate::domain::ids::EvaluationId;

impl Store {
    /// Sets or removes an evaluation's schedule.
    pub async fn schedule_set(
        &self,
        evaluation: EvaluationId,
        schedule: Option<Schedule>,
        next_due_at: Option<Timestamp>,
    ) -> Result<()> {
        self.write(move |transaction| {
            let row = row_id(transaction, evaluation)?;
            match schedule {
                Some(schedule) => transaction
                    .prepare_cached(
                        "INSERT INTO schedule (evaluation, definition, next_due_at_us) \
                         VALUES (:row, :definition, :next) \
                         ON CONFLICT DO UPDATE SET definition = :definition, next_due_at_us = :next",
                    )?
                    .execute(named_params! {
                        ":row": row,
                        ":definition": json(&schedule),
                        ":next": next_due_at.map(|at| at.0),
                    })?,
                None => transaction.execute("DELETE FROM schedule WHERE evaluation = ?1", [row])?,
            };
            Ok(())
        })
        .await
    }

    /// The schedules whose next run is due at an instant: evaluation,
    /// schedule, and when it was due.
    pub async fn schedule_due(&self, at: Timestamp) -> Result<Vec<(EvaluationId, Schedule, Timestamp)>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT uid, schedule.definition, next_due_at_us FROM schedule \
                 JOIN evaluation ON evaluation.id = schedule.evaluation \
                 WHERE next_due_at_us <= ?1 ORDER BY next_due_at_us",
            )?;
            let rows = statement.query_map([at.0], |row| {
                Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
            rows.map(|row| {
                let (id, schedule, due_at) = row?;
                let schedule = serde_json::from_str(&schedule).map_err(unreadable("schedule"))?;
                Ok((EvaluationId::from_bytes(id), schedule, Timestamp(due_at)))
            })
            .collect()
        })
        .await
    }

    /// When the next schedule is due.
    pub async fn schedule_next_due(&self) -> Result<Option<Timestamp>> {
        self.read(|transaction| {
            let next: Option<i64> =
                transaction.query_row("SELECT min(next_due_at_us) FROM schedule", [], |row| row.get(0))?;
            Ok(next.map(Timestamp))
        })
        .await
    }
}
