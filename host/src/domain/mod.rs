//! What Assay talks about: interactions, ids, digests, rules and schedules.
//!
//! No input or output happens here, and nothing here knows of HTTP, SQL or
//! WebAssembly.

pub mod clock;
pub mod completion;
pub mod digest;
pub mod evaluation;
pub mod ids;
pub mod interaction;
pub mod judge;
pub mod latency;
pub mod plugin;
pub mod production;
pub mod reclassification;
pub mod reference_set;
pub mod review;
pub mod role;
pub mod run;
pub mod schedule;
pub mod selection;
pub mod slice;
pub mod source;
pub mod target;
