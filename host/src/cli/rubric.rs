//! `assay rubric`: rubrics in files, checked and tried before they are used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Context, Failure, table, wrong};
use crate::app::App;
use crate::domain::clock::SystemClock;
use crate::domain::evaluation::Scorer;
use crate::domain::interaction::Interaction;
use crate::domain::plugin::OutputKind;
use crate::runner::{RunnerError, Trial};

/// The plugin that rubrics are for.
const PLUGIN: &str = "rubric";

#[derive(Subcommand)]
pub enum Rubric {
    /// Check a rubric and show what it gives
    Check {
        /// The rubric: TOML or JSON
        file: PathBuf,
    },
    /// Judge one answer with a rubric
    Try(Try),
}

#[derive(Args)]
pub struct Try {
    /// The rubric: TOML or JSON
    file: PathBuf,
    /// The judge's profile; that of the rubric, or the only one there is, where it is missing
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// An interaction: JSON, with `query`, `actual` and what else the rubric uses
    #[arg(long, value_name = "FILE", conflicts_with_all = ["query", "answer", "expected"])]
    interaction: Option<PathBuf>,
    /// What the user asked
    #[arg(long, required_unless_present = "interaction")]
    query: Option<String>,
    /// What the product answered
    #[arg(long, required_unless_present = "interaction")]
    answer: Option<String>,
    /// An acceptable answer; may be repeated
    #[arg(long)]
    expected: Vec<String>,
}

pub async fn run(context: Context, command: Rubric) -> Result<(), Failure> {
    let app = App::open_beside_daemon(&context.config, Arc::new(SystemClock)).await?;
    match command {
        Rubric::Check { file } => check(&context, &app, &file).await,
        Rubric::Try(command) => try_out(&context, &app, command).await,
    }
}

async fn check(context: &Context, app: &App, file: &Path) -> Result<(), Failure> {
    // What a rubric gives does not depend on who judges.
    let outputs = app.runner.outputs(&scorer(file, Some("any"))?).await.map_err(|error| told(file, error))?;
    context.print(&outputs, |outputs| {
        let mut table = table::table(&["output", "from", "to", "description"]);
        for output in outputs {
            let (from, to) = match &output.kind {
                OutputKind::Number { low, high } => (low.to_string(), high.to_string()),
                OutputKind::Boolean => ("no".into(), "yes".into()),
                OutputKind::Category(names) => (names.join(", "), String::new()),
            };
            let description = output.description.clone().unwrap_or_default();
            table.add_row([output.name.clone(), from, to, description]);
        }
        println!("{table}");
    })
}

async fn try_out(context: &Context, app: &App, command: Try) -> Result<(), Failure> {
    let interaction = match &command.interaction {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| wrong(format!("failed to read `{}`: {error}", path.display())))?;
            serde_json::from_str(&text).map_err(|error| wrong(format!("`{}`: {error}", path.display())))?
        }
        None => Interaction {
            query: command.query.unwrap_or_default(),
            actual: command.answer.unwrap_or_default(),
            expected: command.expected,
            ..Interaction::default()
        },
    };
    let profiles = app.judges.profiles();
    let only = profiles.first().copied().filter(|_| profiles.len() == 1);
    let profile = command.profile.as_deref().or(only);
    let scorer = scorer(&command.file, profile)?;
    let trial = app.runner.try_out(&scorer, interaction).await.map_err(|error| told(&command.file, error))?;
    context.print(&trial, print)?;
    if trial.scores.is_empty() { Err(anyhow::anyhow!("there is no score").into()) } else { Ok(()) }
}

fn print(trial: &Trial) {
    let mut table = table::table(&["output", "value", "reason"]);
    for score in &trial.scores {
        let value = score.value.map_or_else(|| score.category.clone().unwrap_or_default(), |v| v.to_string());
        let reason = score.detail.as_ref().and_then(|detail| detail["reason"].as_str()).unwrap_or_default();
        table.add_row([score.output.clone(), value, reason.to_owned()]);
    }
    for unscored in &trial.unscored {
        let output = unscored.output.clone().unwrap_or_else(|| "all".into());
        table.add_row([output, unscored.outcome.to_owned(), unscored.message.clone()]);
    }
    println!("{table}");
}

/// The rubric plugin with a file's rubric as its configuration, and with a
/// profile where the file names none.
fn scorer(file: &Path, profile: Option<&str>) -> Result<Scorer, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| wrong(format!("failed to read `{}`: {error}", file.display())))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut config: Value = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())
    }
    .map_err(|error| wrong(format!("`{}` is wrong: {error}", file.display())))?;
    if let (Some(fields), Some(profile)) = (config.as_object_mut(), profile)
        && !fields.contains_key("profile")
        && !fields.contains_key("jury")
    {
        fields.insert("profile".into(), profile.into());
    }
    Ok(Scorer { plugin: PLUGIN.into(), digest: None, name: None, config })
}

fn told(file: &Path, error: RunnerError) -> Failure {
    match error {
        RunnerError::Definition(problems) => {
            let told: Vec<_> = problems
                .iter()
                .map(|problem| {
                    let path = problem.path.strip_prefix("/config").unwrap_or(&problem.path);
                    format!("\n  {}: {}", if path.is_empty() { "/" } else { path }, problem.message)
                })
                .collect();
            wrong(format!("`{}` is wrong:{}", file.display(), told.concat()))
        }
        other => other.into(),
    }
}
