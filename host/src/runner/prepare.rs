//! From a definition to plugins that are ready: each pinned, loaded, and asked
//! what its configuration gives.

use std::sync::Arc;

use super::{Runner, RunnerError};
use crate::catalogue::CONTRACT;
use crate::domain::evaluation::{
    CompletionPolicy, Definition, DefinitionProblem, OutputRef, Scorer, find_output,
};
use crate::domain::plugin::{Capability, OutputKind};
use crate::domain::run::RunScorer;
use crate::store::StoreError;
use crate::workers::{Artifact, ScorerCall};

/// A scorer or an extractor that can run.
#[derive(Debug, Clone)]
pub(super) struct ReadyPlugin {
    pub pinned: RunScorer,
    pub artifact: Arc<Artifact>,
    pub config: Arc<str>,
    pub batch_max: u32,
}

impl ReadyPlugin {
    pub(super) fn call(&self) -> ScorerCall {
        ScorerCall { plugin: Arc::clone(&self.artifact), config: Arc::clone(&self.config) }
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
        for (index, scorer) in definition.scorers.iter().enumerate() {
            let place = format!("/scorers/{index}");
            match self.prepare_plugin(scorer, Capability::Score, &place).await? {
                Ok(scorer) => ready.push(scorer),
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
        let schema = serde_json::from_str(&descriptor.config_schema_json).unwrap_or_default();
        if let Ok(schema) = jsonschema::validator_for(&schema) {
            let found: Vec<_> = schema
                .iter_errors(&wanted.config)
                .map(|error| DefinitionProblem {
                    path: format!("{place}/config{}", error.instance_path()),
                    message: error.to_string(),
                })
                .collect();
            if !found.is_empty() {
                return Ok(Err(found));
            }
        }
        let artifact = self.shared.catalogue.artifact(plugin.digest).await?;
        let config = wanted.config.to_string();
        let outputs = match self.shared.workers.configure(&artifact, &config).await {
            Err(failure) => {
                let told = failure.unscored.message;
                return problem("/config", format!("plugin `{}` failed on it: {told}", descriptor.name));
            }
            Ok(Err(found)) => {
                let found = found.into_iter().map(|problem| DefinitionProblem {
                    path: format!("{place}/config{}", problem.path),
                    message: problem.message,
                });
                return Ok(Err(found.collect()));
            }
            Ok(Ok(outputs)) => {
                outputs.into_iter().filter(|output| output.capability == capability).collect::<Vec<_>>()
            }
        };
        if outputs.is_empty() {
            return problem("/config", "this configuration gives no output".into());
        }
        for (at, output) in outputs.iter().enumerate() {
            if outputs[..at].iter().any(|other| other.name == output.name) {
                return problem("/config", format!("the plugin declares output `{}` twice", output.name));
            }
            if let OutputKind::Number { low, high } = output.kind
                && !(low.is_finite() && high.is_finite() && low < high)
            {
                return problem("/config", format!("output `{}` has the range [{low}, {high}]", output.name));
            }
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
        Ok(Ok(ReadyPlugin { pinned, artifact, config: config.into(), batch_max: descriptor.batch_max }))
    }

    /// Loads what a run pinned when it started.
    pub(super) async fn load_pinned(&self, pinned: RunScorer) -> Result<ReadyPlugin, RunnerError> {
        let plugin = self.shared.catalogue.find(&pinned.plugin, Some(pinned.digest)).await?;
        let artifact = self.shared.catalogue.artifact(pinned.digest).await?;
        let config = pinned.config.to_string().into();
        Ok(ReadyPlugin { pinned, artifact, config, batch_max: plugin.descriptor.batch_max })
    }
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
