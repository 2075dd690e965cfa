//! Questions about latency and cache, answered from cells or rows.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};

use super::blocks::{Entries, unreadable};
use super::cells::{Counts, Part as _};
use super::days::{self, Detail, Stretch};
use super::groups::{CacheGroup, Distribution, Groups, LatencyGroup};
use super::observation::{BlockKey, Place};
use super::{roll_up, rows};
use crate::domain::clock::Timestamp;
use crate::domain::latency::{CONFIDENCE, CacheState, Dimension, HOUR_US, Metric};
use crate::domain::slice::{Slice, UNCLASSIFIED};
use crate::stats::{Moments, stratified_difference};
use crate::store::{Result, Store, StoreError, names};

/// The most cells that one query reads: some seconds' worth.
const CELLS_MAX: u64 = 20_000_000;
/// Which requests, and how they are told apart.
#[derive(Debug, Clone, Default)]
pub struct Grouping {
    /// Which requests.
    pub slice: Slice,
    /// By what groups differ; each dimension once.
    pub by: Vec<Dimension>,
}

/// Groups, and what they tell of.
#[derive(Debug, Clone)]
pub struct Figures<G> {
    /// The groups, in the order of their keys.
    pub groups: Vec<G>,
    /// From when on they tell: where they come from cells, the slice's start
    /// rounded down to the hour.
    pub from: Option<Timestamp>,
    /// Until when; rounded up.
    pub to: Option<Timestamp>,
    /// Whether each interaction was looked at.
    pub exact: bool,
    /// At most so many interactions that have come in are not in the cells yet.
    pub pending: u64,
    /// Hours in the database that are to be counted again.
    pub stale_hours: u64,
}

impl Store {
    /// The values of a metric, by group.
    pub async fn latency_groups(&self, metric: Metric, of: Grouping) -> Result<Figures<LatencyGroup>> {
        self.read(move |transaction| {
            let mut groups = Groups::new(&of.by);
            let mut found: Vec<(Counts, Distribution)> = Vec::new();
            if rows::needed(&of.slice) {
                rows::each(transaction, &of.slice, |observation| {
                    let (counts, values) = group(&mut found, groups.index(&observation.place)?);
                    observation.count(counts);
                    let exact = values.exact.get_or_insert_default();
                    if let Some(value) = observation.value(metric) {
                        values.sketch.add(value);
                        exact.push(value);
                    }
                    Ok(())
                })?;
                for values in found.iter_mut().filter_map(|(_, values)| values.exact.as_mut()) {
                    values.sort_unstable_by(f64::total_cmp);
                }
            } else {
                let grain = Grain::of(&of);
                each_entry(transaction, 0, grain, &of.slice, |place, entry| {
                    let (counts, _) = group(&mut found, groups.index(&place)?);
                    counts.merge_encoded(entry).map_err(unreadable)
                })?;
                each_entry(transaction, 1 + metric as i64, grain, &of.slice, |place, entry| {
                    let (_, values) = group(&mut found, groups.index(&place)?);
                    values.sketch.merge_encoded(entry).map_err(unreadable)
                })?;
            }
            let keys = groups.keys(transaction)?;
            let mut groups: Vec<_> = keys
                .into_iter()
                .zip(found)
                .map(|(key, (counts, values))| LatencyGroup { key, counts, values })
                .collect();
            groups.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            figures(transaction, &of.slice, groups)
        })
        .await
    }

    /// How the cache served requests, by group.
    pub async fn cache_groups(&self, of: Grouping) -> Result<Figures<CacheGroup>> {
        self.read(move |transaction| {
            let mut groups = Groups::new(&of.by);
            let mut found: Vec<CacheCount> = Vec::new();
            let mut see = |place: &Place, counts: &Counts| {
                group(&mut found, groups.index(place)?).add(place, counts);
                Ok(())
            };
            if rows::needed(&of.slice) {
                rows::each(transaction, &of.slice, |observation| {
                    let mut counts = Counts::default();
                    observation.count(&mut counts);
                    see(&observation.place, &counts)
                })?;
            } else {
                // Hits and misses are compared within an hour.
                each_entry(transaction, 0, Grain::Hours, &of.slice, |place, entry| {
                    let mut counts = Counts::default();
                    counts.merge_encoded(entry).map_err(unreadable)?;
                    see(&place, &counts)
                })?;
            }
            let keys = groups.keys(transaction)?;
            let mut groups: Vec<_> =
                keys.into_iter().zip(found).map(|(key, count)| count.finish(key)).collect();
            groups.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            figures(transaction, &of.slice, groups)
        })
        .await
    }
}

/// The group of an index, made where it is the next one.
fn group<T: Default>(found: &mut Vec<T>, index: usize) -> &mut T {
    if index == found.len() {
        found.push(T::default());
    }
    &mut found[index]
}

/// A group's figures while they are added up.
#[derive(Default)]
struct CacheCount {
    counts: Counts,
    hits: u64,
    misses: u64,
    unknown: u64,
    /// Times to first token of hits and misses by hour, template, model and
    /// bucket of input lengths.
    strata: HashMap<(i64, i64, i64, u8), (Moments, Moments)>,
}

impl CacheCount {
    fn add(&mut self, place: &Place, counts: &Counts) {
        self.counts.merge(counts);
        let Place { block, cell } = place;
        let stratum = (block.hour, block.template, cell.model, cell.length.number());
        match cell.cache {
            CacheState::Unknown => self.unknown += counts.answered(),
            CacheState::Miss => {
                self.misses += counts.answered();
                self.strata.entry(stratum).or_default().1.merge(&counts.first_token);
            }
            CacheState::Hit => {
                self.hits += counts.answered();
                self.strata.entry(stratum).or_default().0.merge(&counts.first_token);
            }
        }
    }

