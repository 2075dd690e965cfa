//! The contract's Rust face on the host's side: one module for each version.

/// `assay:plugin@0.1.0`.
#[expect(missing_docs, reason = "generated; the contract documents it")]
pub mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1.0",
        world: "assay:host/every-capability",
        inline: "
            package assay:host;

            // The host looks at what a component exports, so no component
            // has to offer all of this.
            world every-capability {
                import assay:plugin/log@0.1.0;
                import assay:plugin/judge@0.1.0;
                export assay:plugin/lifecycle@0.1.0;
                export assay:plugin/scoring@0.1.0;
                export assay:plugin/classification@0.1.0;
                export assay:plugin/extraction@0.1.0;
            }
        ",
    });
}
