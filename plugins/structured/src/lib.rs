//! The plugin `structured`: checks of answers that are JSON or numbers.
//! Several checks share one call, and each is an output of its own.

mod check;
mod config;
mod extract;
mod numeric;
#[cfg(target_arch = "wasm32")]
mod seed;

use assay_plugin::prelude::*;

pub use check::Check;
pub use config::{CheckConfig, Config, Extract, Kind};

/// Checks structured answers: JSON validity, JSON Schema, numeric closeness
#[scorer(name = "structured", prepare = prepare, outputs = outputs)]
fn structured(checks: &Checks, item: &Interaction) -> Vec<Score> {
    checks.0.iter().filter_map(|check| check.score(item)).collect()
}

/// The checks of a configuration, in its order.
struct Checks(Vec<Check>);

fn prepare(config: Config) -> Result<Checks, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut checks = Vec::<Check>::new();
    if config.checks.is_empty() {
        problems.push(Problem { path: "/checks".into(), message: "at least one check is needed".into() });
    }
    for (index, check) in config.checks.into_iter().enumerate() {
        let path = format!("/checks/{index}");
        match Check::new(check, &path) {
            Ok(check) if checks.iter().any(|other| other.name() == check.name()) => problems.push(Problem {
                path: format!("{path}/name"),
                message: format!("`{}` is the name of two checks: give one of them another", check.name()),
            }),
            Ok(check) => checks.push(check),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Checks(checks)) } else { Err(problems) }
}

fn outputs(checks: &Checks) -> Vec<Output> {
    checks.0.iter().map(Check::output).collect()
}
