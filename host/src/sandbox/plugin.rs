//! A loaded plugin and its calls. Each call makes a store and drops it.

use std::path::Path;

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::bindings::v0_1::assay::plugin::types;
use super::bindings::v0_1::exports::assay::plugin::{classification, extraction, lifecycle, scoring};
use super::engine::{Engine, TICK};
use super::guest::Guest;
use super::judge::{Judge, Judging};
use super::{Refused, imports};
use crate::domain::plugin::{Capability, Cause, Descriptor, Output, PluginError, Problem, Unscored};
use crate::protocol::{BatchFailure, ItemAnswer, Limits, LogLine, LoggedLevel, SessionAnswer};

/// What came of a call, and what the guest logged meanwhile.
#[derive(Debug)]
pub struct Called<T> {
    /// Its answer.
    pub result: Result<T, BatchFailure>,
    /// Its log, newest last.
    pub log: Vec<LogLine>,
}

impl<T> Called<T> {
    /// Changes the answer, or finds that it is none.
    fn and_then<U>(self, change: impl FnOnce(T) -> Result<U, BatchFailure>) -> Called<U> {
        Called { result: self.result.and_then(change), log: self.log }
    }
}

/// A component that is ready to be instantiated.
pub struct Plugin {
    instance: InstancePre<Guest>,
    lifecycle: lifecycle::GuestIndices,
    scoring: Option<scoring::GuestIndices>,
    classification: Option<classification::GuestIndices>,
    extraction: Option<extraction::GuestIndices>,
    capabilities: Vec<Capability>,
    needs_wasi: bool,
    judges: bool,
}

impl Plugin {
    /// Maps an artifact.
    ///
    /// # Safety
    ///
    /// The file must hold what [`super::compile`] returned and must not change
    /// while the plugin lives: its code is executed as it is.
    pub unsafe fn load(engine: &Engine, artifact: &Path) -> Result<Self, Refused> {
        let refused = |error: wasmtime::Error| Refused(format!("failed to load the artifact: {error:#}"));
        // SAFETY: the caller's promise is the one that wasmtime asks for.
        let component =
            unsafe { Component::deserialize_file(&engine.wasmtime, artifact) }.map_err(refused)?;
        let kind = component.component_type();
        let needs_wasi = kind.imports(&engine.wasmtime).any(|(name, _)| imports::is_inert_wasi(name));
        let judges = kind.imports(&engine.wasmtime).any(|(name, _)| name == imports::JUDGE);
        let exports: Vec<_> = kind.exports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect();
        let capabilities = Capability::ALL
            .into_iter()
            .filter(|offered| exports.contains(&format!("assay:plugin/{}@0.1.0", offered.interface())))
            .collect::<Vec<_>>();
        let linker = if needs_wasi { &engine.with_inert_wasi } else { &engine.plain };
        let instance = linker.instantiate_pre(&component).map_err(refused)?;
        let scoring = capabilities
            .contains(&Capability::Score)
            .then(|| scoring::GuestIndices::new(&instance))
            .transpose()
            .map_err(refused)?;
        let classification = capabilities
            .contains(&Capability::Label)
            .then(|| classification::GuestIndices::new(&instance))
            .transpose()
            .map_err(refused)?;
        let extraction = capabilities
            .contains(&Capability::Signal)
            .then(|| extraction::GuestIndices::new(&instance))
            .transpose()
            .map_err(refused)?;
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&instance).map_err(refused)?,
            scoring,
            classification,
            extraction,
            instance,
            capabilities,
            needs_wasi,
            judges,
        })
    }

    /// Asks the plugin what it is.
    pub fn describe(&self, engine: &Engine) -> Called<Descriptor> {
        let called = self.call(engine, 1, Judging::default(), |store, instance| {
            self.lifecycle.load(&mut *store, instance)?.call_describe(store)
        });
        called.and_then(|described| {
            Ok(Descriptor {
                name: described.name,
                version: described.version,
                title: described.title,
                deterministic: described.deterministic,
                config_schema_json: described.config_schema_json,
                batch_max: described.batch_max,
                capabilities: self.capabilities.clone(),
                judges: self.judges,
            })
        })
    }

    /// Checks a configuration.
    pub fn configure(&self, engine: &Engine, config: &str) -> Called<Result<Vec<Output>, Vec<Problem>>> {
        let called = self.call(engine, 1, Judging::default(), |store, instance| {
            self.lifecycle.load(&mut *store, instance)?.call_configure(store, config)
        });
        called.and_then(|answer| {
            Ok(match answer {
                Ok(outputs) => Ok(outputs.into_iter().map(Output::from).collect()),
                Err(problems) => Err(problems.into_iter().map(Problem::from).collect()),
            })
        })
    }

    /// Scores or classifies a batch: one answer for each item, or none at all.
    /// Without a judge, whatever the plugin asks is denied.
    pub fn answer(
        &self,
        engine: &Engine,
        capability: Capability,
        config: &str,
        items: &[types::Interaction],
        judge: Option<Box<dyn Judge>>,
    ) -> Called<Vec<ItemAnswer>> {
        let judging = Judging::new(judge);
        match capability {
            Capability::Label => {
                let Some(classification) = &self.classification else { return not_exported(capability) };
                self.call(engine, items.len(), judging, |store, instance| {
                    classification.load(&mut *store, instance)?.call_classify_batch(store, config, items)
                })
                .and_then(|answers| one_each(answers, items.len(), "items"))
            }
            _ => {
                let Some(scoring) = &self.scoring else { return not_exported(Capability::Score) };
                self.call(engine, items.len(), judging, |store, instance| {
                    scoring.load(&mut *store, instance)?.call_score_batch(store, config, items)
                })
                .and_then(|answers| one_each(answers, items.len(), "items"))
            }
        }
    }

    /// Extracts a batch's signals: one answer for each session, or none at all.
    pub fn extract(
        &self,
        engine: &Engine,
        config: &str,
        sessions: &[types::Session],
    ) -> Called<Vec<SessionAnswer>> {
        let Some(extraction) = &self.extraction else { return not_exported(Capability::Signal) };
        // As `JobSession::deadline_items` counts.
        let items = sessions.iter().map(|session| 1 + session.interactions.len()).sum();
        let called = self.call(engine, items, Judging::default(), |store, instance| {
            extraction.load(&mut *store, instance)?.call_extract_batch(store, config, sessions)
        });
        called.and_then(|answers| one_each(answers, sessions.len(), "sessions"))
    }

    fn call<T>(
        &self,
        engine: &Engine,
        items: usize,
        judging: Judging,
        function: impl FnOnce(&mut Store<Guest>, &wasmtime::component::Instance) -> wasmtime::Result<T>,
    ) -> Called<T> {
        let limits = &engine.limits;
        let mut store = Store::new(&engine.wasmtime, Guest::new(limits, self.needs_wasi, judging));
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(limits.answer_bytes_max as usize);
        store.set_max_component_handles(limits.handles_max as usize);
        let deadline_ms = limits.deadline_ms(items);
        // One tick more: the first may come at once.
        store.set_epoch_deadline(u64::from(deadline_ms) / TICK.as_millis() as u64 + 1);
        store.epoch_deadline_callback(|mut store| match store.data_mut().judging.take_credit() {
            0 => Err(Trap::Interrupt.into()),
            ticks => Ok(UpdateDeadline::Continue(ticks)),
        });
        let result =
            self.instance.instantiate(&mut store).and_then(|instance| function(&mut store, &instance));
        let mut guest = store.into_data();
        let memory_denied = guest.memory_denied();
        let log = guest.take_log();
        let result = result.map_err(|error| explain(&error, memory_denied, &log, limits, deadline_ms));
        Called { result, log }
    }
}

