//! `cargo xtask plugins`: builds every plugin of the project to a component.
//!
//! The built-in ones end in `target/plugins`, where the binary's build finds
//! them; the example and those of the tests in `target/guests`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::toolchain::{TARGET, WasmToolchain};

/// Built into the binary.
const BUILT_IN: [&str; 6] = ["behaviour", "failure-modes", "judged-modes", "rubric", "structured", "text"];

/// Folders of plugins that stand outside the workspace, as a user's would.
const OUTSIDE: [&str; 5] = [
    "examples/final-number",
    "tests/guests/asking",
    "tests/guests/empty-answer",
    "tests/guests/hostile",
    "tests/guests/repeated-question",
];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository").to_owned()
}

/// Where the built-in components are.
pub fn built_in_folder() -> PathBuf {
    root().join("target/plugins")
}

/// Builds and encodes all of them.
pub fn build() -> anyhow::Result<()> {
    let toolchain = WasmToolchain::ensure()?;
    let modules = root().join("target/guest-modules");
    let mut cargo = toolchain.cargo();
    cargo.current_dir(root()).args([
        "build",
        "--quiet",
        "--locked",
        "--profile",
        "guest",
        "--target",
        TARGET,
    ]);
    for name in BUILT_IN {
        cargo.args(["--package", &format!("assay-plugin-{name}")]);
    }
    build_with(cargo.arg("--target-dir").arg(&modules))?;
    for name in BUILT_IN {
        let module =
            modules.join(TARGET).join("guest").join(format!("assay_plugin_{}.wasm", name.replace('-', "_")));
        encode(&module, &built_in_folder().join(format!("{name}.wasm")))?;
    }
    for folder in OUTSIDE {
        let mut cargo = toolchain.cargo();
        cargo.current_dir(root().join(folder)).args(["build", "--quiet", "--locked", "--release"]);
        build_with(cargo.args(["--target", TARGET]).arg("--target-dir").arg(&modules))?;
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let module = modules.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
        encode(&module, &root().join("target/guests").join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Builds them and says where they are.
pub fn run() -> anyhow::Result<()> {
    build()?;
    crate::foreign::build()?;
    for folder in [built_in_folder(), root().join("target/guests")] {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            println!("{} ({} KiB)", path.display(), fs::metadata(&path)?.len() >> 10);
        }
    }
    Ok(())
}

fn build_with(cargo: &mut std::process::Command) -> anyhow::Result<()> {
    // Flags from the environment would hide those of .cargo/config.toml.
    let status = cargo.env_remove("RUSTFLAGS").status().context("failed to start cargo")?;
    ensure!(status.success(), "building a plugin failed ({status})");
    Ok(())
}

/// From the core module that cargo built to a component. A component that is
/// the same already is not written again, so that nothing is rebuilt for it.
fn encode(module: &Path, component: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(module).with_context(|| format!("failed to read {}", module.display()))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("failed to encode {}", module.display()))?;
    if fs::read(component).is_ok_and(|before| before == encoded) {
        return Ok(());
    }
    fs::create_dir_all(component.parent().context("a component is in a folder")?)?;
    fs::write(component, encoded).with_context(|| format!("failed to write {}", component.display()))
}
