//! The contract's text stands for itself: it parses, and worlds grant what they say.

use std::path::Path;

use wit_parser::{Resolve, WorldItem};

fn contract() -> Resolve {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/v0.1.0");
    let mut resolve = Resolve::default();
    resolve.push_dir(&folder).expect("the contract parses");
    resolve
}

fn interfaces<'a>(resolve: &'a Resolve, items: impl Iterator<Item = &'a WorldItem>) -> Vec<&'a str> {
    let mut names: Vec<_> = items
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.as_deref(),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn only_judging_worlds_import_the_judge() {
    let resolve = contract();
    assert_eq!(resolve.worlds.len(), 6);
    for (_, world) in resolve.worlds.iter() {
        let imports = interfaces(&resolve, world.imports.values());
        assert_eq!(imports.contains(&"judge"), world.name.starts_with("judging-"), "{}", world.name);
        assert!(
            imports.iter().all(|name| ["judge", "log", "types", "lifecycle"].contains(name)),
            "{imports:?}"
        );
    }
}

#[test]
fn every_world_exports_the_lifecycle_and_one_capability() {
    let resolve = contract();
    for (_, world) in resolve.worlds.iter() {
        let exports = interfaces(&resolve, world.exports.values());
        let capability = match world.name.trim_start_matches("judging-") {
            "scorer" => "scoring",
            "classifier" => "classification",
            "extractor" => "extraction",
            other => panic!("world `{other}` is not in the table"),
        };
        let mut expected = vec!["lifecycle", capability];
        expected.sort_unstable();
        assert_eq!(exports, expected, "{}", world.name);
    }
}

#[test]
fn the_types_interface_has_no_function() {
    let resolve = contract();
    let types = resolve
        .interfaces
        .iter()
        .find(|(_, interface)| interface.name.as_deref() == Some("types"))
        .map(|(_, interface)| interface)
        .expect("the contract has `types`");
    assert!(types.functions.is_empty());
}
