//! Assay measures the quality of an LLM product in production.
//!
//! Modules depend downward only; ARCHITECTURE.md draws the order and
//! `tests/module_directions.rs` holds it.

pub mod app;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod confinement;
pub mod domain;
pub mod export;
mod fault;
pub mod http;
pub mod ingest;
pub mod judge;
pub mod protocol;
pub mod runner;
pub mod sandbox;
pub mod scheduler;
pub mod stats;
pub mod store;
pub mod targets;
pub mod worker;
pub mod workers;
