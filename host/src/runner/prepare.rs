//! From a definition to plugins that are ready: each pinned, loaded, and asked
//! what its configuration gives.

use std::sync::Arc;

use super::{Runner, RunnerError};
use crate::catalogue::CONTRACT;
use crate::domain::evaluation::{
    CompletionPolicy, Definition, DefinitionProblem, OutputRef, Scorer, find_output,
};
use crate::domain::plugin::{Capability, Direction, Output, OutputKind, Problem, shortened};
use crate::domain::run::RunScorer;
use crate::protocol::BatchFailure;
use crate::store::StoreError;
use crate::workers::{Artifact, ScorerCall};

/// Outputs of one scorer: each item has a row for each of them.
const OUTPUTS_MAX: usize = 256;
/// Their names, categories and descriptions together: every run keeps them.
const OUTPUTS_BYTES_MAX: usize = 64 << 10;
/// What a plugin finds wrong with a configuration.
const PROBLEMS_MAX: usize = 100;
const TOLD_BYTES_MAX: usize = 2 << 10;

/// A scorer, classifier or extractor that can run.
#[derive(Debug, Clone)]
pub(super) struct ReadyPlugin {
    pub pinned: RunScorer,
    pub artifact: Arc<Artifact>,
    pub config: Arc<str>,
    pub batch_max: u32,
    /// Which of the plugin's functions is meant.
    pub capability: Capability,
    /// Whether it asks a judge.
    pub judges: bool,
}

impl ReadyPlugin {
    pub(super) fn call(&self) -> ScorerCall {
        ScorerCall {
            plugin: Arc::clone(&self.artifact),
            capability: self.capability,
            config: Arc::clone(&self.config),
            judge: None,
        }
    }
}

/// A completion policy whose outputs are known to exist.
#[derive(Debug, Clone)]
pub(super) struct ReadyPolicy {
    pub policy: CompletionPolicy,
    /// Where each output that a rule names is found.
    pub outputs: Vec<(String, OutputRef)>,
}

