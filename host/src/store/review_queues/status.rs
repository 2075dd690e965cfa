//! Where a queue stands: classes, strata and reviewers.

use rusqlite::{Transaction, named_params};

use super::super::{Result, Store, reviews};
use super::find;
use super::release::week_of;
use crate::domain::clock::Timestamp;
use crate::domain::review::ReviewQueue;

/// What a queue has looked at in one class, by the rules that apply.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueStratum {
    /// Class of the request; `unclassified` for those without.
    pub request_class: String,
    /// The rules that apply.
    pub rules: String,
    /// Probability that one of them takes an answer. Nothing is claimed of a
    /// stratum where it is 0.
    pub probability: f64,
    /// Answers that were looked at.
    pub candidates: u64,
    /// Those that were taken.
    pub drawn: u64,
    /// Those of them that the quota left out.
    pub left_out: u64,
}

/// What a queue holds of one class.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueClass {
    /// Class of the request; `unclassified` for those without.
    pub request_class: String,
    /// How many are let in each week; none without a quota.
    pub quota: Option<u64>,
    /// How many were let in this week.
    pub released_this_week: u64,
    /// Drawn, and not let in yet.
    pub waiting: u64,
    /// Let in.
    pub released: u64,
    /// Those with a verdict.
    pub reviewed: u64,
    /// Those that two people are to review.
    pub twice_wanted: u64,
    /// Those that two people did.
    pub twice_reviewed: u64,
    /// Those that were skipped and have no verdict: non-response.
    pub skipped: u64,
}

/// What one reviewer did in a queue.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueReviewer {
    /// Who.
    pub reviewer: String,
    /// Verdicts.
    pub reviewed: u64,
    /// Answers that were skipped.
    pub skipped: u64,
    /// Answers that the reviewer has now.
    pub open: u64,
    /// Values about answers with a known verdict.
    pub gold_values: u64,
    /// Those that are as they are known to be.
    pub gold_agreeing: u64,
}

/// Where a queue stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueStatus {
    /// The queue.
    pub queue: ReviewQueue,
    /// By class.
    pub classes: Vec<QueueClass>,
    /// By class and rules.
    pub strata: Vec<QueueStratum>,
    /// By reviewer.
    pub reviewers: Vec<QueueReviewer>,
    /// Share of what was let in that two people are to review; none where nothing was.
    pub twice_share: Option<f64>,
    /// Answers that were added by hand: no estimate uses them.
    pub picked: u64,
    /// Answers with a known verdict.
    pub gold: u64,
}

impl Store {
    /// Where a queue stands.
    pub async fn review_queue_status(&self, name: String, now: Timestamp) -> Result<QueueStatus> {
        self.read(move |transaction| {
            let (row, queue) = find(transaction, &name)?;
            let classes = classes_of(transaction, row, &queue, now)?;
            let (twice, released): (u64, u64) = classes.iter().fold((0, 0), |(twice, released), class| {
                (twice + class.twice_wanted, released + class.released)
            });
            let count = |sql: &'static str| -> Result<u64> {
                let count: i64 = transaction.prepare_cached(sql)?.query_row([row], |row| row.get(0))?;
                Ok(count as u64)
            };
            Ok(QueueStatus {
                strata: strata_of(transaction, row)?,
                reviewers: reviewers_of(transaction, row)?,
                twice_share: (released > 0).then(|| twice as f64 / released as f64),
                picked: count(
                    "SELECT count(*) FROM review_item WHERE queue = ?1 AND probability IS NULL AND gold = 0",
                )?,
                gold: count("SELECT count(*) FROM review_item WHERE queue = ?1 AND gold = 1")?,
                queue,
                classes,
            })
        })
        .await
    }
}

fn classes_of(
    transaction: &Transaction<'_>,
    row: i64,
    queue: &ReviewQueue,
    now: Timestamp,
) -> Result<Vec<QueueClass>> {
    let mut statement = transaction.prepare_cached(
        "WITH counted AS ( \
             SELECT request_class, released_at_us, reviews_wanted, \
                    (SELECT count(DISTINCT reviewer) FROM review WHERE review.item = review_item.id \
                         AND withdrawn_at_us IS NULL AND kind = 'verdict') AS verdicts, \
                    EXISTS (SELECT 1 FROM review_assignment WHERE review_assignment.item = review_item.id \
                            AND state = 'skipped') AS is_skipped \
             FROM review_item WHERE queue = :queue AND probability IS NOT NULL) \
         SELECT request_class, sum(coalesce(released_at_us, 0) >= :week), sum(released_at_us IS NULL), \
                sum(released_at_us IS NOT NULL), sum(verdicts > 0), sum(reviews_wanted > 1), sum(verdicts > 1), \
                sum(verdicts = 0 AND is_skipped) \
         FROM counted GROUP BY request_class ORDER BY request_class",
    )?;
    let rows = statement.query_map(named_params! { ":queue": row, ":week": week_of(now) }, |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        let request_class: String = row.get(0)?;
        Ok(QueueClass {
            quota: queue.definition.quota.as_ref().map(|quota| quota.of_class(&request_class)),
            request_class,
            released_this_week: count(1)?,
            waiting: count(2)?,
            released: count(3)?,
            reviewed: count(4)?,
            twice_wanted: count(5)?,
            twice_reviewed: count(6)?,
            skipped: count(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn strata_of(transaction: &Transaction<'_>, row: i64) -> Result<Vec<QueueStratum>> {
    let mut statement = transaction.prepare_cached(
        "SELECT request_class, rules, probability, candidates, drawn, left_out FROM review_stratum \
         WHERE queue = ?1 ORDER BY request_class, rules, probability",
    )?;
    let rows = statement.query_map([row], |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        Ok(QueueStratum {
            request_class: row.get(0)?,
            rules: row.get(1)?,
            probability: row.get(2)?,
            candidates: count(3)?,
            drawn: count(4)?,
            left_out: count(5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn reviewers_of(transaction: &Transaction<'_>, row: i64) -> Result<Vec<QueueReviewer>> {
    let mut statement = transaction.prepare_cached(
        "SELECT reviewer, sum(state = 'done'), sum(state = 'skipped'), sum(state = 'open') FROM review_assignment \
         JOIN review_item ON review_item.id = review_assignment.item WHERE queue = ?1 GROUP BY reviewer ORDER BY reviewer",
    )?;
    let rows = statement.query_map([row], |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        Ok(QueueReviewer {
            reviewer: row.get(0)?,
            reviewed: count(1)?,
            skipped: count(2)?,
            open: count(3)?,
            gold_values: 0,
            gold_agreeing: 0,
        })
    })?;
    let mut reviewers = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for reviewer in &mut reviewers {
        (reviewer.gold_values, reviewer.gold_agreeing) =
            reviews::against_gold(transaction, row, &reviewer.reviewer)?;
    }
    Ok(reviewers)
}
