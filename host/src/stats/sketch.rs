//! Quantiles of many values in little room, with a stated relative error.
//!
//! A DDSketch (Masson, Rim & Lee 2019, PVLDB 12:2195–2205): a value is counted
//! in the bin whose bounds are powers of γ = (1 + α) / (1 − α), and the bin's
//! middle is within α of every value in it. Adding up the bins of two sketches
//! gives the sketch of both, so nothing is lost by merging.
//!
//! Which bin a value has, and which value stands for a bin, is the crate
//! `sketches-ddsketch`'s business. The counts are kept here, because its own
//! store can neither be written compactly nor be merged from what was written:
//! a query merges tens of thousands of sketches. No bin is ever collapsed into
//! another, so the error holds at every quantile; the range of values bounds the
//! bins.

use std::sync::LazyLock;

use sketches_ddsketch::Config;

use super::varint;

/// How far a quantile may be from the exact one, relative to it.
pub const RELATIVE_ERROR: f64 = 0.01;

/// What is not larger counts as zero.
const VALUE_MIN: f64 = 1e-9;
/// The bins end here; what is larger counts in the last one.
const VALUE_MAX: f64 = 1e27;
/// First byte of an encoded sketch: how the rest is to be read.
const VERSION: u8 = 1;

static MAPPING: LazyLock<Config> = LazyLock::new(|| Config::new(RELATIVE_ERROR, u32::MAX, VALUE_MIN));
static KEYS: LazyLock<(i32, i32)> = LazyLock::new(|| (MAPPING.key(VALUE_MIN), MAPPING.key(VALUE_MAX)));

/// Bytes that are no sketch of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sketch is damaged")]
pub struct Damaged;

/// How many values lie from [`Sketch::bin_low`] of a key up to that of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// Names the bin; bins of larger values have larger keys.
    pub key: i32,
    /// How many values.
    pub count: u64,
}

