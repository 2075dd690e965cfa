//! `cargo xtask test`: every test of the workspace, from one command.

use std::process::Command;

use anyhow::{Context as _, ensure};

/// Runs unit, integration and documentation tests; fails where one of them does.
pub fn run() -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(["test", "--workspace", "--locked"])
        .status()
        .context("failed to start cargo")?;
    ensure!(status.success(), "tests failed ({status})");
    Ok(())
}
