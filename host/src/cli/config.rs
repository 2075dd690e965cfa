//! `assay config`: the configuration itself.

use std::path::Path;

use clap::Subcommand;

use super::Failure;
use crate::config::Config;

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check the file and the environment; an error names key and line
    Check,
    /// Print all settings as they are in force
    Show,
}

pub fn run(command: &ConfigCommand, path: Option<&Path>, json: bool) -> Result<(), Failure> {
    let config = Config::load(path, std::env::vars())?;
    match command {
        ConfigCommand::Check if json => println!("{{\"valid\": true}}"),
        ConfigCommand::Check => match path {
            Some(path) => println!("`{}` is valid", path.display()),
            None => println!("the defaults and the environment are valid; give a file with --config"),
        },
        ConfigCommand::Show if json => println!("{}", serde_json::to_string_pretty(&config)?),
        ConfigCommand::Show => print!("{}", toml::to_string_pretty(&config)?),
    }
    Ok(())
}
