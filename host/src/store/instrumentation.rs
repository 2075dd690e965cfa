//! How much of itself the product's instrumentation tells.

use super::interactions::SliceConditions;
use super::{Result, Store};
use crate::domain::slice::Slice;

/// Interactions of a slice, and how many of them lack something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Instrumentation {
    /// Interactions of the slice.
    pub interactions: u64,
    /// Those without query and answer: nothing can be scored.
    pub without_content: u64,
    /// Those without the number of input or output tokens.
    pub without_tokens: u64,
    /// Those without a total time.
    pub without_total_time: u64,
    /// Streamed ones without the time to the first token.
    pub streamed_without_first_token: u64,
    /// Those without the number of cached tokens, where the number of input tokens is known.
    pub without_cached_tokens: u64,
    /// Those without a template's name.
    pub without_template: u64,
    /// Those without a request class.
    pub without_request_class: u64,
    /// Those without a session or conversation.
    pub without_session: u64,
    /// Those without a user.
    pub without_user: u64,
    /// Those in sessions without any event.
    pub without_events: u64,
}

impl Store {
    /// What a slice's instrumentation lacks.
    pub async fn instrumentation(&self, slice: Slice) -> Result<Instrumentation> {
        self.read(move |transaction| {
            let Some(conditions) = SliceConditions::new(transaction, &slice)? else {
                return Ok(Instrumentation::default());
            };
            let sql = format!(
                "SELECT count(*), total(NOT has_content), total(input_tokens IS NULL OR output_tokens IS NULL), \
                        total(total_us IS NULL), total(coalesce(streamed, 0) AND first_token_us IS NULL), \
                        total(input_tokens IS NOT NULL AND cached_tokens IS NULL), total(template IS NULL), \
                        total(request_class IS NULL), total(session.key IS NULL), \
                        total(interaction.user IS NULL), \
                        total(NOT EXISTS (SELECT 1 FROM event WHERE event.session = interaction.session)) \
                 FROM interaction LEFT JOIN session ON session.id = interaction.session WHERE {}",
                conditions.sql()
            );
            Ok(transaction.prepare_cached(&sql)?.query_row(conditions.values(), |row| {
                let count = |place| row.get::<_, f64>(place).map(|count| count as u64);
                Ok(Instrumentation {
                    interactions: row.get::<_, i64>(0)? as u64,
                    without_content: count(1)?,
                    without_tokens: count(2)?,
                    without_total_time: count(3)?,
                    streamed_without_first_token: count(4)?,
                    without_cached_tokens: count(5)?,
                    without_template: count(6)?,
                    without_request_class: count(7)?,
                    without_session: count(8)?,
                    without_user: count(9)?,
                    without_events: count(10)?,
                })
            })?)
        })
        .await
    }
}
