//! `assay run`: an evaluation from a file, through the daemon's own pipeline.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Context, Failure, MISSED, progress, table, wrong};
use crate::app::{App, ImportError, import_reference_set};
use crate::catalogue::CatalogueError;
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::digest::Digest;
use crate::domain::evaluation::{CompletionPolicy, Definition, Scorer};
use crate::domain::ids::EvaluationId;
use crate::domain::run::RunState;
use crate::domain::source::{ReferenceSource, Source};
use crate::domain::target::Target;
use crate::runner::{FailureModes, RunResult};

#[derive(Args)]
pub struct Run {
    /// The evaluation: a TOML file
    file: PathBuf,
    /// Exit with 3 where the completion rate is under this, or flagged
    #[arg(long, value_name = "RATE")]
    fail_under: Option<f64>,
}

/// The file, as users write it. Paths are relative to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFile {
    name: String,
    data: Data,
    #[serde(default)]
    scorers: Vec<FileScorer>,
    #[serde(default)]
    classifiers: Vec<FileScorer>,
    #[serde(default)]
    completion: Option<CompletionPolicy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// JSON lines.
    file: PathBuf,
    #[serde(default)]
    recording: Option<String>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    trials: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileScorer {
    /// Name of an installed plugin, or …
    plugin: Option<String>,
    /// … a component file.
    file: Option<PathBuf>,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    config: Option<serde_json::Value>,
}

/// What the command prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    result: &'a RunResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_modes: Option<&'a FailureModes>,
}

pub async fn run(context: Context, command: Run) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&command.file)
        .map_err(|error| wrong(format!("failed to read `{}`: {error}", command.file.display())))?;
    let file: RunFile = toml::from_str(&text).map_err(|error| {
        wrong(format!("`{}` is wrong: {}", command.file.display(), error.to_string().trim_end()))
    })?;
    if command.fail_under.is_some() && file.completion.is_none() {
        return Err(wrong("--fail-under needs a `completion` rule in the file"));
    }
    let beside = command.file.parent().unwrap_or(Path::new("."));
    let app = App::open(&context.config, Arc::new(SystemClock)).await?;

    let data = beside.join(&file.data.file);
    let set = import(&app, &file.name, &data).await?;
    let mut scorers = Vec::new();
    for scorer in file.scorers {
        scorers.push(ready_scorer(&app, beside, scorer).await?);
    }
    let mut classifiers = Vec::new();
    for classifier in file.classifiers {
        classifiers.push(ready_scorer(&app, beside, classifier).await?);
    }
    let source = Source::ReferenceSet(ReferenceSource {
        reference_set: file.name.clone(),
        version: Some(set),
        recording: file.data.recording,
        target: file.data.target,
        trials: file.data.trials.unwrap_or(1),
    });
    let definition =
        Definition { name: file.name, source, scorers, classifiers, completion: file.completion };
    let problems = app.runner.check(&definition).await?;
    if !problems.is_empty() {
        let told: Vec<_> =
            problems.iter().map(|problem| format!("\n  {}: {}", problem.path, problem.message)).collect();
        return Err(wrong(format!("`{}` cannot run:{}", command.file.display(), told.concat())));
    }
    let id = keep(&app, definition).await?;
    let run = app.runner.start(id).await?;
    let run = progress::follow(&app, run).await?;
    match &run.state {
        RunState::Finished { .. } => {}
        RunState::Failed { reason, .. } => return Err(anyhow::anyhow!("the run failed: {reason}").into()),
        other => return Err(anyhow::anyhow!("the run was {}", other.as_str()).into()),
    }
    let result = app.runner.result(run.id).await?;
    let failed = match result.run.definition.classifiers[..] {
        [] => None,
        _ => Some(app.runner.failure_modes(run.id, None).await?),
    };
    context.print(&Printed { result: &result, failure_modes: failed.as_ref() }, |printed| {
        table::print_result(printed.result);
        if let Some(modes) = printed.failure_modes {
            table::print_failure_modes(modes);
        }
    })?;
    if let (Some(mark), Some(completion)) = (command.fail_under, &result.completion) {
        let rate = completion.rate.unwrap_or(0.0);
        if completion.flagged {
            let error = anyhow::anyhow!("cannot tell: too many answers are undetermined");
            return Err(Failure { code: MISSED, error });
        }
        if rate < mark {
            let error = anyhow::anyhow!("the completion rate {rate:.4} is under {mark}");
            return Err(Failure { code: MISSED, error });
        }
    }
    Ok(())
}

async fn import(app: &App, name: &str, path: &Path) -> Result<u32, Failure> {
    let file =
        File::open(path).map_err(|error| wrong(format!("failed to read `{}`: {error}", path.display())))?;
    let bar = progress::bytes(file.metadata()?.len(), "reading");
    let seen = {
        let bar = bar.clone();
        move |bytes| bar.set_position(bytes)
    };
    let lines = BufReader::with_capacity(1 << 20, file);
    let provenance = path.display().to_string();
    let made =
        import_reference_set(&app.store, name.to_owned(), provenance, SystemClock.now(), lines, seen).await;
    bar.finish_and_clear();
    match made {
        Ok(version) => Ok(version.number),
        Err(error @ ImportError::Lines { .. }) => Err(wrong(format!("`{}`: {error}", path.display()))),
        Err(error) => Err(error.into()),
    }
}

async fn ready_scorer(app: &App, beside: &Path, scorer: FileScorer) -> Result<Scorer, Failure> {
    let (plugin, digest) = match (scorer.plugin, scorer.file) {
        (Some(plugin), None) => (plugin, scorer.digest),
        (None, Some(file)) => {
            let path = beside.join(file);
            let component =
                std::fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
            let plugin = match app.catalogue.accept(component).await {
                Ok(plugin) => plugin,
                Err(CatalogueError::Rejected(rejected)) => {
                    return Err(wrong(format!("`{}`: {rejected}", path.display())));
                }
                Err(error) => return Err(error.into()),
            };
            (plugin.descriptor.name, Some(plugin.digest))
        }
        _ => return Err(wrong("a scorer or classifier has either `plugin` or `file`")),
    };
    let config = scorer.config.unwrap_or_else(|| serde_json::json!({}));
    Ok(Scorer { plugin, digest, name: scorer.name, config })
}

/// The same file changed is the same evaluation changed.
async fn keep(app: &App, definition: Definition) -> Result<EvaluationId, Failure> {
    let at = SystemClock.now();
    Ok(match app.store.evaluation_find(definition.name.clone()).await? {
        Some(known) => {
            app.store.evaluation_change(known.id, definition, at).await?;
            known.id
        }
        None => {
            let id = EvaluationId::new();
            app.store.evaluation_insert(id, definition, at).await?;
            id
        }
    })
}
