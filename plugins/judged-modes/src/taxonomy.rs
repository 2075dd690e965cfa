//! A configuration that was checked, with the system message that it makes.

use assay_plugin::prelude::*;

use crate::config::{Config, ModeConfig};
use crate::prompt;

const MODES_MAX: usize = 30;
const TEXT_BYTES_MAX: usize = 20_000;

/// The host shows what failed and has no label under this name.
const RESERVED: &str = "unclassified";

/// Failure modes that can be asked for.
#[derive(Debug, Clone)]
pub struct Taxonomy {
    /// As it was written.
    pub config: Config,
    /// The system message. It depends on nothing that is judged.
    pub system: String,
    /// JSON Schema of a reply.
    pub schema: String,
}

impl Taxonomy {
    /// Checks a configuration.
    pub fn new(config: Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: &str, message: String| problems.push(Problem { path: path.into(), message });
        if config.profile.is_empty() {
            problem("/profile", "the name is empty".into());
        }
        if !(0.0..=1.0).contains(&config.confidence_min) {
            problem("/confidence_min", format!("{} is not 0 to 1", config.confidence_min));
        }
        if let Some(temperature) = config.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            problem("/temperature", format!("{temperature} is not 0 to 2"));
        }
        if config.output_tokens_max == Some(0) {
            problem("/output_tokens_max", "a reply has at least one token".into());
        }
        if config.instructions.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            problem("/instructions", format!("over {TEXT_BYTES_MAX} bytes"));
        }
        if config.modes.is_empty() || config.modes.len() > MODES_MAX {
            problem("/modes", format!("{} modes are not 1 to {MODES_MAX}", config.modes.len()));
        }
        for (index, mode) in config.modes.iter().enumerate() {
            let path = format!("/modes/{index}");
            if !is_name(&mode.name) {
                let message = "a name has up to 64 lower-case letters, digits and `_`, a letter first";
                problem(&format!("{path}/name"), message.into());
            }
            if mode.name == RESERVED {
                let message = format!("`{RESERVED}` is what failed and has no mode: a plugin cannot give it");
                problem(&format!("{path}/name"), message);
            }
            if config.modes[..index].iter().any(|other| other.name == mode.name) {
                problem(&format!("{path}/name"), format!("`{}` is there twice", mode.name));
            }
            if mode.definition.trim().is_empty() || text_bytes(mode) > TEXT_BYTES_MAX {
                let message =
                    format!("a definition has at least a word, and with examples {TEXT_BYTES_MAX} bytes");
                problem(&format!("{path}/definition"), message);
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { system: prompt::system(&config), schema: prompt::schema(&config), config })
    }

    /// The one output: which of the modes.
    pub fn outputs(&self) -> Vec<Output> {
        let names = self.config.modes.iter().map(|mode| mode.name.clone()).collect();
        vec![Output {
            name: "judged-modes".into(),
            capability: Capability::Label,
            kind: OutputKind::Category(names),
            direction: Direction::Neutral,
            description: Some("The team's own failure modes, as a judge finds them".into()),
        }]
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 64
}

fn text_bytes(mode: &ModeConfig) -> usize {
    mode.definition.len() + mode.examples.iter().map(String::len).sum::<usize>()
}
