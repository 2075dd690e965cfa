//! Counting interactions into cells as they arrive, and stale hours again.
//!
//! What takes time happens on a reading thread: interactions are aggregated and
//! the blocks that they change are made anew. The writing thread, which arriving
//! interactions wait for, only stores them, if nothing else has changed the
//! blocks meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{OptionalExtension as _, Transaction};

use super::blocks::{merged, unreadable};
use super::cells::{Cell, CellKey, Part};
use super::days;
use super::observation::{BlockKey, Observation};
use crate::domain::clock::Timestamp;
use crate::domain::latency::{HOUR_US, Metric};
use crate::stats::Damaged;
use crate::store::{Result, Store, StoreError};

/// Parts of a block: the counts and a sketch for each metric.
pub const PARTS: i64 = 1 + Metric::ALL.len() as i64;
/// The most hours, templates and versions that one transaction changes: it
/// writes a row for each part of each.
const BLOCKS_MAX: usize = 200;
/// Interactions that one read of a recount takes.
const PAGE: u32 = 20_000;

/// Cells by block.
type Cells = HashMap<BlockKey, BTreeMap<CellKey, Cell>>;

/// Up to where the blocks tell, and as of which change of theirs.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    /// The last interaction that they tell of, as the store numbers it.
    pub interaction: i64,
    revision: i64,
}

/// An hour that has to be counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleHour {
    /// Hours since the Unix epoch, UTC.
    hour: i64,
    /// As of how many interactions that no longer count.
    marks: i64,
}

impl StaleHour {
    /// When the hour began.
    pub fn starts_at(&self) -> Timestamp {
        Timestamp(self.hour * HOUR_US)
    }
}

/// Blocks that are ready to be stored.
struct Prepared {
    cursor: Cursor,
    /// Up to where they tell.
    interaction: i64,
    /// How many interactions were passed.
    passed: u64,
    blocks: Vec<Block>,
}

/// A block that is ready to be stored.
pub struct Block {
    pub part: i64,
    pub key: BlockKey,
    pub cells: Vec<u8>,
}

impl Store {
    /// Counts up to `limit` interactions that were not counted yet; answers how
    /// many were passed, 0 when there are none left.
    pub async fn latency_roll_up(&self, limit: u32) -> Result<u64> {
        let prepared = self.read(move |transaction| prepare(transaction, limit)).await?;
        if prepared.passed == 0 {
            return Ok(0);
        }
        let passed = prepared.passed;
        let stored = self
            .write(move |transaction| {
                let stored = advance(transaction, prepared.cursor, prepared.interaction)?;
                if stored {
                    store_blocks(transaction, &prepared.blocks)?;
                }
                Ok(stored)
            })
            .await?;
        Ok(if stored { passed } else { 0 })
    }

    /// The hours that hold interactions that no longer count.
    pub async fn latency_stale_hours(&self) -> Result<Vec<StaleHour>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT hour, marks FROM latency_stale_hour")?;
            let hours =
                statement.query_map([], |row| Ok(StaleHour { hour: row.get(0)?, marks: row.get(1)? }))?;
            Ok(hours.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Counts a stale hour again, from its rows. Where blocks change meanwhile
    /// nothing is done, and the hour stays stale.
    pub async fn latency_recount(&self, stale: StaleHour) -> Result<()> {
        let StaleHour { hour, marks } = stale;
        let cursor = self.read(cursor).await?;
        let mut cells = Cells::new();
        let mut after = Some((i64::MIN, i64::MIN));
        while let Some(from) = after {
            (cells, after) = self
                .read(move |transaction| {
                    let next = count_page(transaction, hour, cursor, from, &mut cells)?;
                    Ok((cells, next))
                })
                .await?;
        }
        let blocks = self.read(move |_| encode(&cells, |_, _| Ok(None))).await?;
        self.write(move |transaction| {
            if !advance(transaction, cursor, cursor.interaction)? {
                return Ok(());
            }
            let mut statement =
                transaction.prepare_cached("DELETE FROM latency_block WHERE part = ?1 AND hour = ?2")?;
            for part in 0..PARTS {
                statement.execute((part, hour))?;
            }
            days::mark_changed(transaction, hour.div_euclid(days::HOURS))?;
            store_blocks(transaction, &blocks)?;
            // What became stale meanwhile stays so.
            transaction
                .prepare_cached("DELETE FROM latency_stale_hour WHERE hour = ?1 AND marks = ?2")?
                .execute((hour, marks))?;
            Ok(())
        })
        .await
    }
}

/// Notes that an interaction, by its row, does not count any more, or not as it
/// did. Whether it had been counted does not matter: a count that is under way
/// may have seen it.
pub fn mark_stale(transaction: &Transaction<'_>, interaction: i64) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO latency_stale_hour (hour, marks) \
             SELECT started_at_us / ?2, 1 FROM interaction WHERE id = ?1 \
             ON CONFLICT (hour) DO UPDATE SET marks = marks + 1",
        )?
        .execute((interaction, HOUR_US))?;
    Ok(())
}

