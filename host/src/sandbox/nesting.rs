//! How deep components lie in one another: read from the headers of sections
//! alone, before the compiler sees anything.

use super::Refused;

/// Before the sections of a component or module.
const PREAMBLE_BYTES: usize = 8;
/// The section that holds a component.
const COMPONENT: u8 = 4;

/// Refuses a component that holds others more than `depth_max` deep. What is
/// malformed passes: the compiler has better words for it.
pub fn check(component: &[u8], depth_max: u32) -> Result<(), Refused> {
    // Where each component ends that is open at this place.
    let mut open = vec![component.len()];
    let mut at = PREAMBLE_BYTES;
    while let Some(end) = open.last().copied() {
        if at == end {
            open.pop();
            continue;
        }
        let Some((id, content)) = section(component, at).filter(|(_, content)| content.end <= end) else {
            return Ok(());
        };
        if id != COMPONENT {
            at = content.end;
            continue;
        }
        if open.len() > depth_max as usize {
            return Err(Refused(format!("nests components more than {depth_max} deep")));
        }
        open.push(content.end);
        at = content.start + PREAMBLE_BYTES;
        if at > content.end {
            return Ok(());
        }
    }
    Ok(())
}

/// The section that starts here: its id and where its content lies.
fn section(bytes: &[u8], at: usize) -> Option<(u8, std::ops::Range<usize>)> {
    let id = *bytes.get(at)?;
    let mut size = 0_u64;
    // A LEB128 number of 32 bits has at most five bytes.
    for (index, byte) in bytes.get(at + 1..)?.iter().take(5).enumerate() {
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let start = at + 2 + index;
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            return Some((id, start..end));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        let text = "(component ".repeat(depth) + &")".repeat(depth);
        wat::parse_str(text).expect("assembled")
    }

    #[test]
    fn components_may_nest_up_to_the_limit_and_no_deeper() {
        // The outermost one is not in another.
        assert_eq!(check(&nested(1), 0), Ok(()));
        assert_eq!(check(&nested(4), 3), Ok(()));
        let refused = check(&nested(5), 3).expect_err("too deep");
        assert!(refused.0.contains("more than 3 deep"), "{refused}");
    }

    #[test]
    fn many_components_beside_each_other_are_not_deep() {
        let text = format!("(component {})", "(component (component) (core module))".repeat(100));
        assert_eq!(check(&wat::parse_str(text).expect("assembled"), 2), Ok(()));
    }

    #[test]
    fn what_is_malformed_is_left_to_the_compiler() {
        let whole = nested(5);
        for end in 0..whole.len() {
            check(&whole[..end], 10).expect("passes");
        }
        let mut lying = whole;
        // The inner component says that it is longer than the outer one.
        lying[9] = 0x7f;
        assert_eq!(check(&lying, 10), Ok(()));
        assert_eq!(check(b"\0asm\x0d\0\x01\0\x04\xff\xff\xff\xff\xff\xff", 10), Ok(()));
    }
}
