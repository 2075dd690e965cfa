//! The worker protocol, read by either side from another that was broken into.
#![no_main]

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use assay::protocol::{Connection, FromWorker, ToWorker};
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;

/// A socket holds this much without a reader.
const BYTES_MAX: usize = 64 << 10;

fn read<M: DeserializeOwned>(bytes: &[u8]) {
    let (mut there, here) = UnixStream::pair().expect("a socket pair");
    there.write_all(bytes).expect("sent");
    drop(there);
    let mut connection = Connection::new(here).expect("clonable");
    while connection.reader.receive::<M>().is_ok() {}
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    read::<FromWorker>(bytes);
    read::<ToWorker<'static>>(bytes);
});
