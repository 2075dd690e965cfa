//! Whole numbers in as few bytes as they need: seven bits a byte, the lowest
//! first, the top bit set on all but the last (LEB128).

/// Appends a number.
pub fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Takes a number off the front; none where there is no whole one.
#[inline]
pub fn take(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    if first < 0x80 {
        *from = rest;
        return Some(u64::from(first));
    }
    take_long(from)
}

fn take_long(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (place, byte) in from.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            *from = &from[place + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_a_cut_one_does_not() {
        for value in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([300, u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 0), "{value}");
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None, "{value}");
        }
        // 300 as the Protocol Buffers encoding guide writes it.
        let mut bytes = Vec::new();
        put(&mut bytes, 300);
        assert_eq!(bytes, [0b1010_1100, 0b0000_0010]);
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
    }
}
