//! Asks the product under test for answers.
//!
//! A [`Target`](crate::domain::target::Target) says where the product listens and how to ask it; a
//! [`TargetClient`] asks, through the chat completions interface that most
//! model servers and gateways speak. What comes back is an [`Answered`], or a
//! [`TargetError`] that tells a product that failed (data, part of the
//! measurement) from a target that is set up wrongly (the run should stop).
//!
//! Nothing here knows of runs, stores or scores. What must stay true: a key is
//! read when it is used and stands in no log, error or file; redirects are not
//! followed; every wait, retry and body has a limit; dropping the future ends
//! the request.

mod assembly;
mod attempt;
mod chat;
mod client;
mod config;
mod errors;
mod keys;
mod request;
mod retry;
mod stream;

pub use assembly::Completion;
pub use attempt::{Again, BODY_BYTES_MAX, Fault, fetch};
pub use chat::{Answered, TargetClient};
pub use client::client_builder;
pub use config::{CONCURRENCY_MAX, ConfigError, RETRIES_MAX, TIMEOUT_MS_MAX, endpoint};
pub use errors::{Failure, TargetError, TimeLimit};
pub use keys::{Key, KeyError};
pub use request::{Question, QuestionError, chat as chat_messages};
pub use retry::{Backoff, RETRY_AFTER_MAX, is_passing, retry_after};
pub use stream::{LINE_BYTES_MAX, cause};
