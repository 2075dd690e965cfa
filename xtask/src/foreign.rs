//! What is written in Python and JavaScript: the tests' plugins, built with
//! those languages' own tools at fixed versions, and the examples' own tests.
//!
//! Where a language is not installed its plugin is not built, and the tests
//! that need it say so.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::plugins::root;

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

/// Builds both, unless they are newer than their source.
pub fn build() -> anyhow::Result<()> {
    let guests = root().join("target/guests");
    fs::create_dir_all(&guests)?;
    let python = guests.join("in-python.wasm");
    if is_stale(&python, &root().join("tests/guests/python/app.py"))? {
        if runs("python3") {
            build_python(&python).context("failed to build the Python plugin")?;
        } else {
            eprintln!("python3 is not installed: its plugin is not built");
        }
    }
    let javascript = guests.join("in-javascript.wasm");
    if is_stale(&javascript, &root().join("tests/guests/javascript/app.js"))?
        || is_stale(&javascript, &root().join("tests/guests/javascript/build.mjs"))?
    {
        if runs("node") && runs("npm") {
            build_javascript(&javascript).context("failed to build the JavaScript plugin")?;
        } else {
            eprintln!("node and npm are not installed: the JavaScript plugin is not built");
        }
    }
    Ok(())
}

/// Runs the tests of the examples that are written in Python.
pub fn test_examples() -> anyhow::Result<()> {
    if !runs("python3") {
        eprintln!("python3 is not installed: the examples in Python are not tested");
        return Ok(());
    }
    for example in ["examples/python-client", "examples/browser"] {
        let mut tests = Command::new("python3");
        succeed(tests.args(["-B", "-m", "unittest"]).current_dir(root().join(example)))?;
        println!("{example}: tests passed");
    }
    Ok(())
}

fn is_stale(component: &Path, source: &Path) -> anyhow::Result<bool> {
    let newest_source = ["types", "plugin", "host", "worlds"]
        .into_iter()
        .map(|file| root().join("wit/v0.1.0").join(file).with_extension("wit"))
        .chain([source.to_owned()])
        .map(|file| fs::metadata(file)?.modified())
        .try_fold(std::time::UNIX_EPOCH, |newest, at| at.map(|at| at.max(newest)))?;
    Ok(fs::metadata(component).and_then(|built| built.modified()).map_or(true, |at| at < newest_source))
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn build_python(component: &Path) -> anyhow::Result<()> {
    let tools = root().join("target/python-tools");
    let componentize = tools.join("bin/componentize-py");
    if !componentize.is_file() {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
        succeed(Command::new(tools.join("bin/pip")).args(["install", "--quiet", COMPONENTIZE_PY]))?;
    }
    let mut build = Command::new(componentize);
    build.arg("-d").arg(root().join("wit/v0.1.0")).args(["-w", "scorer", "componentize"]);
    build.arg("-p").arg(root().join("tests/guests/python")).args(["app", "-o"]).arg(component);
    succeed(&mut build)
}

fn build_javascript(component: &Path) -> anyhow::Result<()> {
    let tools = root().join("target/javascript-tools");
    fs::create_dir_all(&tools)?;
    if !tools.join("node_modules").is_dir() {
        fs::write(tools.join("package.json"), "{\"private\":true}")?;
        succeed(Command::new("npm").args(["install", "--silent", COMPONENTIZE_JS]).current_dir(&tools))?;
    }
    let sources = root().join("tests/guests/javascript");
    // Node looks for packages beside the file that imports them.
    fs::copy(sources.join("build.mjs"), tools.join("build.mjs"))?;
    let mut build = Command::new("node");
    build.current_dir(&tools).arg("build.mjs").arg(root().join("wit/v0.1.0"));
    succeed(build.arg(sources.join("app.js")).arg(component))
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    let told = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{:?} failed: {}",
        command.get_program(),
        String::from_utf8_lossy(&told)
    );
    Ok(())
}
