//! Holds the order of modules that ARCHITECTURE.md draws: a module may use
//! only those of a lower rank.

use std::fs;
use std::path::Path;

/// From the top down. Modules on one line do not know each other.
const RANKS: [&[&str]; 10] = [
    &["cli"],
    &["http"],
    &["app", "scheduler"],
    &["runner"],
    &["catalogue", "export", "judge"],
    &["workers", "ingest", "alerts", "targets", "worker"],
    &["store", "sandbox"],
    &["protocol"],
    &["stats", "config", "confinement"],
    &["domain", "fault"],
];

fn rank(module: &str) -> usize {
    RANKS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("module `{module}` has no rank in {}", file!()))
}

fn check(folder: &Path, module: &str, seen: &mut usize) {
    for entry in fs::read_dir(folder).expect("the source folder is readable") {
        let path = entry.expect("the source folder is readable").path();
        if path.is_dir() {
            check(&path, module, seen);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file is UTF-8");
        *seen += 1;
        for used in text.lines().filter_map(|line| line.trim().strip_prefix("use crate::")) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(
                used == module || rank(&used) > rank(module),
                "{}: `{module}` may not use `{used}`",
                path.display()
            );
        }
    }
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for entry in fs::read_dir(&source).expect("the source folder is readable") {
        let path = entry.expect("the source folder is readable").path();
        if path.is_dir() {
            let module = path.file_name().and_then(|name| name.to_str()).expect("a module's name is UTF-8");
            rank(module);
            check(&path, module, &mut seen);
        }
    }
    assert!(seen > 3, "only {seen} files were read");
}