fn not_exported<T>(capability: Capability) -> Called<T> {
    let reason = format!("the plugin exports no `{}`", capability.interface());
    Called { result: Err(failure(Cause::NotLoaded, reason)), log: Vec::new() }
}

/// The domain's answers, where there are as many as was asked for.
fn one_each<G, D: From<G>>(
    answers: Vec<Result<Vec<G>, types::PluginError>>,
    wanted: usize,
    of_what: &str,
) -> Result<Vec<Result<Vec<D>, PluginError>>, BatchFailure> {
    if answers.len() != wanted {
        let message = format!("answered {} {of_what} of {wanted}", answers.len());
        return Err(failure(Cause::WrongShape, message));
    }
    Ok(answers
        .into_iter()
        .map(|answer| match answer {
            Ok(found) => Ok(found.into_iter().map(D::from).collect()),
            Err(error) => Err(error.into()),
        })
        .collect())
}

fn failure(cause: Cause, message: String) -> BatchFailure {
    BatchFailure { unscored: Unscored { cause, message } }
}

fn explain(
    error: &wasmtime::Error,
    memory_denied: bool,
    log: &[LogLine],
    limits: &Limits,
    deadline_ms: u32,
) -> BatchFailure {
    let told = format!("{error:#}");
    let trap = error.downcast_ref::<Trap>();
    let (cause, message) = match trap {
        Some(Trap::Interrupt) => (Cause::Timeout, format!("no answer within {deadline_ms} ms")),
        _ if memory_denied => (
            Cause::OutOfMemory,
            format!("asked for more than {} MiB of memory", limits.memory_bytes_max >> 20),
        ),
        _ if told.contains("fuel allocated for hostcalls") => (
            Cause::WrongShape,
            format!("handed over more than {} bytes in one call", limits.answer_bytes_max),
        ),
        _ if told.contains("store handle limit exceeded") => {
            (Cause::Trap, format!("held more than {} handles", limits.handles_max))
        }
        Some(Trap::StackOverflow) => {
            (Cause::Trap, format!("used more than {} KiB of stack", limits.stack_bytes_max >> 10))
        }
        _ => match (last_words(log), trap) {
            (Some(words), _) => (Cause::Trap, words),
            (None, Some(trap)) => (Cause::Trap, trap.to_string()),
            (None, None) => (Cause::Trap, told),
        },
    };
    failure(cause, message)
}

/// A panic's text: the last lines that the guest wrote as errors, or on its
/// standard error.
fn last_words(log: &[LogLine]) -> Option<String> {
    const LINES: usize = 4;
    let mut lines: Vec<_> = log
        .iter()
        .rev()
        .filter(|line| line.level == LoggedLevel::Error && !line.message.trim().is_empty())
        .filter(|line| !line.message.starts_with("note: run with `RUST_BACKTRACE"))
        .take(LINES)
        .map(|line| line.message.trim())
        .collect();
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join("; "))
}
