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
    /// Starts a daemon with example data and shows a result
    Demo {
        /// Passed on to `assay demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs every test of the workspace
    Test,
    /// Prints each hot path as a ratio against its limit
    Bench {
        /// Measures these sections only: calls, confinement, coverage, ingest, python, run, start, statistics
        sections: Vec<String>,
    },
    /// Builds every plugin of the project to a component
    Plugins,
    /// Makes sure that plugins can be built, and says how
    Toolchain,
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse() {
        Xtask::Demo { arguments } => test::demo(&arguments),
        Xtask::Bench { sections } => test::bench(&sections),
        Xtask::Plugins => plugins::run(),
        Xtask::Test => test::run(),
        Xtask::Toolchain => toolchain::run(),
    }
}
