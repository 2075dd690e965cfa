//! Cells: what is kept of the requests of one hour that are alike.

use crate::domain::latency::{CacheState, LengthBucket, Metric};
use crate::stats::{Damaged, Moments, Sketch, varint};

/// What tells the cells of one block apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    /// Integers of names; 0 where there is none.
    pub model: i64,
    pub request_class: i64,
    pub length: LengthBucket,
    pub cache: CacheState,
}

/// What is kept of requests that are alike.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    pub counts: Counts,
    /// In the order of [`Metric::ALL`].
    pub sketches: [Sketch; Metric::ALL.len()],
}

/// Requests and tokens, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// All requests.
    pub requests: u64,
    /// Those that failed. All that follows is of the others.
    pub failed: u64,
    /// Those whose stream broke off.
    pub partial: u64,
    /// Those with more cached tokens than input tokens: the client counts
    /// wrongly, and none of its tokens are counted here.
    pub inconsistent: u64,
    /// Those with a known number of input and of cached tokens.
    pub with_tokens: u64,
    /// Their input tokens, the cached ones included.
    pub input_tokens: u64,
    /// Their cached input tokens.
    pub cached_tokens: u64,
    /// Times to first token, in microseconds.
    pub first_token: Moments,
}

/// What a block holds for each of its cells.
pub trait Part: Clone {
    /// Whether it says nothing.
    fn is_empty(&self) -> bool;
    /// Appends it to bytes.
    fn encode(&self, to: &mut Vec<u8>);
    /// Adds what an encoded one says.
    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Damaged>;
}

impl Part for Sketch {
    fn is_empty(&self) -> bool {
        Sketch::is_empty(self)
    }

    fn encode(&self, to: &mut Vec<u8>) {
        Sketch::encode(self, to);
    }

    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        Sketch::merge_encoded(self, bytes)
    }
}

impl Part for Counts {
    fn is_empty(&self) -> bool {
        self.requests == 0
    }

    fn encode(&self, to: &mut Vec<u8>) {
        for count in [
            self.requests,
            self.failed,
            self.partial,
            self.inconsistent,
            self.with_tokens,
            self.input_tokens,
            self.cached_tokens,
            self.first_token.n,
        ] {
            varint::put(to, count);
        }
        to.extend_from_slice(&self.first_token.mean.to_le_bytes());
        to.extend_from_slice(&self.first_token.squares.to_le_bytes());
    }

    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        let mut rest = bytes;
        let mut count = || varint::take(&mut rest).ok_or(Damaged);
        let counts = Self {
            requests: count()?,
            failed: count()?,
            partial: count()?,
            inconsistent: count()?,
            with_tokens: count()?,
            input_tokens: count()?,
            cached_tokens: count()?,
            first_token: Moments { n: count()?, ..Moments::default() },
        };
        let (mean, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let squares = <[u8; 8]>::try_from(rest).map_err(|_| Damaged)?;
        let moments = Moments {
            mean: f64::from_le_bytes(*mean),
            squares: f64::from_le_bytes(squares),
            ..counts.first_token
        };
        self.merge(&Self { first_token: moments, ..counts });
        Ok(())
    }
}

impl Counts {
    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        // Saturating, because a damaged database must not stop a thread.
        for (count, more) in [
            (&mut self.requests, other.requests),
            (&mut self.failed, other.failed),
            (&mut self.partial, other.partial),
            (&mut self.inconsistent, other.inconsistent),
            (&mut self.with_tokens, other.with_tokens),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
        ] {
            *count = count.saturating_add(more);
        }
        self.first_token.merge(&other.first_token);
    }

    /// Those that did not fail.
    pub fn answered(&self) -> u64 {
        self.requests.saturating_sub(self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_and_damaged_ones_do_not() {
        let mut counts = Counts { requests: 300, failed: 2, input_tokens: 1 << 40, ..Counts::default() };
        counts.first_token.add(1e6);
        counts.first_token.add(3e6);
        let mut bytes = Vec::new();
        Part::encode(&counts, &mut bytes);
        let mut found = Counts::default();
        found.merge_encoded(&bytes).expect("whole");
        assert_eq!(found, counts);
        found.merge_encoded(&bytes).expect("whole");
        assert_eq!((found.requests, found.answered(), found.first_token.mean), (600, 596, 2e6));
        for end in 0..bytes.len() {
            assert_eq!(Counts::default().merge_encoded(&bytes[..end]), Err(Damaged), "cut at {end}");
        }
    }
}
