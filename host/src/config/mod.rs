//! The daemon's configuration: one TOML file, environment variables over it.
//!
//! `ASSAY_LISTEN=…` sets `listen`, `ASSAY_WORKERS__COUNT=…` sets `count` of
//! `[workers]`. An error names the key, and the line where there is one.

mod export;
mod ingest;
mod judge;
mod retention;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub use export::{Export, OtlpExport};
pub use ingest::{Behaviour, ClassRule, Ingest, RedactedField, RedactionRule};
pub use judge::{Judge, JudgeApi, Price, Profile, StructuredOutput};
pub use retention::Retention;

/// All settings, with their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where compiled plugins are cached; `artifacts` in the data directory
    /// where it is missing. Deleting it is always safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_dir: Option<PathBuf>,
    /// How large that cache may grow, in bytes; the least recently used goes.
    pub artifact_cache_bytes_max: u64,
    /// The API.
    pub http: Http,
    /// The worker processes.
    pub workers: Workers,
    /// Runs.
    pub runner: Runner,
    /// What comes in from production.
    pub ingest: Ingest,
    /// What is read from users' behaviour.
    pub behaviour: Behaviour,
    /// The models that plugins may ask.
    pub judge: Judge,
    /// How long what production sent is kept.
    pub retention: Retention,
    /// What is sent to other systems.
    pub export: Export,
    /// Logs.
    pub log: Log,
}

/// Settings of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Ask for a token from loopback too.
    pub require_token: bool,
    /// Host names, beside the address itself, under which the API is reached.
    pub allowed_hosts: Vec<String>,
    /// Largest body, in bytes, but for uploads.
    pub body_bytes_max: usize,
    /// Largest reference set upload, in bytes.
    pub upload_bytes_max: usize,
    /// Connections at once; further clients wait.
    pub connections_max: usize,
    /// How long a connection may be silent or take to send a request's
    /// headers, in seconds.
    pub header_timeout_s: u64,
    /// Largest request line and headers, in bytes.
    pub header_bytes_max: usize,
}

/// Settings of the worker processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workers {
    /// How many; 0 for one a core.
    pub count: usize,
    /// How long one component may take to compile, in seconds.
    pub compile_timeout_s: u64,
    /// Refuse to start where the system cannot confine workers wholly.
    pub require_sandbox: bool,
    /// Workers that one plugin may cost in a minute; then it is not run until
    /// the minute is over.
    pub restarts_per_minute_max: u32,
    /// Private memory of one worker process, in bytes.
    pub worker_memory_bytes_max: u64,
    /// Private memory of a compile process, in bytes.
    pub compile_memory_bytes_max: u64,
    /// Largest component file, in bytes.
    pub component_bytes_max: u64,
    /// How deep components may lie in one another.
    pub component_nesting_max: u32,
    /// Memory of one plugin instance, in bytes.
    pub memory_bytes_max: u64,
    /// Elements of one table.
    pub table_elements_max: u32,
    /// A plugin's stack, in bytes.
    pub stack_bytes_max: u32,
    /// What a plugin may answer in one call, in bytes.
    pub answer_bytes_max: u32,
    /// Handles that a plugin may hold at once.
    pub handles_max: u32,
    /// Lines that a batch may log.
    pub log_lines_max: u32,
    /// Bytes that a batch may log.
    pub log_bytes_max: u32,
    /// Deadline of a batch before its items count, in milliseconds.
    pub deadline_base_ms: u32,
    /// What each item adds to the deadline, in milliseconds.
    pub deadline_item_ms: u32,
    /// The longest deadline of a batch, in milliseconds.
    pub deadline_max_ms: u32,
    /// Batches of one worker that may wait for a judge at once. Room for each
    /// counts with 100 MiB in `worker_memory_bytes_max`, though little of it is used.
    pub judged_batches_max: u32,
    /// Calls of a judge that a batch may ask for, times its items.
    pub judge_calls_per_item_max: u32,
    /// How often a judge is asked again whose reply does not fit the schema.
    pub judge_repairs_max: u32,
}

/// Settings of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runner {
    /// The most items of a batch.
    pub batch_items_max: u32,
    /// The most bytes of a batch's items; a larger item is skipped.
    pub batch_bytes_max: usize,
    /// Poison items of one scorer in one run, after which the rest is not tried.
    pub poison_items_max: u32,
    /// Share of one worker's time that failing attempts to score a batch may
    /// take for every two workers, while other batches wait.
    pub failing_time_share_max: f64,
    /// Undetermined share above which a completion rate is flagged.
    pub undetermined_share_max: f64,
}

