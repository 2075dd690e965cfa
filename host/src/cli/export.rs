//! `assay export`: what production holds, as files.

use std::path::PathBuf;

use clap::Args;

use super::import::instant;
use super::{Context, Failure, progress, table, wrong};
use crate::app::{ExportError, ExportFormat, export};
use crate::domain::clock::Timestamp;
use crate::domain::slice::Slice;

/// What `--help` says beneath the options.
const HELP: &str = "\
Four files are made: interactions, scores (of runs over production), signals and events. docs/export.md describes their \
columns. The data directory is only read, and a daemon may work in it; what comes in meanwhile may or may not be \
in the files. JSON lines of interactions and events are what `assay import` takes.

Examples:
  assay export --parquet out --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
  assay export --jsonl out --class billing";

#[derive(Args)]
#[command(after_help = HELP)]
pub struct Export {
    /// Write Parquet files, compressed with zstd, into this folder
    #[arg(long, value_name = "FOLDER", required_unless_present = "jsonl")]
    parquet: Option<PathBuf>,
    /// Write files of JSON lines into this folder
    #[arg(long, value_name = "FOLDER")]
    jsonl: Option<PathBuf>,
    /// Only what started at this instant or later
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<Timestamp>,
    /// Only what started before this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Option<Timestamp>,
    /// Only this request class; `unclassified` for those without
    #[arg(long)]
    class: Option<String>,
    /// Only this prompt template
    #[arg(long)]
    template: Option<String>,
    /// Only this version of the prompt template
    #[arg(long)]
    template_version: Option<String>,
    /// Only this model, as the response named it
    #[arg(long)]
    model: Option<String>,
    /// Only this version of the service
    #[arg(long)]
    service_version: Option<String>,
    /// Only this user
    #[arg(long)]
    user: Option<String>,
    /// Only this tenant
    #[arg(long)]
    tenant: Option<String>,
}

pub fn run(context: &Context, command: Export) -> Result<(), Failure> {
    let slice = Slice {
        request_class: command.class,
        template: command.template,
        template_version: command.template_version,
        model: command.model,
        service_version: command.service_version,
        user: command.user,
        tenant: command.tenant,
        from: command.from,
        to: command.to,
    };
    let wanted = [(command.parquet, ExportFormat::Parquet), (command.jsonl, ExportFormat::Jsonl)];
    let mut made = Vec::new();
    for (folder, format) in wanted {
        let Some(folder) = folder else { continue };
        let bar = progress::rows();
        let exported = export(&context.config.data_dir, &slice, format, &folder, |table, rows| {
            bar.set_message(table);
            bar.set_position(rows);
        });
        bar.finish_and_clear();
        made.extend(exported.map_err(|error| match error {
            ExportError::Exists(_) => wrong(error),
            other => other.into(),
        })?);
    }
    context.print(&made, |made| {
        let mut table = table::table(&["file", "rows", "bytes"]);
        for file in made {
            table.add_row([file.file.display().to_string(), file.rows.to_string(), file.bytes.to_string()]);
        }
        println!("{table}");
    })
}
