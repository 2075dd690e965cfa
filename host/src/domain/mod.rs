//! What Assay talks about: interactions, ids, digests, rules and schedules.
//!
//! No input or output happens here, and nothing here knows of HTTP, SQL or
//! WebAssembly.

pub mod completion;
pub mod digest;
pub mod ids;
pub mod interaction;
pub mod plugin;
