//! What one store holds for its guest: limits, its log, and an inert WASI for
//! guests that cannot start without one.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::bindings::v0_1::assay::plugin::{log, types};
use super::judge::Judging;
use super::printed::Printed;
use crate::protocol::{Limits, LogLine, LoggedLevel};

/// Guests see one moment, or their answers would depend on it: 2020-01-01 UTC.
const FIXED_INSTANT: Duration = Duration::from_secs(1_577_836_800);
/// Any seed will do, as long as it is always the same.
const SEED: u64 = 0;

/// The state of one store.
pub struct Guest {
    limits: Limits,
    log: Vec<LogLine>,
    log_bytes: usize,
    log_dropped: u64,
    memory_denied: bool,
    /// Of all memories and tables of the guest together.
    memory_bytes: u64,
    table_elements: u64,
    wasi: Option<InertWasi>,
    table: ResourceTable,
    pub(super) judging: Judging,
}

struct InertWasi {
    context: WasiCtx,
    stdout: Printed,
    stderr: Printed,
}

impl Guest {
    pub fn new(limits: &Limits, needs_wasi: bool, judging: Judging) -> Self {
        Self {
            limits: limits.clone(),
            log: Vec::new(),
            log_bytes: 0,
            log_dropped: 0,
            memory_denied: false,
            memory_bytes: 0,
            table_elements: 0,
            wasi: needs_wasi.then(|| InertWasi::new(limits.log_bytes_max as usize)),
            table: ResourceTable::new(),
            judging,
        }
    }

    /// Whether memory was asked for beyond the limit.
    pub fn memory_denied(&self) -> bool {
        self.memory_denied
    }

    /// What was logged and printed, and how many lines were too many.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        if let Some(wasi) = self.wasi.take() {
            for (pipe, level) in [(wasi.stdout, LoggedLevel::Info), (wasi.stderr, LoggedLevel::Error)] {
                for line in String::from_utf8_lossy(&pipe.take()).lines() {
                    self.add_line(level, line.to_owned());
                }
            }
        }
        let mut log = std::mem::take(&mut self.log);
        if self.log_dropped > 0 {
            let message = format!("{} more log lines were dropped", self.log_dropped);
            log.push(LogLine { level: LoggedLevel::Warn, message });
        }
        log
    }

    fn add_line(&mut self, level: LoggedLevel, message: String) {
        let bytes = self.log_bytes + message.len();
        if self.log.len() < self.limits.log_lines_max as usize && bytes <= self.limits.log_bytes_max as usize
        {
            self.log_bytes = bytes;
            self.log.push(LogLine { level, message });
        } else {
            self.log_dropped += 1;
        }
    }
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LoggedLevel::Debug,
            log::Level::Info => LoggedLevel::Info,
            log::Level::Warn => LoggedLevel::Warn,
            log::Level::Error => LoggedLevel::Error,
        };
        self.add_line(level, message);
    }
}

impl wasmtime::component::HasData for Guest {
    type Data<'a> = &'a mut Guest;
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, now: usize, wanted: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add((wanted - now) as u64);
        let granted = total <= self.limits.memory_bytes_max;
        if granted {
            self.memory_bytes = total;
        }
        self.memory_denied |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add((wanted - now) as u64);
        let granted = total <= u64::from(self.limits.table_elements_max);
        if granted {
            self.table_elements = total;
        }
        Ok(granted)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.as_mut().expect("only guests that import WASI are linked with it");
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}

impl InertWasi {
    fn new(printed_bytes_max: usize) -> Self {
        let stdout = Printed::new(printed_bytes_max);
        let stderr = Printed::new(printed_bytes_max);
        let context = WasiCtx::builder()
            .stdin(ClosedInputStream)
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .wall_clock(FixedClock)
            .monotonic_clock(FixedClock)
            // Randomness that differs would make scores unrepeatable.
            .secure_random(StdRng::seed_from_u64(SEED))
            .insecure_random(StdRng::seed_from_u64(SEED))
            .insecure_random_seed(u128::from(SEED))
            .build();
        Self { context, stdout, stderr }
    }
}

struct FixedClock;

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        FIXED_INSTANT
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        0
    }
}
