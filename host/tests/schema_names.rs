//! The API's description has one list of schemas: two types of one name would
//! make one of them describe the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the source folder is readable") {
        let path = entry.expect("the source folder is readable").path();
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

#[test]
fn no_two_types_of_the_api_share_a_name() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let described = Regex::new(
        r"(?s)#\[derive\(([^\]]*)\)\]((?:\s*#\[[^\n]*\]|\s*#\[schema\([^\]]*\)\])*)\s*pub (?:struct|enum) (\w+)",
    )
    .expect("an expression");
    let renamed = Regex::new(r"#\[schema\(as = (\w+)").expect("an expression");
    let mut seen = BTreeMap::<String, PathBuf>::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file is UTF-8");
        for found in described.captures_iter(&text).filter(|found| found[1].contains("ToSchema")) {
            let name = renamed.captures(&found[2]).map_or(&found[3], |renamed| renamed.extract::<1>().1[0]);
            if let Some(other) = seen.insert(name.to_owned(), file.clone()) {
                panic!("`{name}` is described in {} and {}", other.display(), file.display());
            }
        }
    }
    assert!(seen.len() > 100, "only {} types were found", seen.len());
}
