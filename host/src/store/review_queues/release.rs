//! Letting in what was drawn, up to the week's quota of each class.

use std::collections::BTreeMap;

use rusqlite::Transaction;

use super::super::{Result, Store};
use super::{find, next_release};
use crate::domain::clock::Timestamp;
use crate::domain::ids::ReviewQueueId;
use crate::domain::review::{ReviewQueue, lot_for, more_twice};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// What came of a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueFilled {
    /// Answers that were looked at.
    pub looked_at: u64,
    /// Those that the rules took.
    pub taken: u64,
    /// Those that may be reviewed now, also some that were taken before.
    pub released: u64,
    /// Those that the quota left out.
    pub left_out: u64,
}

impl QueueFilled {
    /// Adds what came of another look.
    pub fn add(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.taken += other.taken;
        self.released += other.released;
        self.left_out += other.left_out;
    }
}

impl Store {
    /// Whether anything waits to be let in.
    pub async fn review_is_waiting(&self, queue: ReviewQueueId) -> Result<bool> {
        self.read(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "SELECT 1 FROM review_item WHERE released_at_us IS NULL \
                     AND queue = (SELECT id FROM review_queue WHERE uid = ?1)",
                )?
                .exists([queue.as_bytes()])?)
        })
        .await
    }

    /// Lets in what waits, up to what is left of the week's quota of each class.
    pub async fn review_release(&self, queue: String, at: Timestamp) -> Result<QueueFilled> {
        self.write(move |transaction| {
            let (row, queue) = find(transaction, &queue)?;
            let filled = release(transaction, row, &queue, at)?;
            if let Some(next) = next_release(&queue.definition, at) {
                transaction
                    .prepare_cached("UPDATE review_queue SET next_release_at_us = ?2 WHERE id = ?1")?
                    .execute((row, next))?;
            }
            Ok(filled)
        })
        .await
    }
}

/// Monday, 00:00 UTC, of an instant's week.
pub(super) fn week_of(at: Timestamp) -> i64 {
    // The first of January 1970 was a Thursday.
    let days = at.0.div_euclid(DAY_US) + 3;
    (days.div_euclid(7) * 7 - 3) * DAY_US
}

pub(super) fn release(
    transaction: &Transaction<'_>,
    row: i64,
    queue: &ReviewQueue,
    at: Timestamp,
) -> Result<QueueFilled> {
    let mut waiting = BTreeMap::<String, Vec<(f64, i64, String)>>::new();
    let mut statement = transaction.prepare_cached(
        "SELECT request_class, id, rules FROM review_item WHERE queue = ?1 AND released_at_us IS NULL",
    )?;
    let mut found = statement.query([row])?;
    while let Some(item) = found.next()? {
        let id: i64 = item.get(1)?;
        let lot = lot_for(queue.id, "release", &id.to_le_bytes());
        waiting.entry(item.get(0)?).or_default().push((lot, id, item.get(2)?));
    }
    let (mut total, mut twice): (u64, u64) = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(sum(reviews_wanted > 1), 0) FROM review_item \
             WHERE queue = ?1 AND released_at_us IS NOT NULL AND probability IS NOT NULL",
        )?
        .query_row([row], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
    let mut filled = QueueFilled::default();
    let mut let_in = Vec::new();
    for (class, mut items) in waiting {
        let before = items.len();
        if let Some(quota) = &queue.definition.quota {
            let used = released_since(transaction, row, &class, week_of(at))?;
            let left = quota.of_class(&class).saturating_sub(used);
            if left == 0 {
                // They wait for the next week, with those that come until then.
                continue;
            }
            // A simple random sample: the lowest lots.
            items.sort_by(|one, other| one.0.total_cmp(&other.0));
            for (_, id, rules) in items.drain(items.len().min(left as usize)..) {
                leave_out(transaction, row, id, &class, &rules)?;
                filled.left_out += 1;
            }
        }
        let share = items.len() as f64 / before as f64;
        for (_, id, _) in items {
            transaction
                .prepare_cached(
                    "UPDATE review_item SET released_at_us = ?2, probability = probability * ?3 WHERE id = ?1",
                )?
                .execute((id, at.0, share))?;
            let_in.push((lot_for(queue.id, "twice", &id.to_le_bytes()), id));
        }
    }
    filled.released = let_in.len() as u64;
    total += filled.released;
    let_in.sort_by(|one, other| one.0.total_cmp(&other.0));
    let more = more_twice(queue.definition.twice_share, total, twice).min(filled.released);
    twice += more;
    for (_, id) in let_in.into_iter().take(more as usize) {
        transaction
            .prepare_cached("UPDATE review_item SET reviews_wanted = 2 WHERE id = ?1")?
            .execute([id])?;
    }
    debug_assert!(twice <= total, "no more are reviewed twice than there are");
    Ok(filled)
}

fn released_since(transaction: &Transaction<'_>, queue: i64, class: &str, since: i64) -> Result<u64> {
    let count: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM review_item WHERE queue = ?1 AND request_class = ?2 \
             AND released_at_us >= ?3 AND probability IS NOT NULL",
        )?
        .query_row((queue, class, since), |row| row.get(0))?;
    Ok(count as u64)
}

/// Takes an answer out that the quota has no room for.
fn leave_out(transaction: &Transaction<'_>, queue: i64, item: i64, class: &str, rules: &str) -> Result<()> {
    let (subject, probability): (i64, f64) = transaction
        .prepare_cached("DELETE FROM review_item WHERE id = ?1 RETURNING subject, probability")?
        .query_row([item], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction
        .prepare_cached(
            "DELETE FROM review_subject WHERE id = ?1 \
             AND NOT EXISTS (SELECT 1 FROM review_item WHERE subject = ?1) \
             AND NOT EXISTS (SELECT 1 FROM review WHERE subject = ?1)",
        )?
        .execute([subject])?;
    transaction
        .prepare_cached(
            "UPDATE review_stratum SET left_out = left_out + 1 \
             WHERE queue = ?1 AND request_class = ?2 AND rules = ?3 AND probability = ?4",
        )?
        .execute((queue, class, rules, probability))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = Timestamp(1_795_392_000_000_000);
        assert_eq!(monday.to_string(), "2026-11-23T00:00:00Z");
        for us in [0, 1, 7 * DAY_US - 1] {
            assert_eq!(week_of(Timestamp(monday.0 + us)), monday.0);
        }
        assert_eq!(week_of(Timestamp(monday.0 - 1)), monday.0 - 7 * DAY_US);
    }
}
