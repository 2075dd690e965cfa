//! Blocks: one part of many cells, as bytes.

use super::cells::{CellKey, Part};
use crate::domain::latency::{CacheState, LengthBucket};
use crate::stats::{Damaged, varint};
use crate::store::StoreError;

/// First byte of a block: how the rest is to be read.
const VERSION: u8 = 1;

/// A block that cannot be read.
pub fn unreadable(damaged: Damaged) -> StoreError {
    StoreError::Unreadable { what: "block of latencies", reason: damaged.to_string() }
}

/// The entries of a block, in the order of their keys.
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Looks at a block's first byte.
    pub fn new(block: &'a [u8]) -> Result<Self, Damaged> {
        Ok(Self { rest: block.strip_prefix(&[VERSION]).ok_or(Damaged)? })
    }

    /// The next entry, if there is one.
    pub fn next(&mut self) -> Result<Option<(CellKey, &'a [u8])>, Damaged> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut number = || varint::take(&mut self.rest).ok_or(Damaged);
        let key = CellKey {
            model: number()? as i64,
            request_class: number()? as i64,
            length: u8::try_from(number()?).ok().and_then(LengthBucket::from_number).ok_or(Damaged)?,
            cache: match number()? {
                0 => CacheState::Unknown,
                1 => CacheState::Miss,
                2 => CacheState::Hit,
                _ => return Err(Damaged),
            },
        };
        let length = number()? as usize;
        let (entry, rest) = self.rest.split_at_checked(length).ok_or(Damaged)?;
        self.rest = rest;
        Ok(Some((key, entry)))
    }
}

/// A block that is being written.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn put(&mut self, key: CellKey, entry: &[u8]) {
        let CellKey { model, request_class, length, cache } = key;
        for number in [model as u64, request_class as u64, length.number().into(), cache as u64] {
            varint::put(&mut self.bytes, number);
        }
        varint::put(&mut self.bytes, entry.len() as u64);
        self.bytes.extend_from_slice(entry);
    }
}

/// A block with what came since added to it; `fresh` is in the order of its
/// keys. None where it holds nothing.
pub fn merged<'a, P: Part + 'a>(
    block: Option<&[u8]>,
    fresh: impl Iterator<Item = (CellKey, &'a P)>,
) -> Result<Option<Vec<u8>>, Damaged> {
    let mut kept = Entries::new(block.unwrap_or(&[VERSION]))?;
    let mut fresh = fresh.filter(|(_, part)| !part.is_empty()).peekable();
    let mut writer = Writer { bytes: vec![VERSION] };
    let mut scratch = Vec::new();
    let mut put = |writer: &mut Writer, key, part: &P| {
        scratch.clear();
        part.encode(&mut scratch);
        writer.put(key, &scratch);
    };
    while let Some((key, entry)) = kept.next()? {
        while let Some((earlier, part)) = fresh.next_if(|(fresh, _)| *fresh < key) {
            put(&mut writer, earlier, part);
        }
        match fresh.next_if(|(fresh, _)| *fresh == key) {
            Some((_, part)) => {
                let mut both = part.clone();
                both.merge_encoded(entry)?;
                put(&mut writer, key, &both);
            }
            None => writer.put(key, entry),
        }
    }
    for (key, part) in fresh {
        put(&mut writer, key, part);
    }
    Ok((writer.bytes.len() > 1).then_some(writer.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sketch;

    fn key(model: i64, cache: CacheState) -> CellKey {
        CellKey { model, request_class: 1 << 40, length: LengthBucket::of(Some(300)), cache }
    }

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    fn read(block: &[u8]) -> Vec<(CellKey, Sketch)> {
        let mut entries = Entries::new(block).expect("a block");
        let mut found = Vec::new();
        while let Some((key, entry)) = entries.next().expect("whole") {
            found.push((key, Sketch::decode(entry).expect("whole")));
        }
        found
    }

    fn merge(block: Option<&[u8]>, fresh: &[(CellKey, Sketch)]) -> Vec<u8> {
        merged(block, fresh.iter().map(|(key, sketch)| (*key, sketch))).expect("whole").expect("not empty")
    }

    #[test]
    fn cells_stay_in_order_and_equal_ones_are_added_up() {
        let (miss, hit) = (CacheState::Miss, CacheState::Hit);
        let first = merge(None, &[(key(2, miss), sketch(&[1.0])), (key(5, miss), sketch(&[2.0]))]);
        let more = [
            (key(1, hit), sketch(&[3.0])),
            (key(2, miss), sketch(&[4.0])),
            (key(2, hit), sketch(&[5.0])),
            (key(3, hit), Sketch::default()),
            (key(9, hit), sketch(&[6.0])),
        ];
        let found = read(&merge(Some(&first), &more));
        let expected = [
            (key(1, hit), sketch(&[3.0])),
            (key(2, miss), sketch(&[4.0, 1.0])),
            (key(2, hit), sketch(&[5.0])),
            (key(5, miss), sketch(&[2.0])),
            (key(9, hit), sketch(&[6.0])),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_makes_no_block_and_a_damaged_one_is_an_error() {
        assert_eq!(merged::<Sketch>(None, std::iter::empty()), Ok(None));
        let block = merge(None, &[(key(2, CacheState::Hit), sketch(&[1.0, 2.0]))]);
        for end in (0..block.len()).filter(|end| *end != 1) {
            let cut = Entries::new(&block[..end]).and_then(|mut entries| entries.next());
            assert_eq!(cut, Err(Damaged), "cut at {end}");
        }
    }
}
