//! `assay import`: interactions and events from files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::{Context, Failure, progress, wrong};
use crate::app::{
    AppError, DaemonClient, DaemonError, Destination, FileImport, FileImportError, Imported, Intake,
    import_file,
};
use crate::domain::clock::{Clock as _, SystemClock, Timestamp};
use crate::ingest::file::{Content, Format, Mapping, MappingOptions, TimeFormat, content_name};

/// Bad rows that are printed for people.
const PRINTED_MAX: usize = 20;

/// What `--help` says beneath the options.
const HELP: &str = "\
Without --map, a line of JSON is what `POST /v1/interactions` takes (with --events, `POST /v1/events`), \
and a column of a table is the field of its name. With --map, only the columns that are named are taken. \
FIELD is a field of an interaction, with a dot before what is inside it: query, actual, expected, user, session, \
model, template, request_class, cost, started_at, timing.total_us, timing.first_token_us, usage.input, usage.output, \
usage.cached_input, metadata.NAME, extra.NAME and so on. Durations may be in other units: timing.total_ms, \
timing.first_token_s. COLUMN is a column's name, or a path into a structured one.

Rows have ids: of --key, else of the field `id`, else of the file's content and the row's number. So a file \
that is imported again counts once, also with other options: what is there stays as it is.

A row that cannot be used is told by its number, and the others stay. The command exits with 1 where not one row \
could be used.

Examples:
  assay import old-traffic.jsonl
  assay import trace.csv --map started_at=TIMESTAMP --map usage.input=ContextTokens \\
      --map usage.output=GeneratedTokens --time-format '%Y-%m-%d %H:%M:%S%.f' --set service=azure
  assay import trace.jsonl --map started_at=timestamp --map usage.input=input_length \\
      --time-format ms --time-origin 2024-01-01T00:00:00Z
  assay import clicks.parquet --events --set kind=copied --map interaction=answer_id --url http://localhost:7717";

#[derive(Args)]
#[command(after_help = HELP)]
pub struct Import {
    /// The file
    file: PathBuf,
    /// How it is written; its name's ending says it where this is missing
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file holds events, and not interactions
    #[arg(long)]
    events: bool,
    /// Take a field from a column; may be given several times
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = pair)]
    map: Vec<(String, String)>,
    /// Give every row this value; may be given several times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The column that names a row: what is sent again under the same name counts once
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// How instants are written where they are not RFC 3339: a pattern such as '%Y-%m-%d %H:%M:%S%.f' (UTC where it
    /// has no %z), or s, ms, us, ns for a number of them since 1970
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// Count the numbers of --time-format from this instant, and not from 1970
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    time_origin: Option<Timestamp>,
    /// Send to a running daemon, with the token of ASSAY_TOKEN where it needs one; without it the data directory is
    /// written, and no daemon may run there
    #[arg(long, env = "ASSAY_URL", value_name = "URL")]
    url: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        _ => Err("a field, `=`, and what stands there".into()),
    }
}

/// Reads an RFC 3339 instant.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    TimeFormat::default()
        .read(&serde_json::Value::from(text))
        .map_err(|_| "an instant is written as 2024-01-01T00:00:00Z".to_owned())
}

pub async fn run(context: Context, command: Import) -> Result<(), Failure> {
    let format = command.format.or_else(|| Format::of_name(&command.file)).ok_or_else(|| {
        wrong(format!(
            "the name of `{}` does not say how it is written: add --format",
            command.file.display()
        ))
    })?;
    let times = TimeFormat::parse(command.time_format.as_deref(), command.time_origin)
        .map_err(|reason| wrong(format!("--time-format: {reason}")))?;
    let content = if command.events { Content::Events } else { Content::Interactions };
    let options = MappingOptions { columns: command.map, constants: command.set, key: command.key, times };
    let name = content_name(&command.file).map_err(wrong)?;
    let mapping = Mapping::new(content, options, name).map_err(wrong)?;
    let to = destination(&context, command.url.as_deref())?;

    let row_bytes_max = context.config.ingest.body_bytes_max;
    let file = FileImport { path: command.file.clone(), format, content, mapping, row_bytes_max };
    let bar = progress::bytes(0, "importing");
    let started = Instant::now();
    let imported = import_file(file, &to, SystemClock.now(), |position, length| {
        bar.set_length(length);
        bar.set_position(position);
    })
    .await;
    bar.finish_and_clear();
    let imported = imported.map_err(|error| match error {
        FileImportError::Mapping(error) => wrong(error),
        other => other.into(),
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let what = if command.events { "events" } else { "interactions" };
    context.print(&imported, |imported| print(imported, what, seconds))?;
    if imported.is_nothing() {
        let error = anyhow::anyhow!("not one row of `{}` could be used", command.file.display());
        return Err(error.into());
    }
    Ok(())
}

fn destination(context: &Context, url: Option<&str>) -> Result<Destination, Failure> {
    match url {
        Some(url) => {
            let token = std::env::var("ASSAY_TOKEN").ok().filter(|token| !token.is_empty());
            match DaemonClient::new(url, token) {
                Ok(daemon) => Ok(Destination::Daemon(daemon)),
                Err(error @ DaemonError::Url { .. }) => Err(wrong(error)),
                Err(error) => Err(error.into()),
            }
        }
        None => match Intake::open(&context.config, Arc::new(SystemClock)) {
            Ok(intake) => Ok(Destination::Here(intake)),
            Err(error @ AppError::InUse(_)) => {
                Err(anyhow::anyhow!("{error}; or send to it with `--url`").into())
            }
            Err(error) => Err(error.into()),
        },
    }
}

fn print(imported: &Imported, what: &str, seconds: f64) {
    for rejected in imported.rejections.iter().take(PRINTED_MAX) {
        eprintln!("row {}: {}", rejected.line, rejected.reason);
    }
    let told = imported.rejections.len().min(PRINTED_MAX) as u64;
    if imported.rejected > told {
        eprintln!("… and {} more rows that cannot be used", imported.rejected - told);
    }
    let rows = imported.accepted + imported.duplicates + imported.rejected;
    println!(
        "{} {what} are new, {} were there before, {} rows cannot be used ({rows} rows in {seconds:.1} s, {:.0} a second)",
        imported.accepted,
        imported.duplicates,
        imported.rejected,
        rows as f64 / seconds.max(1e-9)
    );
}
