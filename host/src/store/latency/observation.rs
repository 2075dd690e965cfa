//! What one interaction tells of latency, tokens and cache.

use rusqlite::Row;

use super::cells::{Cell, CellKey, Counts};
use crate::domain::interaction::{Generation, Timing};
use crate::domain::latency::{CacheState, HOUR_US, LengthBucket, Metric};

/// What one interaction tells. What failed is counted and tells nothing else
/// but how long that took: an error after three milliseconds is no fast answer.
#[derive(Debug, Clone)]
pub struct Observation {
    pub place: Place,
    failed: bool,
    partial: bool,
    timing: Timing,
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
}

/// Where an interaction is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub block: BlockKey,
    pub cell: CellKey,
}

/// Hour, template and version: what a block of cells has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey {
    /// Hours since the Unix epoch, UTC.
    pub hour: i64,
    /// Integers of names; 0 where there is none.
    pub template: i64,
    pub template_version: i64,
}

impl Observation {
    /// What [`Observation::read`] reads.
    pub const COLUMNS: &str = "started_at_us, coalesce(template, 0), coalesce(template_version, 0), \
         coalesce(model, 0), coalesce(request_class, 0), total_us, first_token_us, input_tokens, output_tokens, \
         cached_tokens, failed, partial, streamed";

    /// From the columns, of which the first is at `at`.
    pub fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let count = |place: usize| -> rusqlite::Result<Option<u64>> {
            // Written from a number that is not negative.
            Ok(row.get::<_, Option<i64>>(at + place)?.map(|count| count.max(0) as u64))
        };
        let started_at_us: i64 = row.get(at)?;
        let (input, cached) = (count(7)?, count(9)?);
        Ok(Self {
            place: Place {
                block: BlockKey {
                    hour: started_at_us.div_euclid(HOUR_US),
                    template: row.get(at + 1)?,
                    template_version: row.get(at + 2)?,
                },
                cell: CellKey {
                    model: row.get(at + 3)?,
                    request_class: row.get(at + 4)?,
                    length: LengthBucket::of(input),
                    cache: CacheState::of(cached),
                },
            },
            timing: Timing {
                started_at_us: Some(started_at_us),
                total_us: count(5)?,
                first_token_us: count(6)?,
                streamed: row.get(at + 12)?,
            },
            input,
            output: count(8)?,
            cached,
            failed: row.get(at + 10)?,
            partial: row.get(at + 11)?,
        })
    }

    /// The value of a metric; none where it is missing or would mislead. How long
    /// a stream took and how many tokens it had is not known where it broke off.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        if self.failed != (metric == Metric::FailedTotal) {
            return None;
        }
        let whole = |value: Option<u64>| value.filter(|_| !self.partial).map(|value| value as f64);
        let generation = || Generation::of(&self.timing, self.output);
        match metric {
            Metric::Total => whole(self.timing.total_us),
            Metric::FirstToken => self.timing.first_token_us.map(|us| us as f64),
            Metric::TokensPerSecond => Some(generation()?.tokens_per_second()),
            Metric::TimePerOutputToken => Some(generation()?.time_per_token_us()),
            Metric::InputTokens => self.input.map(|tokens| tokens as f64),
            Metric::OutputTokens => whole(self.output),
            Metric::FailedTotal => self.timing.total_us.map(|us| us as f64),
        }
    }

    /// Counts it.
    pub fn count(&self, counts: &mut Counts) {
        counts.requests += 1;
        if self.failed {
            counts.failed += 1;
            return;
        }
        counts.partial += u64::from(self.partial);
        if let (Some(input), Some(cached)) = (self.input, self.cached) {
            if cached <= input {
                counts.with_tokens += 1;
                counts.input_tokens += input;
                counts.cached_tokens += cached;
            } else {
                counts.inconsistent += 1;
            }
        }
        if let Some(us) = self.value(Metric::FirstToken) {
            counts.first_token.add(us);
        }
    }

    /// Adds it to its cell.
    pub fn add_to(&self, cell: &mut Cell) {
        self.count(&mut cell.counts);
        for (metric, sketch) in Metric::ALL.into_iter().zip(&mut cell.sketches) {
            if let Some(value) = self.value(metric) {
                sketch.add(value);
            }
        }
    }
}