impl Runner {
    /// Pins the current builds. Every problem of the definition is reported
    /// at once, with its place.
    pub(super) async fn prepare(
        &self,
        definition: &Definition,
    ) -> Result<(Vec<ReadyPlugin>, Option<ReadyPolicy>), RunnerError> {
        let mut problems = definition.problems();
        if let Some(target) = definition.source.target()
            && let Err(error) = target.validate()
        {
            problems.push(DefinitionProblem {
                path: format!("/source/target/{}", error.field),
                message: error.reason,
            });
        }
        let mut ready = Vec::new();
        for (place, capability, plugin) in definition.plugins() {
            match self.prepare_plugin(plugin, capability, &place).await? {
                Ok(plugin) => ready.push(plugin),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(RunnerError::Definition(problems));
        }
        let policy = match &definition.completion {
            None => None,
            Some(policy) => Some(ready_policy(policy, &ready).map_err(RunnerError::Definition)?),
        };
        Ok((ready, policy))
    }

    /// Pins a plugin for one of its capabilities. `place` is the JSON Pointer to
    /// where it is asked for.
    pub(super) async fn prepare_plugin(
        &self,
        wanted: &Scorer,
        capability: Capability,
        place: &str,
    ) -> Result<Result<ReadyPlugin, Vec<DefinitionProblem>>, RunnerError> {
        let problem = |below: &str, message: String| {
            Ok(Err(vec![DefinitionProblem { path: format!("{place}{below}"), message }]))
        };
        let plugin = match self.shared.catalogue.find(&wanted.plugin, wanted.digest).await {
            Ok(plugin) => plugin,
            Err(error @ StoreError::NotFound { .. }) => return problem("/plugin", error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let descriptor = plugin.descriptor;
        if !descriptor.capabilities.contains(&capability) {
            let interface = capability.interface();
            return problem("/plugin", format!("plugin `{}` exports no `{interface}`", descriptor.name));
        }
        let artifact = self.shared.catalogue.artifact(plugin.digest).await?;
        let config = wanted.config.to_string();
        let found = |problems: Vec<Problem>| {
            let told = problems.into_iter().take(PROBLEMS_MAX).map(|problem| DefinitionProblem {
                path: shortened(format!("{place}/config{}", problem.path), TOLD_BYTES_MAX),
                message: shortened(problem.message, TOLD_BYTES_MAX),
            });
            Ok(Err(told.collect()))
        };
        let failed = |failure: BatchFailure| {
            let told = shortened(failure.unscored.message, TOLD_BYTES_MAX);
            problem("/config", format!("plugin `{}` failed on it: {told}", descriptor.name))
        };
        let workers = &self.shared.workers;
        let schema = descriptor.config_schema_json.clone();
        match workers.validate(plugin.digest, schema, config.clone()).await {
            Err(failure) => return failed(failure),
            Ok(Ok(problems)) if !problems.is_empty() => return found(problems),
            // A schema that was right when the plugin was accepted.
            Ok(_) => {}
        }
        let outputs = match workers.configure(&artifact, &config).await {
            Err(failure) => return failed(failure),
            Ok(Err(problems)) => return found(problems),
            Ok(Ok(outputs)) => {
                outputs.into_iter().filter(|output| output.capability == capability).collect::<Vec<_>>()
            }
        };
        let outputs = if capability == Capability::Label { failure_modes(outputs) } else { outputs };
        if let Err(message) = check_outputs(&outputs) {
            return problem("/config", message);
        }
        let pinned = RunScorer {
            name: wanted.name().to_owned(),
            plugin: descriptor.name,
            version: descriptor.version,
            digest: plugin.digest,
            contract: CONTRACT.into(),
            config: wanted.config.clone(),
            outputs,
        };
        Ok(Ok(ReadyPlugin {
            pinned,
            artifact,
            config: config.into(),
            batch_max: descriptor.batch_max,
            capability,
            judges: descriptor.judges,
        }))
    }

    /// Loads what a run pinned when it started.
    pub(super) async fn load_pinned(&self, pinned: RunScorer) -> Result<ReadyPlugin, RunnerError> {
        let plugin = self.shared.catalogue.find(&pinned.plugin, Some(pinned.digest)).await?;
        let artifact = self.shared.catalogue.artifact(pinned.digest).await?;
        let config = pinned.config.to_string().into();
        let capability = if pinned.is_classifier() { Capability::Label } else { Capability::Score };
        let descriptor = plugin.descriptor;
        Ok(ReadyPlugin {
            pinned,
            artifact,
            config,
            batch_max: descriptor.batch_max,
            capability,
            judges: descriptor.judges,
        })
    }
}

/// Each failure mode as an output of its own: the confidence in it.
fn failure_modes(declared: Vec<Output>) -> Vec<Output> {
    declared
        .into_iter()
        .flat_map(|output| {
            let modes = match output.kind {
                OutputKind::Category(modes) => modes,
                OutputKind::Number { .. } | OutputKind::Boolean => vec![output.name],
            };
            modes.into_iter().map(move |name| Output {
                name,
                capability: Capability::Label,
                kind: OutputKind::Number { low: 0.0, high: 1.0 },
                direction: Direction::LowerIsBetter,
                description: output.description.clone(),
            })
        })
        .collect()
}

/// Refuses a declaration that no answer could be held against.
fn check_outputs(outputs: &[Output]) -> Result<(), String> {
    if outputs.is_empty() {
        return Err("this configuration gives no output".into());
    }
    if outputs.len() > OUTPUTS_MAX {
        return Err(format!("the plugin declares {} outputs, over {OUTPUTS_MAX}", outputs.len()));
    }
    let bytes: usize = outputs.iter().map(size).sum();
    if bytes > OUTPUTS_BYTES_MAX {
        return Err(format!("the plugin's outputs have {bytes} bytes of names, over {OUTPUTS_BYTES_MAX}"));
    }
    for (at, output) in outputs.iter().enumerate() {
        if outputs[..at].iter().any(|other| other.name == output.name) {
            return Err(format!("the plugin declares output `{}` twice", output.name));
        }
        if let OutputKind::Number { low, high } = output.kind
            && !(low.is_finite() && high.is_finite() && low < high)
        {
            return Err(format!("output `{}` has the range [{low}, {high}]", output.name));
        }
    }
    Ok(())
}

fn size(output: &Output) -> usize {
    let names = match &output.kind {
        OutputKind::Category(names) => names.iter().map(String::len).sum(),
        OutputKind::Number { .. } | OutputKind::Boolean => 0,
    };
    output.name.len() + output.description.as_ref().map_or(0, String::len) + names
}

/// Finds each output that a rule names.
pub(super) fn ready_policy(
    policy: &CompletionPolicy,
    scorers: &[ReadyPlugin],
) -> Result<ReadyPolicy, Vec<DefinitionProblem>> {
    let declared: Vec<_> =
        scorers.iter().map(|ready| (ready.pinned.name.as_str(), &ready.pinned.outputs[..])).collect();
    let mut outputs = Vec::new();
    let mut problems = Vec::new();
    for rule in policy.rules() {
        for name in rule.outputs() {
            let found = find_output(name, &declared).and_then(|found| {
                match declared[found.scorer].1[found.output].kind {
                    OutputKind::Category(_) => {
                        Err(format!("output `{name}` is a category: it has no threshold"))
                    }
                    _ => Ok(found),
                }
            });
            match found {
                Ok(found) => outputs.push((name.to_owned(), found)),
                Err(message) => problems.push(DefinitionProblem { path: "/completion".into(), message }),
            }
        }
    }
    if problems.is_empty() { Ok(ReadyPolicy { policy: policy.clone(), outputs }) } else { Err(problems) }
}
