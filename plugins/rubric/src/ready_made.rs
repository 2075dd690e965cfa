//! The rubrics that come with the plugin, each one file that users may copy.

use assay_plugin::Problem;

use crate::config::Config;

macro_rules! rubrics {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../rubrics/", $name, ".toml")))),*]
    };
}

/// Their names and their text.
pub const READY_MADE: [(&str, &str); 8] = rubrics![
    "appropriate-uncertainty",
    "brand-tone",
    "character-consistency",
    "factual-correctness",
    "faithfulness",
    "helpfulness",
    "reasoning-quality",
    "refusal-appropriateness",
];

/// A configuration with a ready-made rubric's criteria, what they use, and its
/// instructions before the team's own.
pub fn filled_in(config: &Config, name: &str) -> Result<Config, Vec<Problem>> {
    let problem = |path: &str, message: String| vec![Problem { path: path.into(), message }];
    if !config.criteria.is_empty() {
        return Err(problem("/rubric", "`rubric` and `criteria` exclude each other".into()));
    }
    let Some((_, text)) = READY_MADE.iter().find(|(ready_made, _)| *ready_made == name) else {
        let names = READY_MADE.map(|(name, _)| format!("`{name}`")).join(", ");
        return Err(problem("/rubric", format!("`{name}` is none of {names}")));
    };
    let rubric: Config = toml::from_str(text).map_err(|error| problem("/rubric", error.to_string()))?;
    let instructions: Vec<_> =
        [rubric.instructions, config.instructions.clone()].into_iter().flatten().collect();
    Ok(Config {
        rubric: None,
        criteria: rubric.criteria,
        uses: config.uses.clone().or(rubric.uses),
        instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")),
        ..config.clone()
    })
}