/// Settings of logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or `tracing` directives such as `info,assay::runner=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7717)),
            data_dir: PathBuf::from("assay-data"),
            artifact_dir: None,
            artifact_cache_bytes_max: 2 << 30,
            http: Http::default(),
            workers: Workers::default(),
            runner: Runner::default(),
            ingest: Ingest::default(),
            behaviour: Behaviour::default(),
            judge: Judge::default(),
            retention: Retention::default(),
            export: Export::default(),
            log: Log::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            require_token: false,
            allowed_hosts: Vec::new(),
            body_bytes_max: 2 << 20,
            upload_bytes_max: 1 << 30,
            connections_max: 16_384,
            header_timeout_s: 30,
            header_bytes_max: 64 << 10,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            count: 0,
            compile_timeout_s: 120,
            require_sandbox: false,
            restarts_per_minute_max: 30,
            worker_memory_bytes_max: 4 << 30,
            compile_memory_bytes_max: 2 << 30,
            component_bytes_max: 64 << 20,
            component_nesting_max: 16,
            memory_bytes_max: 256 << 20,
            table_elements_max: 200_000,
            stack_bytes_max: 512 << 10,
            answer_bytes_max: 32 << 20,
            handles_max: 1_000,
            log_lines_max: 100,
            log_bytes_max: 64 << 10,
            deadline_base_ms: 500,
            deadline_item_ms: 2,
            deadline_max_ms: 10_000,
            judged_batches_max: 4,
            judge_calls_per_item_max: 32,
            judge_repairs_max: 2,
        }
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            batch_items_max: 1_000,
            batch_bytes_max: 4 << 20,
            poison_items_max: 10,
            failing_time_share_max: 0.25,
            undetermined_share_max: 0.02,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read the configuration `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says what cannot be. The message shows line and key.
    #[error("the configuration `{}` is wrong: {message}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Line, key and reason.
        message: String,
    },
    /// A variable says what cannot be.
    #[error("the environment variable `{name}` is wrong: {message}")]
    Variable {
        /// Which.
        name: String,
        /// Why.
        message: String,
    },
    /// A value is outside its bounds.
    #[error("the setting `{key}` is wrong: {message}")]
    Value {
        /// Which.
        key: &'static str,
        /// Why.
        message: String,
    },
}

/// Variables that begin like settings and are none.
const OTHER_VARIABLES: [&str; 7] = [
    "ASSAY_CONFIG",
    "ASSAY_TOKEN",
    "ASSAY_URL",
    "ASSAY_REVIEWER",
    "ASSAY_REAL_DATA",
    "ASSAY_BUNDLED_PLUGINS",
    "ASSAY_FAULT",
];

impl Config {
    /// Reads a file, where there is one, and the variables over it.
    pub fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = toml::Table::new();
        if let Some(path) = path {
            let text = fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            let wrong = |error: toml::de::Error| ConfigError::File {
                path: path.to_owned(),
                message: error.to_string().trim_end().to_owned(),
            };
            // Read for its errors first: they show the line, which a table has lost.
            toml::from_str::<Self>(&text).map_err(wrong)?;
            table = toml::from_str(&text).map_err(wrong)?;
        }
        let mut config: Self =
            table.clone().try_into().expect("the file was read as a configuration a moment ago");
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("ASSAY_").filter(|_| !OTHER_VARIABLES.contains(&name.as_str()))
            else {
                continue;
            };
            let path: Vec<_> = key.split("__").map(str::to_ascii_lowercase).collect();
            let wrong = |message: String| ConfigError::Variable { name: name.clone(), message };
            set(&mut table, &path, &value).map_err(wrong)?;
            config = table
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        let workers = &self.workers;
        if workers.count > 1024 {
            return wrong("workers.count", "at most 1024");
        }
        if !((1 << 10)..=(512 << 20)).contains(&workers.component_bytes_max) {
            return wrong("workers.component_bytes_max", "1 KiB to 512 MiB");
        }
        if !((1 << 20)..=(4 << 30)).contains(&workers.memory_bytes_max) {
            return wrong("workers.memory_bytes_max", "1 MiB to 4 GiB");
        }
        if !((64 << 10)..=(16 << 20)).contains(&workers.stack_bytes_max) {
            return wrong("workers.stack_bytes_max", "64 KiB to 16 MiB");
        }
        if workers.deadline_base_ms == 0 || workers.deadline_max_ms < workers.deadline_base_ms {
            return wrong("workers.deadline_base_ms", "at least 1, and not over `deadline_max_ms`");
        }
        if !(1..=64).contains(&workers.judged_batches_max) {
            return wrong("workers.judged_batches_max", "1 to 64");
        }
        if workers.judge_calls_per_item_max == 0 || workers.judge_repairs_max > 10 {
            return wrong("workers.judge_calls_per_item_max", "at least 1; `judge_repairs_max` at most 10");
        }
        if self.http.connections_max == 0 || self.http.header_timeout_s == 0 {
            return wrong("http.connections_max", "at least 1, as is `http.header_timeout_s`");
        }
        if self.http.header_bytes_max < 8 << 10 {
            return wrong("http.header_bytes_max", "at least 8 KiB");
        }
        if !(1..=100_000).contains(&self.runner.batch_items_max) {
            return wrong("runner.batch_items_max", "1 to 100000");
        }
        if !(1_024..=(64 << 20)).contains(&self.runner.batch_bytes_max) {
            return wrong("runner.batch_bytes_max", "1 KiB to 64 MiB");
        }
        if self.runner.poison_items_max == 0 {
            return wrong("runner.poison_items_max", "at least 1");
        }
        if !(0.01..=1.0).contains(&self.runner.failing_time_share_max) {
            return wrong("runner.failing_time_share_max", "0.01 to 1");
        }
        if !((64 << 10)..=(1 << 30)).contains(&self.ingest.body_bytes_max) {
            return wrong("ingest.body_bytes_max", "64 KiB to 1 GiB");
        }
        if self.ingest.queue_bytes_max < self.ingest.body_bytes_max {
            return wrong("ingest.queue_bytes_max", "at least `ingest.body_bytes_max`");
        }
        if self.ingest.batch_items_max == 0 {
            return wrong("ingest.batch_items_max", "at least 1");
        }
        if !(0.0..=1.0).contains(&self.runner.undetermined_share_max) {
            return wrong("runner.undetermined_share_max", "0 to 1");
        }
        self.judge.check()?;
        self.export.check()?;
        self.retention.check()
    }
}

/// Sets a value that came as text: as TOML where it is that, else as a string.
fn set(table: &mut toml::Table, path: &[String], value: &str) -> Result<(), String> {
    match path {
        [] => Err("it names no setting".into()),
        [key] => {
            let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
                .ok()
                .and_then(|mut parsed| parsed.remove("value"));
            let value = match parsed {
                Some(parsed) if !parsed.is_datetime() => parsed,
                _ => toml::Value::String(value.to_owned()),
            };
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let below =
                table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            match below {
                toml::Value::Table(below) => set(below, rest, value),
                _ => Err(format!("`{section}` is no section")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("assay.toml");
        fs::write(&path, text).expect("writable");
        Config::load(Some(&path), variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn variables_stand_over_the_file_and_the_file_over_the_defaults() {
        let variables =
            [("ASSAY_WORKERS__COUNT", "3"), ("ASSAY_LISTEN", "127.0.0.1:1"), ("ASSAY_TOKEN", "x")];
        let config = load("data_dir = \"here\"\n[workers]\ncount = 7\n", &variables).expect("valid");
        assert_eq!((config.workers.count, config.listen.port()), (3, 1));
        assert_eq!((config.data_dir, config.runner), (PathBuf::from("here"), Runner::default()));
    }

    #[test]
    fn an_error_names_the_key_and_the_line() {
        let error = load("[workers]\ncuont = 7\n", &[]).expect_err("misspelt").to_string();
        assert!(error.contains("line 2") && error.contains("cuont"), "{error}");
        let error = load("listen = 5\n", &[]).expect_err("no address").to_string();
        assert!(error.contains("line 1") && error.contains("listen"), "{error}");
        let error = load("", &[("ASSAY_WORKERS__COUNT", "many")]).expect_err("no number").to_string();
        assert!(error.contains("`ASSAY_WORKERS__COUNT`"), "{error}");
        let error = load("[runner]\nbatch_items_max = 0\n", &[]).expect_err("out of bounds").to_string();
        assert!(error.contains("`runner.batch_items_max`"), "{error}");
    }
}
