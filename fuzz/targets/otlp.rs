//! Requests of OpenTelemetry, in both encodings.
#![no_main]

use assay::ingest::otlp::{Encoding, decode_logs, decode_traces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        decode_traces(bytes, encoding).ok();
        decode_logs(bytes, encoding).ok();
    }
});
