//! `cargo xtask test`: every test of the project, from one command.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{foreign, plugins};

/// Builds the plugins, then runs unit, integration and documentation tests.
pub fn run() -> anyhow::Result<()> {
    plugins::build()?;
    foreign::build()?;
    cargo(&["test", "--workspace", "--locked"])?;
    foreign::test_examples()?;
    let example = plugins::root().join("examples/final-number/Cargo.toml");
    let example = example.to_str().context("the repository's path is UTF-8")?;
    cargo(&["test", "--quiet", "--locked", "--manifest-path", example])
}

/// Shows the whole way once: `assay demo` with the built-in plugins.
pub fn demo(arguments: &[String]) -> anyhow::Result<()> {
    plugins::build()?;
    // Not quiet: the first time it compiles for minutes.
    let mut run = vec!["run", "--locked", "--package", "assay", "--", "demo"];
    run.extend(arguments.iter().map(String::as_str));
    cargo(&run)
}

/// Prints each hot path as a ratio against its limit; those of all sections
/// where none is named.
pub fn bench(sections: &[String]) -> anyhow::Result<()> {
    plugins::build()?;
    foreign::build()?;
    let mut bench = vec!["bench", "--locked", "--package", "assay"];
    // Each bench that is a section of its own has its name; the rest are sections of `speed`.
    const ALONE: [&str; 5] = ["coverage", "ingest", "judge", "latency", "statistics"];
    for name in ALONE.into_iter().filter(|name| sections.is_empty() || sections.iter().any(|s| s == name)) {
        bench.extend(["--bench", name]);
    }
    if sections.is_empty() || sections.iter().any(|section| !ALONE.contains(&section.as_str())) {
        bench.extend(["--bench", "speed"]);
    }
    let sections: Vec<_> = sections.iter().filter(|section| !ALONE.contains(&section.as_str())).collect();
    bench.push("--");
    bench.extend(sections.iter().map(|section| section.as_str()));
    cargo(&bench)
}

/// Runs cargo so that the binary carries the plugins that were just built.
pub fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(arguments)
        .env("ASSAY_BUNDLED_PLUGINS", plugins::built_in_folder())
        .status()
        .context("failed to start cargo")?;
    ensure!(status.success(), "`cargo {}` ended with {status}", arguments.join(" "));
    Ok(())
}
