//! Days: the hours of a day that is over, added up, so that a query of weeks
//! reads few rows.
//!
//! A day's blocks are used only as long as nothing has changed the blocks of its
//! hours since they were made. So they never tell anything else, and may be
//! made at leisure.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction};

use super::blocks::{Entries, merged, unreadable};
use super::cells::{CellKey, Counts, Part};
use super::observation::BlockKey;
use super::roll_up::{Block, PARTS};
use crate::domain::clock::Timestamp;
use crate::domain::latency::{CacheState, HOUR_US};
use crate::stats::Sketch;
use crate::store::{Result, Store};

/// Hours of a day.
pub const HOURS: i64 = 24;
/// Templates and versions whose blocks one transaction writes.
const KEYS_AT_ONCE: u32 = 20;

/// A day whose hours have changed since they were added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedDay {
    /// Days since the Unix epoch, UTC.
    pub day: i64,
    /// How often they have.
    pub changes: i64,
}

/// What the cells of a day tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The same as those of hours.
    Everything,
    /// Input lengths alone.
    Lengths,
}

impl Detail {
    const ALL: [Self; 2] = [Self::Everything, Self::Lengths];

    /// The number that a part of a block has.
    pub fn part(self, part: i64) -> i64 {
        match self {
            Self::Everything => part,
            Self::Lengths => PARTS + part,
        }
    }

    fn key(self, key: CellKey) -> CellKey {
        match self {
            Self::Everything => key,
            Self::Lengths => CellKey { model: 0, request_class: 0, cache: CacheState::Unknown, ..key },
        }
    }
}

/// Hours in a row, and where they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// From the blocks of hours: from one until before the other.
    Hours(i64, i64),
    /// From the blocks of days.
    Days(i64, i64),
}

/// Notes that blocks of a day's hours have changed.
pub fn mark_changed(transaction: &Transaction<'_>, day: i64) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO latency_day (day, changes) VALUES (?1, 1) \
             ON CONFLICT (day) DO UPDATE SET changes = changes + 1",
        )?
        .execute([day])?;
    Ok(())
}

/// Cuts hours, from one until before the other, into days that are added up and
/// what lies between them.
pub fn stretches(transaction: &Transaction<'_>, from: i64, to: i64) -> Result<Vec<Stretch>> {
    // The first day that lies in them wholly, and the first one that does not any more.
    let first = from.div_euclid(HOURS) + i64::from(from.rem_euclid(HOURS) > 0);
    let end = to.div_euclid(HOURS);
    let mut statement = transaction.prepare_cached(
        "SELECT day FROM latency_day WHERE day >= ?1 AND day < ?2 AND built = changes ORDER BY day",
    )?;
    let days = statement.query_map((first, end), |row| row.get(0))?;
    let mut stretches = Vec::new();
    let mut hour = from;
    for day in days {
        let day: i64 = day?;
        match stretches.last_mut() {
            Some(Stretch::Days(_, end)) if *end == day => *end += 1,
            _ => {
                if hour < day * HOURS {
                    stretches.push(Stretch::Hours(hour, day * HOURS));
                }
                stretches.push(Stretch::Days(day, day + 1));
            }
        }
        hour = (day + 1) * HOURS;
    }
    if hour < to {
        stretches.push(Stretch::Hours(hour, to));
    }
    Ok(stretches)
}

