//! Looks at everything that the daemon needs, changing nothing.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{AppError, DATABASE, lock, worker_settings};
use crate::catalogue::{COMPONENTS, component_file};
use crate::config::Config;
use crate::domain::digest::Digest;
use crate::store::check_file;
use crate::workers::Workers;

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, with something to know.
    Notice,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found, and what to do about it.
    pub message: String,
}

fn found(subject: &'static str, health: Health, message: impl Into<String>) -> Finding {
    Finding { subject, health, message: message.into() }
}

/// Looks at the data directory, the database, the plugins and the sandbox.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let data_dir = &config.data_dir;
    let mut findings = Vec::new();
    if !data_dir.is_dir() {
        let message = format!("`{}` does not exist yet: the daemon makes it", data_dir.display());
        findings.push(found("data directory", Health::Notice, message));
    } else {
        findings.push(data_directory(data_dir));
        findings.push(room(data_dir));
        findings.extend(database(data_dir));
    }
    findings.push(sandbox(config).await);
    findings
}

fn data_directory(data_dir: &Path) -> Finding {
    match lock(data_dir) {
        Ok(_free) => {
            found("data directory", Health::Good, format!("`{}`; no daemon is at work", data_dir.display()))
        }
        Err(AppError::InUse(_)) => {
            found("data directory", Health::Good, format!("`{}`; a daemon is at work", data_dir.display()))
        }
        Err(error) => found("data directory", Health::Bad, error.to_string()),
    }
}

fn room(data_dir: &Path) -> Finding {
    match rustix::fs::statvfs(data_dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            let health = if free < 64 {
                Health::Bad
            } else if free < 1024 {
                Health::Notice
            } else {
                Health::Good
            };
            found("disk", health, format!("{free} MiB are free"))
        }
        Err(error) => found("disk", Health::Notice, format!("its free space is not known: {error}")),
    }
}

fn database(data_dir: &Path) -> Vec<Finding> {
    let path = data_dir.join(DATABASE);
    if !path.exists() {
        return vec![found("database", Health::Notice, "there is none yet: the daemon makes it")];
    }
    let restore = "restore the last backup with `assay restore FILE --replace`";
    let checked = match check_file(&path) {
        Ok(checked) => checked,
        Err(error) => return vec![found("database", Health::Bad, error.to_string())],
    };
    if !checked.problems.is_empty() {
        let message = format!("it is damaged: {}; {restore}", checked.problems.join("; "));
        return vec![found("database", Health::Bad, message)];
    }
    let message = format!("every page is whole; schema {}, {} open runs", checked.schema, checked.open_runs);
    let mut findings = vec![found("database", Health::Good, message)];
    let wrong: Vec<_> = checked
        .plugins
        .iter()
        .filter_map(|digest| {
            let name = component_file(*digest);
            match fs::read(data_dir.join(COMPONENTS).join(&name)) {
                Ok(component) if Digest::of(&component) == *digest => None,
                Ok(_) => Some(format!("`components/{name}` is not what was accepted")),
                Err(error) => Some(format!("`components/{name}`: {error}")),
            }
        })
        .collect();
    findings.push(if wrong.is_empty() {
        found("plugins", Health::Good, format!("{} accepted components are whole", checked.plugins.len()))
    } else {
        let message =
            format!("{}; drop the file into the watched folder again, or {restore}", wrong.join("; "));
        found("plugins", Health::Bad, message)
    });
    findings
}

async fn sandbox(config: &Config) -> Finding {
    let settings = match worker_settings(config) {
        Ok(settings) => settings,
        Err(error) => return found("sandbox", Health::Bad, error.to_string()),
    };
    match Workers::start(crate::workers::Settings { count: 1, ..settings }).await {
        Ok(workers) => {
            let missing: Vec<_> = workers
                .missing_boundaries()
                .into_iter()
                .map(|missing| format!("{} ({})", missing.boundary, missing.reason))
                .collect();
            if missing.is_empty() {
                found("sandbox", Health::Good, "workers start and are wholly confined")
            } else {
                let message = format!("workers start without {}; see docs/security.md", missing.join(", "));
                found("sandbox", Health::Notice, message)
            }
        }
        Err(error) => found("sandbox", Health::Bad, error.to_string()),
    }
}
