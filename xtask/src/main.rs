//! The project's own commands: `cargo xtask --help` lists them.

mod test;
mod toolchain;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Xtask {
    /// Runs every test of the workspace
    Test,
    /// Makes sure that plugins can be built, and says how
    Toolchain,
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse() {
        Xtask::Test => test::run(),
        Xtask::Toolchain => toolchain::run(),
    }
}