/// The distribution of values that are not negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// Counts of the bins from `first` on.
    bins: Vec<u64>,
    first: i32,
    zeros: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            bins: Vec::new(),
            first: 0,
            zeros: 0,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Sketch {
    /// Adds a value. It is finite; a negative one counts as zero.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "{value} has no bin");
        if value > VALUE_MIN {
            let key = MAPPING.key(value.min(VALUE_MAX)).clamp(KEYS.0, KEYS.1);
            self.make_room(key, key);
            self.bins[(key - self.first) as usize] += 1;
        } else {
            self.zeros += 1;
        }
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds what another has seen.
    pub fn merge(&mut self, other: &Self) {
        if !other.bins.is_empty() {
            self.make_room(other.first, other.first + other.bins.len() as i32 - 1);
            let offset = (other.first - self.first) as usize;
            for (bin, more) in self.bins[offset..].iter_mut().zip(&other.bins) {
                *bin += more;
            }
        }
        self.zeros += other.zeros;
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn make_room(&mut self, low: i32, high: i32) {
        if self.bins.is_empty() {
            self.first = low;
        } else if low < self.first {
            let missing = (self.first - low) as usize;
            self.bins.splice(..0, std::iter::repeat_n(0, missing));
            self.first = low;
        }
        let needed = (high - self.first) as usize + 1;
        if self.bins.len() < needed {
            self.bins.resize(needed, 0);
        }
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their mean, exactly.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The smallest, exactly.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest, exactly.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The value of a rank, counted from 1 in ascending order, within
    /// [`RELATIVE_ERROR`].
    pub fn value_at_rank(&self, rank: u64) -> Option<f64> {
        if rank == 0 || rank > self.count {
            return None;
        }
        if rank == self.count {
            return Some(self.max);
        }
        let mut seen = self.zeros;
        if rank <= seen {
            return Some(self.min.max(0.0));
        }
        for (place, count) in self.bins.iter().enumerate() {
            seen += count;
            if rank <= seen {
                let middle = MAPPING.value(self.first + place as i32);
                // Both ends are known exactly, and no value lies beyond them.
                return Some(middle.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// How many values count as zero.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The bins that hold anything, in ascending order.
    pub fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        self.bins
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| Bin { key: self.first + place as i32, count: *count })
    }

    /// The smallest value of a bin, which is the end of the bin before.
    pub fn bin_low(key: i32) -> f64 {
        MAPPING.pow_gamma(key)
    }

    /// Appends it to bytes: its version, zeros, sum, smallest and largest, then
    /// the span of its bins and, of each that holds anything, the step from the
    /// one before and the count.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.push(VERSION);
        varint::put(to, self.zeros);
        for value in [self.sum, self.min, self.max] {
            to.extend_from_slice(&value.to_le_bytes());
        }
        // The first bin and the last one hold something, or there is none.
        let Some(span) = self.bins.len().checked_sub(1) else { return };
        varint::put(to, zigzag(self.first));
        varint::put(to, span as u64);
        let mut before = self.first;
        for bin in self.bins() {
            varint::put(to, (bin.key - before) as u64);
            varint::put(to, bin.count);
            before = bin.key;
        }
    }

    /// The sketch that bytes hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut sketch = Self::default();
        sketch.merge_encoded(bytes)?;
        Ok(sketch)
    }

    /// Adds what an encoded one has seen, without an allocation of its own.
    /// After an error the sketch is of no more use.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        let mut rest = bytes.strip_prefix(&[VERSION]).ok_or(Damaged)?;
        let zeros = count(&mut rest)?;
        let [sum, min, max] = [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let mut seen = zeros;
        if !rest.is_empty() {
            let first = unzigzag(varint::take(&mut rest).ok_or(Damaged)?);
            let span = varint::take(&mut rest).ok_or(Damaged)?;
            let last = first.checked_add_unsigned(span).ok_or(Damaged)?;
            if first < i64::from(KEYS.0) || last > i64::from(KEYS.1) {
                return Err(Damaged);
            }
            self.make_room(first as i32, last as i32);
            let offset = (first as i32 - self.first) as usize;
            let bins = &mut self.bins[offset..=offset + span as usize];
            let mut place = 0;
            while !rest.is_empty() {
                place += varint::take(&mut rest).ok_or(Damaged)? as usize;
                let more = count(&mut rest)?;
                *bins.get_mut(place).ok_or(Damaged)? += more;
                seen += more;
            }
            if bins[0] == 0 || place != span as usize || bins[place] == 0 {
                return Err(Damaged);
            }
        }
        if seen > 0 && !(sum.is_finite() && min.is_finite() && max.is_finite() && min <= max) {
            return Err(Damaged);
        }
        if seen > 0 {
            self.sum += sum;
            self.min = self.min.min(min);
            self.max = self.max.max(max);
        }
        self.zeros += zeros;
        self.count += seen;
        Ok(())
    }
}

fn number(rest: &mut &[u8]) -> Result<f64, Damaged> {
    let (bytes, after) = rest.split_first_chunk().ok_or(Damaged)?;
    *rest = after;
    Ok(f64::from_le_bytes(*bytes))
}

/// A count that thousands of can be added up.
fn count(rest: &mut &[u8]) -> Result<u64, Damaged> {
    varint::take(rest).filter(|count| *count < 1 << 44).ok_or(Damaged)
}

fn zigzag(key: i32) -> u64 {
    let key = i64::from(key);
    ((key << 1) ^ (key >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sketches_ddsketch::DDSketch;

    /// Numbers in [0, 1) that follow from a seed.
    fn uniform(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    fn distributions() -> Vec<(&'static str, Vec<f64>)> {
        let n = 20_000;
        let heavy = uniform(1).take(n).map(|u| 1e4 / (1.0 - u).powf(0.8)).collect();
        let even = uniform(2).take(n).map(|u| u * 1e6).collect();
        let exponential = uniform(3).take(n).map(|u| -2e5 * (1.0 - u).ln()).collect();
        let two_humps = uniform(4).take(n).map(|u| if u < 0.9 { 100.0 + u } else { 1e9 * u }).collect();
        let whole = uniform(5).take(n).map(|u| (u * 40.0).floor()).collect();
        let small = uniform(6).take(n).map(|u| 0.01 + u * u).collect();
        vec![
            ("heavy", heavy),
            ("even", even),
            ("exponential", exponential),
            ("two humps", two_humps),
            ("whole numbers with zeros", whole),
            ("small", small),
        ]
    }

    fn sketch_of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    #[test]
    fn every_rank_is_within_the_stated_error_of_the_exact_value() {
        for (name, mut values) in distributions() {
            let sketch = sketch_of(&values);
            values.sort_by(f64::total_cmp);
            for (index, exact) in values.iter().enumerate() {
                let found = sketch.value_at_rank(index as u64 + 1).expect("a rank");
                let error = (found - exact).abs();
                assert!(error <= exact * (RELATIVE_ERROR + 1e-9), "{name}, rank {index}: {found}, {exact}");
            }
            assert_eq!(sketch.min(), values.first().copied(), "{name}");
            assert_eq!(sketch.max(), values.last().copied(), "{name}");
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((sketch.mean().expect("values") / mean - 1.0).abs() < 1e-9, "{name}");
        }
    }

    #[test]
    fn the_bins_are_those_of_the_crates_own_sketch() {
        for (name, values) in distributions() {
            let sketch = sketch_of(&values);
            let mut theirs = DDSketch::new(Config::new(RELATIVE_ERROR, 8192, VALUE_MIN));
            values.iter().for_each(|value| theirs.add(*value));
            for percent in 1..100 {
                let q = f64::from(percent) / 100.0;
                // The crate counts ranks from 0 and rounds q(n − 1) down.
                let rank = (q * (values.len() as f64 - 1.0)) as u64 + 1;
                let theirs = theirs.quantile(q).expect("valid").expect("values");
                // The crate does not mind that no value lies beyond the ends.
                let theirs = theirs.clamp(sketch.min, sketch.max);
                assert_eq!(sketch.value_at_rank(rank), Some(theirs), "{name} at {q}");
            }
        }
    }

    #[test]
    fn merging_is_the_same_as_one_sketch_of_everything() {
        for (name, values) in distributions() {
            let whole = sketch_of(&values);
            let (mut merged, mut packed) = (Sketch::default(), Sketch::default());
            for part in values.chunks(777).rev() {
                let part = sketch_of(part);
                merged.merge(&part);
                let mut bytes = Vec::new();
                part.encode(&mut bytes);
                packed.merge_encoded(&bytes).expect("whole");
            }
            for found in [merged, packed] {
                // The order of addition moves the sum's last digits.
                assert!((found.sum / whole.sum - 1.0).abs() < 1e-12, "{name}");
                assert_eq!(Sketch { sum: whole.sum, ..found }, whole, "{name}");
            }
        }
    }

    #[test]
    fn a_few_dozen_values_take_about_two_bytes_each() {
        let (_, values) = distributions().swap_remove(2);
        let mut bytes = Vec::new();
        sketch_of(&values[..35]).encode(&mut bytes);
        assert!(bytes.len() < 110, "{} bytes", bytes.len());
    }

    #[test]
    fn nothing_has_no_quantile_and_a_rank_too_many_neither() {
        let empty = Sketch::default();
        assert_eq!((empty.value_at_rank(1), empty.mean(), empty.max()), (None, None, None));
        let one = sketch_of(&[7.0]);
        assert_eq!(
            (one.value_at_rank(0), one.value_at_rank(1), one.value_at_rank(2)),
            (None, Some(7.0), None)
        );
    }

    #[test]
    fn a_damaged_sketch_is_an_error_and_no_panic() {
        let mut bytes = Vec::new();
        sketch_of(&[0.0, 1.0, 5.0, 5.0, 1e6]).encode(&mut bytes);
        assert!(Sketch::decode(&bytes).is_ok());
        // A cut that leaves a whole header and no bins cannot be told from a sketch of zeros.
        let header = 1 + 1 + 24;
        for end in (0..bytes.len()).filter(|end| *end != header) {
            assert_eq!(Sketch::decode(&bytes[..end]), Err(Damaged), "cut at {end}");
        }
        for place in 0..bytes.len() {
            for flip in 1..=255 {
                let mut damaged = bytes.clone();
                damaged[place] ^= flip;
                drop(Sketch::decode(&damaged));
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(values in prop::collection::vec(
            prop_oneof![Just(0.0), 1e-12_f64..1e-6, 0.0_f64..1e3, 1e3_f64..1e19, Just(1e30)], 0..60,
        )) {
            let sketch = sketch_of(&values);
            let mut bytes = Vec::new();
            sketch.encode(&mut bytes);
            prop_assert_eq!(Sketch::decode(&bytes), Ok(sketch));
        }

        #[test]
        fn bytes_that_are_no_sketch_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Sketch::decode(&bytes));
            let mut versioned = vec![VERSION, 0];
            versioned.extend(bytes);
            drop(Sketch::decode(&versioned));
        }
    }
}
