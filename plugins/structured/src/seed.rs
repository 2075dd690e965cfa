//! The seed of the hash tables that the JSON Schema library uses. A plugin has
//! no randomness, and a fixed seed makes its answers repeatable. The host's
//! limits on time and memory stand where a random seed would defend.

/// What `getrandom` calls with its `custom` backend.
///
/// # Safety
///
/// `destination` must be writable for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    for offset in 0..length {
        // SAFETY: the caller promises `length` writable bytes.
        unsafe { destination.add(offset).write((offset as u8).wrapping_mul(37).wrapping_add(11)) };
    }
    Ok(())
}
