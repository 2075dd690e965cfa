//! Makes sure that `wasm32-unknown-unknown` can be built for, which plugins need.
//!
//! On an ordinary machine rustup adds the target. Where rustup cannot download,
//! a Debian machine's own package mirror has a compiler with that target; it is
//! unpacked into the user's cache folder and nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What plugins are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How guests are compiled: what to put into a build's environment.
pub struct WasmToolchain {
    /// `RUSTC`, where it is not rustup's.
    pub rustc: Option<PathBuf>,
    /// A folder to put in front of `PATH`: it holds the linker.
    pub path: Option<PathBuf>,
}

impl WasmToolchain {
    /// Finds the target or makes it available.
    pub fn ensure() -> anyhow::Result<Self> {
        let plain = Self { rustc: None, path: None };
        if Path::new(&rustc_says(&["--print", "target-libdir", "--target", TARGET])?).is_dir() {
            return Ok(plain);
        }
        eprintln!("the target {TARGET} is missing: asking rustup for it");
        if Command::new("rustup")
            .args(["target", "add", TARGET])
            .status()
            .is_ok_and(|status| status.success())
        {
            return Ok(plain);
        }
        let root = cache_folder()?.join("wasm-toolchain");
        if !root.join("rustc").is_file() {
            eprintln!(
                "rustup could not: unpacking a compiler from the Debian mirror into {}",
                root.display()
            );
            unpack_from_debian(&root).context("no way to build for WebAssembly was found")?;
        }
        let sysroot = PathBuf::from(rustc_says(&["--print", "sysroot"])?);
        let linker = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
        Ok(Self { rustc: Some(root.join("rustc")), path: Some(linker) })
    }

    /// A `cargo` whose builds use this toolchain.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        if let Some(rustc) = &self.rustc {
            cargo.env("RUSTC", rustc);
        }
        if let Some(path) = &self.path {
            let before = std::env::var("PATH").unwrap_or_default();
            cargo.env("PATH", format!("{}:{before}", path.display()));
        }
        cargo
    }
}

/// Makes the target available, proves it by a build, and says how to use it.
pub fn run() -> anyhow::Result<()> {
    let toolchain = WasmToolchain::ensure()?;
    let folder = std::env::temp_dir().join(format!("assay-toolchain-{}", std::process::id()));
    let proof = prove(&toolchain, &folder);
    fs::remove_dir_all(&folder).ok();
    proof.context("the toolchain is there but cannot build a plugin")?;
    println!("ready: cargo build --target {TARGET}");
    if let Some(rustc) = &toolchain.rustc {
        println!("  RUSTC={}", rustc.display());
    }
    if let Some(path) = &toolchain.path {
        println!("  PATH={}:$PATH", path.display());
    }
    Ok(())
}

fn prove(toolchain: &WasmToolchain, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    let manifest =
        "[package]\nname = \"proof\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/lib.rs"), "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> u32 { 1 }\n")?;
    let mut build = toolchain.cargo();
    build.args(["build", "--quiet", "--target", TARGET]).current_dir(folder);
    succeed(build.env("CARGO_TARGET_DIR", folder.join("target")))?;
    let module = folder.join("target").join(TARGET).join("debug/proof.wasm");
    let built = fs::read(&module).with_context(|| format!("failed to read {}", module.display()))?;
    ensure!(built.starts_with(b"\0asm"), "{} is not WebAssembly", module.display());
    Ok(())
}

fn unpack_from_debian(root: &Path) -> anyhow::Result<()> {
    let parent = root.parent().context("the cache folder has no parent")?;
    fs::create_dir_all(parent)?;
    // Unpacked beside its place and renamed at the end, so that an interrupted
    // download leaves nothing half behind.
    let staging = parent.join(format!("wasm-toolchain.{}", std::process::id()));
    fs::create_dir(&staging)?;
    let unpacked = succeed(
        Command::new("sh")
            .arg("-c")
            .arg(include_str!("unpack-from-debian.sh"))
            .current_dir(&staging)
            .env("ROOT", root),
    )
    .and_then(|()| fs::rename(&staging, root).context("failed to put the compiler in its place"));
    if unpacked.is_err() {
        fs::remove_dir_all(&staging).ok();
    }
    unpacked
}

fn rustc_says(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc").args(arguments).output().context("failed to start rustc")?;
    ensure!(output.status.success(), "rustc {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor a home folder is known")?;
    Ok(base.join("assay"))
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} ended with {status}", command.get_program());
    Ok(())
}
