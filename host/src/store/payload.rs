//! How an interaction's whole content is kept: JSON, compressed.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Result, StoreError};
use crate::domain::interaction::{Answer, Item};
use crate::domain::production::Origin;

/// First byte of a payload: how the rest is to be read.
const ZSTD_JSON: u8 = 1;
/// What most payloads have in common, so that each holds only what is its own.
/// A change of it needs another first byte: what is stored was packed with it.
const DICTIONARY: &[u8] = include_bytes!("payload.dictionary");
/// Fast: at level 1 an interaction of 2 KB takes some ten microseconds.
const LEVEL: i32 = 1;
/// No payload that was written is larger once it is unpacked; a damaged one
/// must not make the daemon allocate.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

thread_local! {
    static COMPRESSOR: RefCell<zstd::bulk::Compressor<'static>> =
        RefCell::new(zstd::bulk::Compressor::with_dictionary(LEVEL, DICTIONARY).expect("any text is a dictionary"));
    static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> =
        RefCell::new(zstd::bulk::Decompressor::with_dictionary(DICTIONARY).expect("any text is a dictionary"));
}

#[derive(Serialize)]
struct Written<'a> {
    item: &'a Item,
    answer: &'a Answer,
    origin: &'a Origin,
}

/// What a payload holds. Question and answer stay text, because workers take
/// them as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payload {
    item: Box<RawValue>,
    answer: Box<RawValue>,
    /// Whose the interaction is and how it got here.
    pub origin: Origin,
}

impl Payload {
    /// JSON of the question's side.
    pub fn item(&self) -> &str {
        self.item.get()
    }

    /// JSON of the answer's side.
    pub fn answer(&self) -> &str {
        self.answer.get()
    }

    /// The same with another question's side.
    pub(super) fn with_item(self, item: &Item) -> Self {
        let item = serde_json::value::to_raw_value(item).expect("the domain's types are plain JSON");
        Self { item, ..self }
    }

    /// Packs it again.
    pub(super) fn encode(&self) -> Vec<u8> {
        pack(&serde_json::to_vec(self).expect("it was JSON a moment ago"))
    }
}

fn unreadable(reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what: "interaction", reason: reason.to_string() }
}

/// Packs an interaction.
pub(super) fn encode(item: &Item, answer: &Answer, origin: &Origin) -> Vec<u8> {
    let text =
        serde_json::to_vec(&Written { item, answer, origin }).expect("the domain's types are plain JSON");
    pack(&text)
}

/// Unpacks an interaction.
pub(super) fn decode(packed: &[u8]) -> Result<Payload> {
    serde_json::from_slice(&unpack(packed)?).map_err(unreadable)
}

/// Compresses any bytes.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let packed = COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(bytes))
        .expect("memory is all that it needs");
    let mut framed = Vec::with_capacity(packed.len() + 1);
    framed.push(ZSTD_JSON);
    framed.extend_from_slice(&packed);
    framed
}

/// The bytes that [`pack`] was given.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let Some((&ZSTD_JSON, packed)) = packed.split_first() else {
        return Err(unreadable("it is packed in a way that this version does not know"));
    };
    let size = zstd::zstd_safe::get_frame_content_size(packed)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size <= UNPACKED_BYTES_MAX)
        .ok_or_else(|| unreadable("its size makes no sense"))?;
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(packed, size)).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back() {
        let item = Item { query: "Wie spät ist es?".into(), ..Item::default() };
        let answer = Answer { actual: "Halb drei.".repeat(500), ..Answer::default() };
        let origin = Origin { user: Some("u1".into()), ..Origin::default() };
        let packed = encode(&item, &answer, &origin);
        assert!(packed.len() < 400, "{} bytes", packed.len());
        let found = decode(&packed).expect("readable");
        assert_eq!(serde_json::from_str::<Item>(found.item()).expect("JSON"), item);
        assert_eq!(serde_json::from_str::<Answer>(found.answer()).expect("JSON"), answer);
        assert_eq!(found.origin, origin);
    }

    #[test]
    fn what_all_payloads_have_in_common_takes_little() {
        let item = Item { query: "hello".into(), ..Item::default() };
        let answer = Answer { actual: "hi".into(), model: Some("gpt-5".into()), ..Answer::default() };
        let origin = Origin { trace: Some("0af7651916cd43dd8448eb211c80319c".into()), ..Origin::default() };
        let packed = encode(&item, &answer, &origin);
        assert!(packed.len() < 120, "{} bytes", packed.len());
    }

    #[test]
    fn the_dictionary_stays_as_it_is() {
        // Payloads that were stored cannot be read with another.
        let digest = crate::domain::digest::Digest::of(DICTIONARY).to_string();
        assert_eq!(digest, "sha256:9f142c02c85f441013403d4e6e886b6f9b10f9e55c5bda7e54dfae060e2c5729");
    }

    #[test]
    fn a_damaged_payload_is_an_error_and_no_panic() {
        let packed = encode(&Item::default(), &Answer::default(), &Origin::default());
        for end in 0..packed.len() {
            assert!(decode(&packed[..end]).is_err(), "cut at {end}");
        }
        for place in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[place] ^= 0x55;
            drop(decode(&damaged));
        }
    }
}
