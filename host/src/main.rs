//! The `assay` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let worker = match std::env::args().nth(1).as_deref() {
        Some("worker") => assay::worker::run(),
        Some("compile-worker") => assay::worker::compile_and_exit(),
        _ => return ExitCode::FAILURE,
    };
    match worker {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}
