//! `assay reclassify`: classes by the rules of now.

use std::sync::Arc;

use clap::Args;

use super::import::instant;
use super::{Context, Failure, progress, wrong};
use crate::app::{AppError, reclassify};
use crate::domain::clock::{SystemClock, Timestamp};
use crate::domain::reclassification::ReclassificationState;

/// What `--help` says beneath the options.
const HELP: &str = "\
The rules are `ingest.classes` of the configuration. What an interaction was before is kept and shown with it; a class that \
the client gave stays. Rules see what is stored, after redaction. Latencies by class are counted anew by the daemon, \
within about a minute. Restart the daemon first, so that what comes in has its class by the same rules. A command that was \
broken off goes on where it stood.

Examples:
  assay reclassify
  assay reclassify --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z";

#[derive(Args)]
#[command(after_help = HELP)]
pub struct Reclassify {
    /// Only what started at this instant or later
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<Timestamp>,
    /// Only what started before this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Option<Timestamp>,
}

pub async fn run(context: Context, command: Reclassify) -> Result<(), Failure> {
    let bar = progress::rows();
    let done = reclassify(&context.config, Arc::new(SystemClock), command.from, command.to, |running| {
        bar.set_message("classifying");
        bar.set_position(running.progress.seen_row);
    })
    .await;
    bar.finish_and_clear();
    let done = done.map_err(|error| match error {
        AppError::Ingest(error) => wrong(format!("the setting `ingest` is wrong: {error}")),
        other => other.into(),
    })?;
    context.print(&done, |done| {
        let progress = &done.progress;
        println!(
            "{} interactions have another class now, {} have the one that they had, {} keep the client's ({})",
            progress.changed,
            progress.examined - progress.changed,
            progress.kept,
            done.rules
        );
    })?;
    if let ReclassificationState::Superseded { .. } = done.state {
        return Err(anyhow::anyhow!("a reclassification by other rules was asked for meanwhile").into());
    }
    Ok(())
}
