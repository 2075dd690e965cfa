//! What a query of latencies answers: groups of requests and what is known of
//! each.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::Transaction;

use super::cells::{CellKey, Counts};
use super::observation::{BlockKey, Place};
use crate::domain::clock::Timestamp;
use crate::domain::latency::{CacheState, Dimension, HOUR_US, LengthBucket};
use crate::domain::slice::UNCLASSIFIED;
use crate::stats::{Sketch, StratifiedDifference};
use crate::store::{Result, StoreError};

/// More groups than a page shows or a client reads.
pub const GROUPS_MAX: usize = 10_000;

/// What the requests of a group have in common, in the order of the grouping.
pub type GroupKey = Vec<KeyPart>;

/// One thing that the requests of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// A name; none where the requests have none.
    Name(Option<String>),
    /// The bucket of input tokens.
    InputLength(LengthBucket),
    /// Whether tokens were cached.
    Cache(CacheState),
    /// When the hour or day begins.
    From(Timestamp),
}

/// Requests that are alike, and the values of one metric.
#[derive(Debug, Clone)]
pub struct LatencyGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// How many there are.
    pub counts: Counts,
    /// The values of those that have one.
    pub values: Distribution,
}

/// Requests that are alike, and how the cache served them.
#[derive(Debug, Clone)]
pub struct CacheGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// How many there are, and their tokens.
    pub counts: Counts,
    /// Of those that did not fail: with cached tokens, with none, and not known.
    pub hits: u64,
    /// With no cached token.
    pub misses: u64,
    /// Of which the client does not say.
    pub unknown: u64,
    /// Time to first token of hits minus that of misses, in microseconds, within hour,
    /// template, model and input length; none where nothing can be compared.
    pub difference: Option<StratifiedDifference>,
    /// How many such strata hold any time to first token.
    pub strata: u64,
}

/// Values, as a sketch and, where they were read one by one, exactly.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// The sketch.
    pub sketch: Sketch,
    /// In ascending order.
    pub exact: Option<Vec<f64>>,
}

impl Distribution {
    /// The value of a rank, counted from 1.
    pub fn value_at_rank(&self, rank: u64) -> Option<f64> {
        match &self.exact {
            Some(values) => values.get(usize::try_from(rank.checked_sub(1)?).ok()?).copied(),
            None => self.sketch.value_at_rank(rank),
        }
    }
}

/// Finds the group of a place.
pub struct Groups<'a> {
    dimensions: &'a [Dimension],
    found: HashMap<RawKey, usize, BuildHasherDefault<KeyHasher>>,
    /// Neighbours mostly belong to one group.
    last: Option<(RawKey, usize)>,
}

/// A group's key in integers, as many as there are dimensions.
type RawKey = [i64; Dimension::ALL.len()];

/// A multiplication for each integer of a key. A query hashes tens of thousands
/// of keys, which are the store's own numbers: nobody chooses them to collide.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The golden ratio's bits, as in Knuth's multiplicative hashing (TAOCP 3, section 6.4);
        // the shift brings the high bits, which are the better ones, down to where tables look.
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl<'a> Groups<'a> {
    pub fn new(dimensions: &'a [Dimension]) -> Self {
        Self { dimensions, found: HashMap::default(), last: None }
    }

    /// The index of a place's group; groups are numbered as they are met.
    pub fn index(&mut self, place: &Place) -> Result<usize> {
        let mut key = RawKey::default();
        for (part, dimension) in key.iter_mut().zip(self.dimensions) {
            *part = raw(*dimension, place);
        }
        if let Some((last, index)) = self.last
            && last == key
        {
            return Ok(index);
        }
        let next = self.found.len();
        let index = *self.found.entry(key).or_insert(next);
        if index == GROUPS_MAX {
            return Err(StoreError::BadInput(format!(
                "there are more than {GROUPS_MAX} groups: group by less, or choose a smaller slice"
            )));
        }
        self.last = Some((key, index));
        Ok(index)
    }

    /// The keys, in the order of their indexes, with names for integers.
    pub fn keys(self, transaction: &Transaction<'_>) -> Result<Vec<GroupKey>> {
        let mut names: HashMap<i64, Option<String>> = HashMap::from([(0, None)]);
        let mut statement = transaction.prepare_cached("SELECT text FROM name WHERE id = ?1")?;
        let mut keys = vec![GroupKey::new(); self.found.len()];
        for (raw, index) in self.found {
            for (part, dimension) in raw.into_iter().zip(self.dimensions) {
                if is_name(*dimension) && !names.contains_key(&part) {
                    names.insert(part, Some(statement.query_row([part], |row| row.get(0))?));
                }
                keys[index].push(key_part(*dimension, part, &names));
            }
        }
        Ok(keys)
    }
}

fn raw(dimension: Dimension, place: &Place) -> i64 {
    let Place { block, cell } = place;
    let BlockKey { hour, template, template_version } = *block;
    let CellKey { model, request_class, length, cache } = *cell;
    match dimension {
        Dimension::Template => template,
        Dimension::TemplateVersion => template_version,
        Dimension::Model => model,
        Dimension::RequestClass => request_class,
        Dimension::InputLength => length.number().into(),
        Dimension::Cache => cache as i64,
        Dimension::Hour => hour,
        Dimension::Day => hour.div_euclid(24),
    }
}

fn is_name(dimension: Dimension) -> bool {
    use Dimension::{Model, RequestClass, Template, TemplateVersion};
    matches!(dimension, Template | TemplateVersion | Model | RequestClass)
}

fn key_part(dimension: Dimension, raw: i64, names: &HashMap<i64, Option<String>>) -> KeyPart {
    match dimension {
        Dimension::RequestClass if raw == 0 => KeyPart::Name(Some(UNCLASSIFIED.into())),
        Dimension::InputLength => {
            KeyPart::InputLength(LengthBucket::from_number(raw as u8).expect("it was a bucket's number"))
        }
        Dimension::Cache => KeyPart::Cache(match raw {
            1 => CacheState::Miss,
            2 => CacheState::Hit,
            _ => CacheState::Unknown,
        }),
        Dimension::Hour => KeyPart::From(Timestamp(raw * HOUR_US)),
        Dimension::Day => KeyPart::From(Timestamp(raw * 24 * HOUR_US)),
        _ => KeyPart::Name(names.get(&raw).cloned().flatten()),
    }
}
