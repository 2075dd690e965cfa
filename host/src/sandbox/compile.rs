//! From a component's bytes to an artifact. Nothing is instantiated here.

use wasmtime::component::Component;

use super::engine::config;
use super::{Refused, imports, nesting};
use crate::protocol::Limits;

/// Checks a component's nesting, exports and imports and compiles it.
pub fn compile(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Refused> {
    nesting::check(bytes, limits.component_nesting_max)?;
    // Nothing runs here: the pool is as small as it can be, because it counts as memory.
    let limits = Limits { judged_batches_max: 0, ..limits.clone() };
    let engine = wasmtime::Engine::new(&config(&limits))
        .map_err(|error| Refused(format!("failed to start the compiler: {error:#}")))?;
    let component = Component::from_binary(&engine, bytes)
        .map_err(|error| Refused(format!("failed to compile: {error:#}")))?;
    let kind = component.component_type();
    imports::check(kind.imports(&engine).map(|(name, _)| name))?;
    let exports: Vec<_> = kind.exports(&engine).map(|(name, _)| name.to_owned()).collect();
    check_exports(&exports)?;
    component.serialize().map_err(|error| Refused(format!("failed to keep the compiled artifact: {error:#}")))
}

fn check_exports(exports: &[String]) -> Result<(), Refused> {
    let has = |interface: &str| exports.iter().any(|export| export == interface);
    if !has("assay:plugin/lifecycle@0.1.0") {
        let other = exports.iter().find(|export| export.starts_with("assay:plugin/lifecycle"));
        return Err(Refused(match other {
            Some(other) => format!("exports `{other}`: this host knows `assay:plugin@0.1.0`"),
            None => "missing export `assay:plugin/lifecycle@0.1.0`: not an Assay plugin".into(),
        }));
    }
    let capabilities = ["scoring", "classification", "extraction"];
    if capabilities.iter().any(|capability| has(&format!("assay:plugin/{capability}@0.1.0"))) {
        Ok(())
    } else {
        Err(Refused(
            "exports no capability: one of `scoring`, `classification`, `extraction` is needed".into(),
        ))
    }
}
