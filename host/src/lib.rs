//! Assay measures the quality of an LLM product in production.
//!
//! Modules depend downward only; ARCHITECTURE.md draws the order and
//! `tests/module_directions.rs` holds it.

pub mod domain;
pub mod stats;
