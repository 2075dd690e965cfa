//! What the daemon and a worker say to each other, and how it is framed.
//!
//! Both sides are the same binary, yet the first frame carries a version and
//! every job an id, so that a remote worker can be of another build. Nothing
//! here knows of wasmtime or of the store.

mod frame;
mod message;

pub use frame::{Connection, FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter};
pub use message::{
    AskId, BatchFailure, Call, FromWorker, ItemAnswer, JobEvent, JobId, JobItem, JobSession, Limits, LogLine,
    LoggedLevel, PluginSlot, Reply, SessionAnswer, Task, ToWorker,
};
