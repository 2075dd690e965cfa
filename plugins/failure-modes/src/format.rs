//! Whether an answer has the form that it must have.

use assay_plugin::prelude::*;
use serde_json::Value as Json;

use crate::Mode;
use crate::config::{Extract, FormatConfig};
use crate::detectors::{Detectors, label};

/// Sure: the form is the team's own. An answer that is empty has its own mode.
pub fn find(item: &Interaction, detectors: &Detectors) -> Option<Label> {
    let answer = item.actual.trim();
    if answer.is_empty() {
        return None;
    }
    let wrong = match detectors.config.wrong_format.as_ref()? {
        FormatConfig::Json { required, extract } => json(answer, required, *extract).err()?,
        FormatConfig::Regex { pattern } => {
            let is_right = detectors.format.as_ref().is_none_or(|regex| regex.is_match(&item.actual));
            (!is_right).then(|| format!("`{pattern}` does not match"))?
        }
        FormatConfig::OneOf { values } => {
            let folded = answer.to_lowercase();
            let is_right = values.iter().any(|value| value.trim().to_lowercase() == folded);
            (!is_right).then(|| format!("it is none of the {} texts", values.len()))?
        }
    };
    Some(label(Mode::WrongFormat, 1.0, wrong))
}

fn json(answer: &str, required: &[String], extract: Extract) -> Result<(), String> {
    let text = match extract {
        Extract::Whole => answer,
        Extract::Fenced => fenced(answer).unwrap_or(answer),
    };
    let value: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    match required.iter().find(|name| value.get(name).is_none()) {
        Some(name) => Err(format!("`{name}` is missing")),
        None => Ok(()),
    }
}

/// Inside of the first block that three backticks open and close.
fn fenced(answer: &str) -> Option<&str> {
    let (_, after) = answer.split_once("```")?;
    let (_language, block) = after.split_once('\n')?;
    block.split_once("```").map(|(inside, _)| inside)
}
