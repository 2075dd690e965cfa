//! The commands, one file each.
//!
//! A command prints for people, and JSON with `--json`. Exit codes: 0 done,
//! 1 it failed, 2 wrong usage, file or configuration, 3 the run finished and
//! missed what `--fail-under` asks, or its replay differs.

mod calibration;
mod config;
mod data;
mod demo;
mod export;
mod import;
mod judge;
mod plugin;
mod progress;
mod reclassify;
mod reference_set;
mod replay;
mod review;
mod rubric;
mod run;
mod serve;
mod table;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, LogFormat};
use crate::worker;

/// It failed.
const FAILED: u8 = 1;
/// Wrong usage, file or configuration.
const WRONG: u8 = 2;
/// The run missed its mark.
const MISSED: u8 = 3;

/// Measures the quality of an LLM product in production.
#[derive(Parser)]
#[command(
    name = "assay",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, \
    3 the run finished and missed --fail-under, or its replay differs."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// Configuration file
    #[arg(long, global = true, env = "ASSAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept; stands over the configuration
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Serve),
    /// Run an evaluation from a file, without a daemon
    Run(run::Run),
    /// Score a run again from what was kept of it, asking no model
    Replay(replay::Replay),
    /// Ask a judge again
    #[command(subcommand)]
    Judge(judge::Judge),
    /// Check and try rubrics
    #[command(subcommand)]
    Rubric(rubric::Rubric),
    /// Show the whole way once, with example data, and serve the result
    Demo(demo::Demo),
    /// List, inspect and change plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Delete what is a user's
    #[command(subcommand)]
    User(user::User),
    /// Import and list reference sets
    #[command(subcommand)]
    ReferenceSet(reference_set::ReferenceSet),
    /// Review answers, import verdicts, and see where queues stand, on a running daemon
    #[command(subcommand)]
    Review(review::Review),
    /// Show how far a scorer agrees with people, and what people would say of all answers
    Calibration(calibration::Calibration),
    /// Import interactions or events from a file: JSON lines, CSV or Parquet
    Import(import::Import),
    /// Export interactions, scores, signals and events as files, while the daemon may work
    Export(export::Export),
    /// Give interactions that are there the class that the rules of now give them, while the daemon may work
    Reclassify(reclassify::Reclassify),
    /// Back the data directory up into one file, while the daemon may work
    Backup(data::Backup),
    /// Make a data directory from a backup; the daemon must not run
    Restore(data::Restore),
    /// Rewrite the database, so that what was let go takes no room; the daemon must not run
    Vacuum,
    /// Look at database, plugins, disk and sandbox, changing nothing
    Doctor,
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the API's OpenAPI description
    Openapi,
    /// A worker process; started by the daemon only
    #[command(hide = true)]
    Worker(Child),
    /// A compile process; started by the daemon only
    #[command(hide = true)]
    CompileWorker(Child),
}

/// How a child process confines itself.
#[derive(Args)]
struct Child {
    /// Private memory of the process, in bytes
    #[arg(long)]
    data_bytes_max: u64,
    /// For benchmarks only
    #[arg(long)]
    unconfined: bool,
}

impl Child {
    fn confinement(&self) -> worker::Confinement {
        if self.unconfined {
            worker::Confinement::None
        } else {
            worker::Confinement::Full { data_bytes_max: self.data_bytes_max }
        }
    }
}

/// Why a command ended.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let code = if error.is::<ConfigError>() { WRONG } else { FAILED };
        Self { code, error }
    }
}

/// 2: the user has to change something.
fn wrong(message: impl std::fmt::Display) -> Failure {
    Failure { code: WRONG, error: anyhow::anyhow!("{message}") }
}

/// What a command works with.
struct Context {
    config: Config,
    json: bool,
}

impl Context {
    /// Prints a value as JSON, or lets `text` print it for people.
    fn print<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T)) -> Result<(), Failure> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(value)?);
        } else {
            text(value);
        }
        Ok(())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Workers come first: they have no configuration, no environment and no
    // runtime.
    let ended = match &cli.command {
        Command::Worker(child) => worker::run(child.confinement()).map_err(Failure::from),
        Command::CompileWorker(child) => worker::compile_and_exit(child.confinement()).map_err(Failure::from),
        _ => run_command(cli),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}

fn run_command(cli: Cli) -> Result<(), Failure> {
    let path = cli.common.config.as_deref();
    if let Command::Config(command) = &cli.command {
        return config::run(command, path, cli.common.json);
    }
    let mut config = Config::load(path, std::env::vars())?;
    if let Some(data_dir) = cli.common.data_dir {
        config.data_dir = data_dir;
    }
    let quiet = !matches!(cli.command, Command::Serve(_));
    start_logs(&config, quiet)?;
    let context = Context { config, json: cli.common.json };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => serve::run(context, command).await,
            Command::Run(command) => run::run(context, command).await,
            Command::Replay(command) => replay::run(context, command).await,
            Command::Judge(command) => judge::run(context, command).await,
            Command::Rubric(command) => rubric::run(context, command).await,
            Command::Demo(command) => demo::run(context, command).await,
            Command::Plugin(command) => plugin::run(context, command).await,
            Command::Token(command) => token::run(context, command).await,
            Command::ReferenceSet(command) => reference_set::run(context, command).await,
            Command::Calibration(command) => calibration::run(context, command).await,
            Command::Review(command) => review::run(context, command).await,
            Command::User(command) => user::run(context, command).await,
            Command::Import(command) => import::run(context, command).await,
            Command::Reclassify(command) => reclassify::run(context, command).await,
            Command::Export(command) => export::run(&context, command),
            Command::Backup(command) => data::backup(&context, &command),
            Command::Restore(command) => data::run_restore(&context, &command),
            Command::Vacuum => data::vacuum(&context),
            Command::Doctor => data::doctor(context).await,
            Command::Openapi => {
                println!("{}", crate::http::openapi().to_pretty_json()?);
                Ok(())
            }
            Command::Config(_) | Command::Worker(_) | Command::CompileWorker(_) => {
                unreachable!("handled above")
            }
        }
    })
}

fn start_logs(config: &Config, quiet: bool) -> Result<(), Failure> {
    let default = config.log == crate::config::Log::default();
    let directives = if quiet && default { "warn" } else { &config.log.filter };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| wrong(format!("the setting `log.filter` is wrong: {error}")))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