impl Store {
    /// The days that were over at an instant and are not added up as they are.
    pub async fn latency_days_changed(&self, now: Timestamp) -> Result<Vec<ChangedDay>> {
        let today = now.0.div_euclid(HOURS * HOUR_US);
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT day, changes FROM latency_day WHERE day < ?1 AND built IS NOT changes ORDER BY day DESC",
            )?;
            let days =
                statement.query_map([today], |row| Ok(ChangedDay { day: row.get(0)?, changes: row.get(1)? }))?;
            Ok(days.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Adds up a day's hours. Where they change meanwhile nothing comes of it.
    pub async fn latency_day_build(&self, of: ChangedDay) -> Result<()> {
        let ChangedDay { day, changes } = of;
        self.write(move |transaction| {
            transaction
                .prepare_cached("UPDATE latency_day SET built = NULL WHERE day = ?1")?
                .execute([day])?;
            let mut statement =
                transaction.prepare_cached("DELETE FROM latency_day_block WHERE part = ?1 AND day = ?2")?;
            for part in 0..Detail::ALL.len() as i64 * PARTS {
                statement.execute((part, day))?;
            }
            Ok(())
        })
        .await?;
        let mut after = Some((-1, -1));
        while let Some(from) = after {
            let (blocks, next) = self.read(move |transaction| add_up(transaction, day, from)).await?;
            after = next;
            self.write(move |transaction| {
                if is_as_it_was(transaction, of)? {
                    store_blocks(transaction, day, &blocks)?;
                }
                Ok(())
            })
            .await?;
        }
        self.write(move |transaction| {
            transaction
                .prepare_cached("UPDATE latency_day SET built = ?2 WHERE day = ?1 AND changes = ?2")?
                .execute((day, changes))?;
            Ok(())
        })
        .await
    }
}

fn is_as_it_was(transaction: &Transaction<'_>, of: ChangedDay) -> Result<bool> {
    Ok(transaction
        .prepare_cached("SELECT 1 FROM latency_day WHERE day = ?1 AND changes = ?2")?
        .exists((of.day, of.changes))?)
}

fn store_blocks(transaction: &Transaction<'_>, day: i64, blocks: &[Block]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO latency_day_block (part, day, template, template_version, cells) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Block { part, key, cells } in blocks {
        statement.execute((part, day, key.template, key.template_version, cells))?;
    }
    Ok(())
}

/// The blocks of some templates and versions, and after which of them the next
/// ones come.
#[expect(clippy::type_complexity, reason = "a pair of numbers needs no name of its own")]
fn add_up(
    transaction: &Transaction<'_>,
    day: i64,
    after: (i64, i64),
) -> Result<(Vec<Block>, Option<(i64, i64)>)> {
    let (from, to) = (day * HOURS, (day + 1) * HOURS);
    let keys: Vec<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT DISTINCT template, template_version FROM latency_block \
             WHERE part = 0 AND hour >= ?1 AND hour < ?2 AND (template, template_version) > (?3, ?4) \
             ORDER BY template, template_version LIMIT ?5",
        )?
        .query_map((from, to, after.0, after.1, KEYS_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut blocks = Vec::new();
    for (template, template_version) in &keys {
        let key = BlockKey { hour: from, template: *template, template_version: *template_version };
        add_up_part::<Counts>(transaction, 0, key, &mut blocks)?;
        for part in 1..PARTS {
            add_up_part::<Sketch>(transaction, part, key, &mut blocks)?;
        }
    }
    let next = keys.last().filter(|_| keys.len() == KEYS_AT_ONCE as usize).copied();
    Ok((blocks, next))
}

/// One part of one template and version, in every detail.
fn add_up_part<P: Part + Default>(
    transaction: &Transaction<'_>,
    part: i64,
    of: BlockKey,
    blocks: &mut Vec<Block>,
) -> Result<()> {
    let mut hour = transaction.prepare_cached(
        "SELECT cells FROM latency_block WHERE part = ?1 AND hour = ?2 AND template = ?3 AND template_version = ?4",
    )?;
    let mut cells = Detail::ALL.map(|_| BTreeMap::<CellKey, P>::new());
    for place in of.hour..of.hour + HOURS {
        let found: Option<Vec<u8>> =
            hour.query_row((part, place, of.template, of.template_version), |row| row.get(0)).optional()?;
        let Some(block) = found else { continue };
        let mut entries = Entries::new(&block).map_err(unreadable)?;
        while let Some((key, entry)) = entries.next().map_err(unreadable)? {
            for (detail, cells) in Detail::ALL.into_iter().zip(&mut cells) {
                cells.entry(detail.key(key)).or_default().merge_encoded(entry).map_err(unreadable)?;
            }
        }
    }
    for (detail, cells) in Detail::ALL.into_iter().zip(cells) {
        let made = merged(None, cells.iter().map(|(key, part)| (*key, part))).map_err(unreadable)?;
        blocks.extend(made.map(|cells| Block { part: detail.part(part), key: of, cells }));
    }
    Ok(())
}
