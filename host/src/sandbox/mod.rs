//! Where plugins run: the only user of wasmtime, and only ever in a child
//! process.
//!
//! An [`Engine`] loads artifacts that [`compile`] made, possibly in another
//! process. Each call gets a fresh store, so nothing that a guest keeps
//! outlives its batch.

mod bindings;
mod compile;
mod convert;
mod engine;
mod guest;
mod imports;
mod judge;
mod nesting;
mod plugin;
mod printed;

pub use bindings::v0_1::assay::plugin::types::{Interaction as GuestInteraction, Session as GuestSession};
pub use compile::compile;
pub use convert::{interaction as convert_interaction, session as convert_session};
pub use engine::Engine;
pub use judge::Judge;
pub use plugin::{Called, Plugin};

/// Why a component cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);
