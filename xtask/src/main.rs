//! The project's own commands: `cargo xtask --help` lists them.

mod foreign;
mod plugins;
mod test;
mod toolchain;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Xtask {
    /// Runs every test of the workspace
    Test,
    /// Builds every plugin of the project to a component
    Plugins,
    /// Makes sure that plugins can be built, and says how
    Toolchain,
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse() {
        Xtask::Plugins => plugins::run(),
        Xtask::Test => test::run(),
        Xtask::Toolchain => toolchain::run(),
    }
}
