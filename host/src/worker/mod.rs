//! The child process's side: receives tasks, runs plugins, answers.
//!
//! A worker holds no key, no file and no network of its own. It ends when its
//! socket closes. The thread that reads the socket never waits for a guest.

mod compile;
mod judging;
mod line;
mod run;
mod schema;
mod structured;

use std::io;
use std::os::unix::net::UnixStream;

use crate::confinement::{MissingBoundary, confine, none};
use crate::protocol::{Connection, FrameError};
use crate::sandbox::Refused;

pub use compile::compile_and_exit;
pub use run::run;

/// Why a worker ended before its socket closed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The socket or what came over it.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame was not the one that this worker waits for.
    #[error("the first frame is not `{0}`")]
    OutOfOrder(&'static str),
    /// The engine did not start.
    #[error(transparent)]
    Sandbox(#[from] Refused),
    /// The operating system refused something.
    #[error("failed to set the worker up: {0}")]
    Io(#[from] io::Error),
}

/// What a worker takes away from itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// All that the system can take away; private memory up to so many bytes.
    Full {
        /// The limit.
        data_bytes_max: u64,
    },
    /// Nothing. Only benchmarks want this, to see what confinement costs.
    None,
}

impl Confinement {
    fn apply(self) -> Vec<MissingBoundary> {
        match self {
            Self::Full { data_bytes_max } => confine(data_bytes_max),
            Self::None => none("switched off"),
        }
    }
}

/// The socket that the daemon gave this process as its standard input.
fn inherited_connection() -> io::Result<Connection> {
    use std::os::fd::AsFd as _;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    Connection::new(UnixStream::from(socket))
}
