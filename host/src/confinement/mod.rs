//! What a worker process takes away from itself before it does anything else.
//!
//! This is the second boundary: a plugin that breaks out of wasmtime finds a
//! process without files, network, keys or other processes. It is the first
//! thing that a worker's `main` does, while it has one thread: Landlock covers
//! the thread that asks and those that it starts later. What the system lacks
//! is reported, never passed over in silence.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod system_calls;

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub use system_calls::{ALLOWED, ALLOWED_WITH_CONDITIONS, FATAL};

/// One thing that confinement takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// No descriptor but the socket and the standard three.
    Descriptors,
    /// Limits on memory, files and core dumps.
    ResourceLimits,
    /// The process dies with the daemon.
    DeathWithDaemon,
    /// No path can be opened (Landlock).
    FileSystem,
    /// Only the system calls that a worker needs (seccomp).
    SystemCalls,
}

impl std::fmt::Display for Boundary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Descriptors => "descriptors",
            Self::ResourceLimits => "resource limits",
            Self::DeathWithDaemon => "death with the daemon",
            Self::FileSystem => "file system (Landlock)",
            Self::SystemCalls => "system calls (seccomp)",
        })
    }
}

/// A boundary that could not be put up, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MissingBoundary {
    /// Which one.
    pub boundary: Boundary,
    /// What the system said.
    pub reason: String,
}

/// Takes everything away that the system can take away.
///
/// `data_bytes_max` bounds the process's private writable memory, in bytes.
/// The result lists what is missing; the caller passes it to the daemon, which
/// decides whether that is good enough.
#[cfg(target_os = "linux")]
pub fn confine(data_bytes_max: u64) -> Vec<MissingBoundary> {
    linux::confine(data_bytes_max)
}

/// Systems other than Linux have none of this: wasmtime is the only boundary.
#[cfg(not(target_os = "linux"))]
pub fn confine(_data_bytes_max: u64) -> Vec<MissingBoundary> {
    none("only on Linux")
}

/// The report of a process that takes nothing away.
pub fn none(reason: &str) -> Vec<MissingBoundary> {
    [
        Boundary::Descriptors,
        Boundary::ResourceLimits,
        Boundary::DeathWithDaemon,
        Boundary::FileSystem,
        Boundary::SystemCalls,
    ]
    .map(|boundary| MissingBoundary { boundary, reason: reason.into() })
    .into()
}