/// Up to where the blocks tell.
pub fn cursor(transaction: &Transaction<'_>) -> Result<Cursor> {
    Ok(transaction
        .prepare_cached("SELECT interaction, revision FROM latency_cursor WHERE id = 1")?
        .query_row([], |row| Ok(Cursor { interaction: row.get(0)?, revision: row.get(1)? }))?)
}

/// Moves the cursor unless someone else has; answers whether it did.
fn advance(transaction: &Transaction<'_>, seen: Cursor, to: i64) -> Result<bool> {
    let moved = transaction
        .prepare_cached(
            "UPDATE latency_cursor SET interaction = ?2, revision = revision + 1 WHERE id = 1 AND revision = ?1",
        )?
        .execute((seen.revision, to))?;
    Ok(moved == 1)
}

fn store_blocks(transaction: &Transaction<'_>, blocks: &[Block]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO latency_block (part, hour, template, template_version, cells) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (part, hour, template, template_version) DO UPDATE SET cells = excluded.cells",
    )?;
    for Block { part, key, cells } in blocks {
        statement.execute((part, key.hour, key.template, key.template_version, cells))?;
    }
    let changed: BTreeSet<i64> = blocks.iter().map(|block| block.key.hour.div_euclid(days::HOURS)).collect();
    changed.into_iter().try_for_each(|day| days::mark_changed(transaction, day))
}

/// Aggregates the interactions after the cursor and adds them to the blocks
/// that are there.
fn prepare(transaction: &Transaction<'_>, limit: u32) -> Result<Prepared> {
    let cursor = cursor(transaction)?;
    let mut prepared = Prepared { cursor, interaction: cursor.interaction, passed: 0, blocks: Vec::new() };
    let mut cells = Cells::new();
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, uid IS NOT NULL, {} FROM interaction WHERE id > ?1 ORDER BY id LIMIT ?2",
        Observation::COLUMNS
    ))?;
    let mut rows = statement.query((cursor.interaction, limit))?;
    while let Some(row) = rows.next()? {
        let counts: bool = row.get(1)?;
        if counts {
            let observation = Observation::read(row, 2)?;
            let block = observation.place.block;
            if cells.len() == BLOCKS_MAX && !cells.contains_key(&block) {
                break;
            }
            observation.add_to(cells.entry(block).or_default().entry(observation.place.cell).or_default());
        }
        prepared.interaction = row.get(0)?;
        prepared.passed += 1;
    }
    let mut there = transaction.prepare_cached(
        "SELECT cells FROM latency_block \
         WHERE part = ?1 AND hour = ?2 AND template = ?3 AND template_version = ?4",
    )?;
    prepared.blocks = encode(&cells, |part, key| {
        Ok(there
            .query_row((part, key.hour, key.template, key.template_version), |row| row.get(0))
            .optional()?)
    })?;
    Ok(prepared)
}

/// Counts a page of an hour's interactions; answers where the next one begins.
fn count_page(
    transaction: &Transaction<'_>,
    hour: i64,
    cursor: Cursor,
    after: (i64, i64),
    cells: &mut Cells,
) -> Result<Option<(i64, i64)>> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, {} FROM interaction \
         WHERE started_at_us >= ?1 AND started_at_us < ?2 AND (started_at_us, id) > (?3, ?4) \
           AND id <= ?5 AND uid IS NOT NULL \
         ORDER BY started_at_us, id LIMIT {PAGE}",
        Observation::COLUMNS
    ))?;
    let (from_us, to_us) = (hour * HOUR_US, (hour + 1) * HOUR_US);
    let mut rows = statement.query((from_us, to_us, after.0, after.1, cursor.interaction))?;
    let (mut last, mut found) = (None, 0);
    while let Some(row) = rows.next()? {
        let observation = Observation::read(row, 1)?;
        let place = observation.place;
        observation.add_to(cells.entry(place.block).or_default().entry(place.cell).or_default());
        last = Some((row.get(1)?, row.get(0)?));
        found += 1;
    }
    Ok(last.filter(|_| found == PAGE))
}

/// Makes blocks of cells, added to what is there.
fn encode(
    cells: &Cells,
    mut there: impl FnMut(i64, BlockKey) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut push = |part, key, cells: std::result::Result<Option<Vec<u8>>, Damaged>| {
        blocks.extend(cells.map_err(unreadable)?.map(|cells| Block { part, key, cells }));
        Ok::<_, StoreError>(())
    };
    for (key, cells) in cells {
        let counts = cells.iter().map(|(cell, of)| (*cell, &of.counts));
        push(0, *key, add(there(0, *key)?, counts))?;
        for (index, part) in (1..PARTS).enumerate() {
            let sketches = cells.iter().map(|(cell, of)| (*cell, &of.sketches[index]));
            push(part, *key, add(there(part, *key)?, sketches))?;
        }
    }
    Ok(blocks)
}

fn add<'a, P: Part + 'a>(
    there: Option<Vec<u8>>,
    fresh: impl Iterator<Item = (CellKey, &'a P)>,
) -> std::result::Result<Option<Vec<u8>>, Damaged> {
    merged(there.as_deref(), fresh)
}
