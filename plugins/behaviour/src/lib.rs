//! The plugin `behaviour`: what users did after an answer, from whole sessions.
//!
//! It reads closed sessions only: that nobody asked again is known no earlier.

mod config;
mod outputs;
mod rating;
mod signals;
pub mod similarity;
mod timeline;
mod words;

use assay_plugin::prelude::*;

pub use config::{AbandonConfig, Complaint, Config, RephraseConfig, Reported, Rules, Scale};

/// What users did after an answer: asked again, copied, reported, rated, gave up
#[extractor(name = "behaviour", batch_max = 256, prepare = Rules::new, outputs = outputs::outputs)]
fn behaviour(rules: &Rules, session: &Session) -> Vec<Signal> {
    signals::signals(rules, session)
}
