//! A configuration: a TOML file, and after each zero byte a variable over it.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use assay::config::Config;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fn load(path: &Path, text: &str, variables: &[(String, String)]) -> Option<Config> {
    fs::write(path, text).expect("written");
    Config::load(Some(path), variables.iter().cloned()).ok()
}

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let text = parts.next().unwrap_or_default();
    let variables: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (format!("ASSAY_{name}"), value.to_owned()))
        .collect();
    let path = FOLDER.path().join("assay.toml");
    if let Some(config) = load(&path, text, &variables) {
        // What `assay config` prints is the same configuration.
        let printed = toml::to_string(&config).expect("a configuration is TOML");
        assert_eq!(load(&path, &printed, &[]), Some(config), "{printed}");
    }
});
