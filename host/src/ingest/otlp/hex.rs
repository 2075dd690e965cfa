//! Ids as lower-case hexadecimal digits, in text and in serde.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// The digits of some bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of some digits; none where there is anything but pairs of digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

pub(super) fn serialize<S: Serializer, const N: usize>(id: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&encode(id))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(from)?;
    decode(&text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| D::Error::custom(format!("`{text}` is not {N} bytes in hexadecimal digits")))
}

/// The same for an id that may be missing.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Id<const N: usize>(#[serde(with = "super")] [u8; N]);

    #[expect(clippy::ref_option, reason = "serde passes the field as it stands")]
    pub(crate) fn serialize<S: Serializer, const N: usize>(
        id: &Option<[u8; N]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => super::serialize(id, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        Ok(Option::<Id<N>>::deserialize(from)?.map(|id| id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_both_ways_in_either_case() {
        assert_eq!(encode(&[0x00, 0xa5, 0xff]), "00a5ff");
        assert_eq!(decode("00A5ff"), Some(vec![0x00, 0xa5, 0xff]));
    }

    #[test]
    fn refuses_what_is_no_pair_of_digits() {
        for text in ["0", "0g", "é0", "+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
