//! The contract's shared records, the log and the judge, generated. What a plugin exports
//! is generated in the plugin's own crate, by its attribute.
#![expect(missing_docs, reason = "generated; the contract documents it")]

wit_bindgen::generate!({
    path: "../../wit/v0.1.0",
    inline: "
        package assay:sdk;

        world sdk {
            import assay:plugin/types@0.1.0;
            import assay:plugin/log@0.1.0;
            import assay:plugin/judge@0.1.0;
        }
    ",
    world: "assay:sdk/sdk",
    additional_derives: [PartialEq],
    generate_all,
    generate_unused_types: true,
});
