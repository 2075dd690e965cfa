//! The engine's settings. The process that compiles and those that run use
//! the same, or an artifact would not load.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::thread;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::Refused;
use super::bindings::v0_1;
use super::guest::Guest;
use crate::protocol::Limits;

/// How often guests are asked whether their deadline has passed.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// A component may be made of this many core instances and tables: small
/// plugins have a few, those of language runtimes dozens.
const CORE_INSTANCES_MAX: u32 = 400;
const TABLES_MAX: u32 = 64;
const MEMORIES_MAX: u32 = 8;
/// Beside the batches that wait for a judge, a worker runs one at a time; the
/// second place is for a store that is being dropped.
const INSTANCES_OF_ONE_BATCH: u32 = 2;

/// An engine and the host functions that guests may call.
pub struct Engine {
    pub(super) wasmtime: wasmtime::Engine,
    pub(super) plain: Linker<Guest>,
    pub(super) with_inert_wasi: Linker<Guest>,
    pub(super) limits: Limits,
}

pub(super) fn config(limits: &Limits) -> Config {
    let memory_bytes = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
    let instances = INSTANCES_OF_ONE_BATCH + limits.judged_batches_max;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .total_stacks(instances)
        .total_tables(instances * TABLES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .total_memories(instances * MEMORIES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_memory_size(memory_bytes)
        .table_elements(limits.table_elements_max as usize)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .generate_address_map(false)
        .max_wasm_stack(limits.stack_bytes_max as usize)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn start_failed(error: wasmtime::Error) -> Refused {
    Refused(format!("failed to start the engine: {error:#}"))
}

impl Engine {
    /// Starts an engine and the thread that ticks for its deadlines.
    pub fn start(limits: Limits) -> Result<Self, Refused> {
        let wasmtime = wasmtime::Engine::new(&config(&limits)).map_err(start_failed)?;
        let mut plain = Linker::new(&wasmtime);
        v0_1::assay::plugin::log::add_to_linker::<_, Guest>(&mut plain, |guest| guest)
            .map_err(start_failed)?;
        v0_1::assay::plugin::judge::add_to_linker::<_, Guest>(&mut plain, |guest| guest)
            .map_err(start_failed)?;
        let mut with_inert_wasi = plain.clone();
        wasmtime_wasi::p2::add_to_linker_sync(&mut with_inert_wasi).map_err(start_failed)?;
        let ticking = wasmtime.weak();
        thread::Builder::new()
            .name("deadlines".into())
            .spawn(move || {
                while let Some(engine) = ticking.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(TICK);
                }
            })
            .map_err(|error| Refused(format!("failed to start the deadline thread: {error}")))?;
        Ok(Self { wasmtime, plain, with_inert_wasi, limits })
    }

    /// Names what artifacts are made for. Artifacts of another build, other
    /// settings or another processor have another name.
    pub fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        self.wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}
