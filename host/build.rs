//! Lists the components that are built into the binary: those in the folder
//! that `ASSAY_BUNDLED_PLUGINS` names, none where it is not set.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=ASSAY_BUNDLED_PLUGINS");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../wit");
    let mut list = String::from("[\n");
    if let Some(folder) = env::var_os("ASSAY_BUNDLED_PLUGINS").map(PathBuf::from) {
        println!("cargo:rerun-if-changed={}", folder.display());
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("ASSAY_BUNDLED_PLUGINS={}: {error}", folder.display()))
            .map(|entry| entry.expect("the folder stays readable").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        files.sort();
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = file.file_stem().expect("it has an extension, so it has a stem").to_string_lossy();
            let path = file.canonicalize().expect("the file was just listed");
            writeln!(list, "    ({name:?}, include_bytes!({path:?})),")
                .expect("writing to a string never fails");
        }
    }
    list.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bundled.rs");
    fs::write(out, list).expect("OUT_DIR is writable");
}