    fn finish(self, key: super::GroupKey) -> CacheGroup {
        let mut strata: Vec<_> =
            self.strata.into_iter().filter(|(_, (hits, misses))| hits.n + misses.n > 0).collect();
        // The order of addition moves the last digits.
        strata.sort_unstable_by_key(|(stratum, _)| *stratum);
        CacheGroup {
            key,
            counts: self.counts,
            hits: self.hits,
            misses: self.misses,
            unknown: self.unknown,
            strata: strata.len() as u64,
            difference: stratified_difference(
                strata.iter().map(|(_, (hits, misses))| (hits, misses)),
                CONFIDENCE,
            ),
        }
    }
}

const HOURS: &str = "SELECT hour, template, template_version, cells FROM latency_block \
     WHERE part = ?1 AND hour >= ?2 AND hour < ?3";
const DAYS: &str = "SELECT day * 24, template, template_version, cells FROM latency_day_block \
     WHERE part = ?1 AND day >= ?2 AND day < ?3";

/// How coarse the blocks may be that a query reads.
#[derive(Debug, Clone, Copy)]
enum Grain {
    /// It tells hours apart.
    Hours,
    /// Those of days will do, where a day is added up.
    Days(Detail),
}

impl Grain {
    fn of(grouping: &Grouping) -> Self {
        let Grouping { slice, by } = grouping;
        let tells = |dimension| by.contains(&dimension);
        if tells(Dimension::Hour) {
            Self::Hours
        } else if slice.model.is_some()
            || slice.request_class.is_some()
            || [Dimension::Model, Dimension::RequestClass, Dimension::Cache].into_iter().any(tells)
        {
            Self::Days(Detail::Everything)
        } else {
            Self::Days(Detail::Lengths)
        }
    }
}

/// Shows every entry of one part of the blocks that a slice has.
fn each_entry(
    transaction: &Transaction<'_>,
    part: i64,
    grain: Grain,
    slice: &Slice,
    mut see: impl FnMut(Place, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut ids = [None; 4];
    let wanted = [&slice.template, &slice.template_version, &slice.model, &slice.request_class];
    for (place, (id, wanted)) in ids.iter_mut().zip(wanted).enumerate() {
        let Some(wanted) = wanted else { continue };
        *id = if place == 3 && wanted == UNCLASSIFIED { Some(0) } else { names::find(transaction, wanted)? };
        if id.is_none() {
            // It was never seen.
            return Ok(());
        }
    }
    let [template, template_version, model, request_class] = ids;
    let (from, to) = hours(slice);
    let stretches = match grain {
        Grain::Hours => vec![Stretch::Hours(from, to)],
        Grain::Days(_) => days::stretches(transaction, from, to)?,
    };
    let mut cells = 0;
    for stretch in stretches {
        // Coarser cells do not tell models and classes apart, and are read only where
        // neither is asked for.
        let (select, part, from, to) = match (stretch, grain) {
            (Stretch::Days(from, to), Grain::Days(detail)) => (DAYS, detail.part(part), from, to),
            (Stretch::Days(from, to) | Stretch::Hours(from, to), _) => (HOURS, part, from, to),
        };
        let mut sql = String::from(select);
        let mut values = vec![Value::Integer(part), Value::Integer(from), Value::Integer(to)];
        for (column, id) in [("template", template), ("template_version", template_version)] {
            if let Some(id) = id {
                values.push(Value::Integer(id));
                sql.push_str(&format!(" AND {column} = ?{}", values.len()));
            }
        }
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut blocks = statement.query(params_from_iter(values))?;
        while let Some(row) = blocks.next()? {
            let block = BlockKey { hour: row.get(0)?, template: row.get(1)?, template_version: row.get(2)? };
            let bytes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let mut entries = Entries::new(bytes).map_err(unreadable)?;
            while let Some((cell, entry)) = entries.next().map_err(unreadable)? {
                cells += 1;
                if model.is_none_or(|id| id == cell.model)
                    && request_class.is_none_or(|id| id == cell.request_class)
                {
                    see(Place { block, cell }, entry)?;
                }
            }
            if cells > CELLS_MAX {
                return Err(StoreError::BadInput(format!(
                    "there are more than {CELLS_MAX} cells to read: narrow `from` and `to`"
                )));
            }
        }
    }
    Ok(())
}

/// The hours that a slice touches: from one, until before the other.
fn hours(slice: &Slice) -> (i64, i64) {
    let from = slice.from.map_or(i64::MIN, |from| from.0.div_euclid(HOUR_US));
    let to = slice.to.map_or(i64::MAX, |to| (to.0 - 1).div_euclid(HOUR_US) + 1);
    (from, to)
}

fn figures<G>(transaction: &Transaction<'_>, slice: &Slice, groups: Vec<G>) -> Result<Figures<G>> {
    if rows::needed(slice) {
        let (from, to) = (slice.from, slice.to);
        return Ok(Figures { groups, from, to, exact: true, pending: 0, stale_hours: 0 });
    }
    let last: Option<i64> =
        transaction.prepare_cached("SELECT max(id) FROM interaction")?.query_row([], |row| row.get(0))?;
    let pending = last.unwrap_or(0) - roll_up::cursor(transaction)?.interaction;
    let stale_hours: i64 = transaction
        .prepare_cached("SELECT count(*) FROM latency_stale_hour")?
        .query_row([], |row| row.get(0))?;
    let (from, to) = hours(slice);
    Ok(Figures {
        groups,
        from: slice.from.map(|_| Timestamp(from * HOUR_US)),
        to: slice.to.map(|_| Timestamp(to * HOUR_US)),
        exact: false,
        pending: pending.max(0) as u64,
        stale_hours: stale_hours as u64,
    })
}
