//! An ordinary worker's main loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::mpsc;
use std::thread;

use super::{Confinement, WorkerError, inherited_connection, schema};
use crate::domain::interaction::{Answer, Item};
use crate::domain::plugin::{Cause, PluginError, PluginErrorKind, Unscored};
use crate::protocol::{
    BatchFailure, Call, Connection, FrameError, FromWorker, JobItem, JobSession, LogLine, PluginSlot, Reply,
    Task, ToWorker,
};
use crate::sandbox::{
    Called, Engine, GuestInteraction, GuestSession, Plugin, convert_interaction, convert_session,
};

/// Serves tasks until the socket closes. Must be the first thing that the
/// process does: confinement covers only threads that start after it.
pub fn run(confinement: Confinement) -> Result<(), WorkerError> {
    let missing = confinement.apply();
    let Connection { mut reader, mut writer } = inherited_connection()?;
    let (ToWorker::Start(limits), _) = reader.receive()? else {
        return Err(WorkerError::OutOfOrder("Start"));
    };
    let engine = Engine::start(limits)?;
    // The inert WASI blocks on futures. Left alone it would start a runtime with
    // network and signals, for which a confined process has no system calls.
    let futures = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let _entered = futures.enter();
    let (queue, tasks) = mpsc::channel();
    thread::Builder::new().name("socket".into()).spawn(move || {
        loop {
            match reader.receive::<ToWorker<'static>>() {
                Ok(frame) => {
                    if queue.send(frame).is_err() {
                        return;
                    }
                }
                // The daemon has gone: whatever runs here serves nobody.
                Err(FrameError::Closed) => process::exit(0),
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    process::exit(0)
                }
                Err(error) => {
                    eprintln!("worker: {error}");
                    process::exit(2);
                }
            }
        }
    })?;
    writer.send(&FromWorker::Ready { compatibility: engine.compatibility(), missing }, None)?;
    let mut plugins = Plugins { engine, slots: HashMap::new(), logs: Vec::new() };
    for (message, descriptor) in tasks {
        match message {
            ToWorker::Load(slot) => plugins.load(slot, descriptor),
            ToWorker::Unload(slot) => {
                plugins.slots.remove(&slot);
            }
            ToWorker::Do(job, task) => {
                writer.send(&FromWorker::Started(job), None)?;
                let reply = plugins.perform(task);
                for (slot, log) in plugins.logs.drain(..) {
                    writer.send(&FromWorker::Logged(slot, log), None)?;
                }
                writer.send(&FromWorker::Finished(job, reply), None)?;
            }
            ToWorker::Start(_) | ToWorker::Compile(_) => return Err(WorkerError::OutOfOrder("Do")),
        }
    }
    Ok(())
}

/// A plugin's function over batches, with its configuration. `G` is what guests
/// get, `T` what they answer.
type BatchFunction<G, T> = fn(&Plugin, &Engine, &str, &[G]) -> Called<Vec<Result<T, PluginError>>>;

struct Plugins {
    engine: Engine,
    slots: HashMap<PluginSlot, Result<Plugin, String>>,
    /// What plugins logged in the present task.
    logs: Vec<(PluginSlot, Vec<LogLine>)>,
}

impl Plugins {
    fn load(&mut self, slot: PluginSlot, artifact: Option<OwnedFd>) {
        let loaded = match artifact {
            Some(artifact) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", artifact.as_raw_fd()));
                // SAFETY: the daemon hands over only sealed files whose MAC it
                // checked, so they hold what the compile worker made.
                unsafe { Plugin::load(&self.engine, &path) }.map_err(|refused| refused.0)
            }
            None => Err("no artifact came with the plugin".into()),
        };
        self.slots.insert(slot, loaded);
    }

    /// Calls a plugin and keeps what it logs.
    fn call<T>(
        &mut self,
        slot: PluginSlot,
        function: impl FnOnce(&Plugin, &Engine) -> Called<T>,
    ) -> Result<T, BatchFailure> {
        let reason = match self.slots.get(&slot) {
            Some(Ok(plugin)) => {
                let called = function(plugin, &self.engine);
                if !called.log.is_empty() {
                    self.logs.push((slot, called.log));
                }
                return called.result;
            }
            Some(Err(reason)) => reason.clone(),
            None => "the plugin was not handed to this worker".into(),
        };
        Err(BatchFailure { unscored: Unscored { cause: Cause::NotLoaded, message: reason } })
    }

    fn perform(&mut self, task: Task<'_>) -> Reply {
        match task {
            Task::Describe(slot) => Reply::Described(self.call(slot, Plugin::describe)),
            Task::Configure { plugin, config } => {
                Reply::Configured(self.call(plugin, |plugin, engine| plugin.configure(engine, &config)))
            }
            Task::Validate { schema, config } => Reply::Validated(schema::validate(&schema, &config)),
            Task::Score { items, calls } => {
                Reply::Scored(self.batch(items.into_owned(), read_item, &calls, Plugin::score))
            }
            Task::Extract { sessions, calls } => {
                Reply::Extracted(self.batch(sessions.into_owned(), read_session, &calls, Plugin::extract))
            }
        }
    }

    /// Has a batch done by each call's plugin. `J` is what the daemon sends.
    fn batch<J, G, T>(
        &mut self,
        jobs: Vec<J>,
        read: fn(J) -> Result<G, PluginError>,
        calls: &[Call],
        function: BatchFunction<G, T>,
    ) -> Vec<Result<Vec<Result<T, PluginError>>, BatchFailure>> {
        // What cannot be read is answered here; the plugins get the rest.
        let mut unreadable = Vec::new();
        let mut readable = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            match read(job) {
                Ok(job) => readable.push(job),
                Err(error) => unreadable.push((index, error)),
            }
        }
        calls
            .iter()
            .map(|call| {
                let mut answers = self
                    .call(call.plugin, |plugin, engine| function(plugin, engine, &call.config, &readable))?;
                for (index, error) in &unreadable {
                    answers.insert(*index, Err(error.clone()));
                }
                Ok(answers)
            })
            .collect()
    }
}

fn read_item(job: JobItem) -> Result<GuestInteraction, PluginError> {
    let refused = |part: &str, error: serde_json::Error| PluginError {
        kind: PluginErrorKind::BadInput,
        message: format!("the stored {part} cannot be read: {error}"),
    };
    let item: Item = serde_json::from_str(&job.item).map_err(|error| refused("item", error))?;
    let answer: Answer = serde_json::from_str(&job.answer).map_err(|error| refused("answer", error))?;
    Ok(convert_interaction(job.id, item.with_answer(answer)))
}

fn read_session(job: JobSession) -> Result<GuestSession, PluginError> {
    let JobSession { id, user, interactions, events } = job;
    let interactions = interactions
        .into_iter()
        .map(|interaction| {
            let id = interaction.id.clone();
            read_item(interaction).map_err(|error| PluginError {
                message: format!("interaction `{id}`: {}", error.message),
                ..error
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(convert_session(id, user, interactions, events))
}
