//! A component file: its nesting, its imports and exports, and the compiler.
#![no_main]

use assay::protocol::Limits;
use assay::sandbox::compile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Either it is a plugin or there is a reason.
    if let Err(refused) = compile(bytes, &Limits::default()) {
        assert!(!refused.0.is_empty());
    }
});
