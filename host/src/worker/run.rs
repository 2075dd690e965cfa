//! An ordinary worker's main loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, mpsc};
use std::thread;

use super::judging::DaemonJudge;
use super::line::Line;
use super::{Confinement, WorkerError, inherited_connection, schema};
use crate::domain::interaction::{Answer, Item};
use crate::domain::plugin::{Cause, PluginError, PluginErrorKind, Unscored};
use crate::protocol::{
    BatchFailure, Call, Connection, FrameError, FromWorker, ItemAnswer, JobId, JobItem, JobSession, LogLine,
    PluginSlot, Reply, Task, ToWorker,
};
use crate::sandbox::{
    Called, Engine, GuestInteraction, GuestSession, Plugin, convert_interaction, convert_session,
};

/// Serves tasks until the socket closes. Must be the first thing that the
/// process does: confinement covers only threads that start after it.
pub fn run(confinement: Confinement) -> Result<(), WorkerError> {
    let missing = confinement.apply();
    let Connection { mut reader, writer } = inherited_connection()?;
    let (ToWorker::Start(limits), _) = reader.receive()? else {
        return Err(WorkerError::OutOfOrder("Start"));
    };
    let engine = Arc::new(Engine::start(limits.clone())?);
    let line = Arc::new(Line::new(writer));
    // The inert WASI blocks on futures. Left alone it would start a runtime with
    // network and signals, for which a confined process has no system calls.
    let futures = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let _entered = futures.enter();
    let (queue, tasks) = mpsc::channel();
    let answering = Arc::clone(&line);
    thread::Builder::new().name("socket".into()).spawn(move || {
        loop {
            match reader.receive::<ToWorker<'static>>() {
                Ok((ToWorker::Judged(ask, answers), _)) => answering.answer(ask, answers),
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
    line.send(&FromWorker::Ready { compatibility: engine.compatibility(), missing })?;
    let mut plugins = HashMap::new();
    for (message, descriptor) in tasks {
        match message {
            ToWorker::Load(slot) => {
                plugins.insert(slot, load(&engine, descriptor));
            }
            ToWorker::Unload(slot) => {
                plugins.remove(&slot);
            }
            ToWorker::Do(job, task) => {
                line.send(&FromWorker::Started(job))?;
                let mut work = Work { engine: Arc::clone(&engine), logs: Vec::new() };
                if let Task::Judge { items, call } = task {
                    let plugin = find(&plugins, call.plugin);
                    let judge = DaemonJudge::new(Arc::clone(&line), job, &limits, items.len());
                    let (line, runtime) = (Arc::clone(&line), futures.handle().clone());
                    thread::Builder::new().name("judged".into()).spawn(move || {
                        let _entered = runtime.enter();
                        let answers = work.judged(items.into_owned(), &call, plugin, judge);
                        // The daemon has gone: the thread that reads ends the process.
                        work.end(job, Reply::Scored(vec![answers]), &line).ok();
                    })?;
                } else {
                    let reply = work.perform(task, &plugins);
                    work.end(job, reply, &line)?;
                }
            }
            ToWorker::Start(_) | ToWorker::Compile(_) | ToWorker::Judged(..) => {
                return Err(WorkerError::OutOfOrder("Do"));
            }
        }
    }
    Ok(())
}

type Plugins = HashMap<PluginSlot, Loaded>;

/// A plugin, or why it is none.
type Loaded = Result<Arc<Plugin>, String>;

fn load(engine: &Engine, artifact: Option<OwnedFd>) -> Loaded {
    let artifact = artifact.ok_or("no artifact came with the plugin")?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", artifact.as_raw_fd()));
    // SAFETY: the daemon hands over only sealed files whose MAC it checked, so
    // they hold what the compile worker made.
    unsafe { Plugin::load(engine, &path) }.map(Arc::new).map_err(|refused| refused.0)
}

fn find(plugins: &Plugins, slot: PluginSlot) -> Loaded {
    plugins.get(&slot).cloned().unwrap_or_else(|| Err("the plugin was not handed to this worker".into()))
}

/// One job, and what plugins logged in it.
struct Work {
    engine: Arc<Engine>,
    logs: Vec<(PluginSlot, Vec<LogLine>)>,
}

/// What of a batch a plugin gets, and what of it cannot be read. `G` is what
/// guests get.
struct Readable<G> {
    jobs: Vec<G>,
    unreadable: Vec<(usize, PluginError)>,
}

impl Work {
    /// Tells what was logged and what came of the job.
    fn end(self, job: JobId, reply: Reply, line: &Line) -> Result<(), FrameError> {
        for (slot, log) in self.logs {
            line.send(&FromWorker::Logged(job, slot, log))?;
        }
        line.send(&FromWorker::Finished(job, reply))
    }

    /// Calls a plugin and keeps what it logs.
    fn call<T>(
        &mut self,
        slot: PluginSlot,
        plugin: Loaded,
        function: impl FnOnce(&Plugin, &Engine) -> Called<T>,
    ) -> Result<T, BatchFailure> {
        match plugin {
            Ok(plugin) => {
                let called = function(&plugin, &self.engine);
                if !called.log.is_empty() {
                    self.logs.push((slot, called.log));
                }
                called.result
            }
            Err(message) => Err(BatchFailure { unscored: Unscored { cause: Cause::NotLoaded, message } }),
        }
    }

    fn perform(&mut self, task: Task<'_>, plugins: &Plugins) -> Reply {
        match task {
            Task::Describe(slot) => Reply::Described(self.call(slot, find(plugins, slot), Plugin::describe)),
            Task::Configure { plugin: slot, config } => {
                let configure = |plugin: &Plugin, engine: &Engine| plugin.configure(engine, &config);
                Reply::Configured(self.call(slot, find(plugins, slot), configure))
            }
            Task::Validate { schema, config } => Reply::Validated(schema::validate(&schema, &config)),
            Task::Judge { .. } => unreachable!("such a task has a thread of its own"),
            Task::Score { items, calls } => {
                let items = Readable::new(items.into_owned(), read_item);
                let answer = |call: &Call| {
                    let plugin = find(plugins, call.plugin);
                    let answers = self.call(call.plugin, plugin, |plugin, engine| {
                        plugin.answer(engine, call.capability, &call.config, &items.jobs, None)
                    })?;
                    Ok(items.all(answers))
                };
                Reply::Scored(calls.iter().map(answer).collect())
            }
            Task::Extract { sessions, calls } => {
                let sessions = Readable::new(sessions.into_owned(), read_session);
                let answer = |call: &Call| {
                    let plugin = find(plugins, call.plugin);
                    let answers = self.call(call.plugin, plugin, |plugin, engine| {
                        plugin.extract(engine, &call.config, &sessions.jobs)
                    })?;
                    Ok(sessions.all(answers))
                };
                Reply::Extracted(calls.iter().map(answer).collect())
            }
        }
    }

    fn judged(
        &mut self,
        items: Vec<JobItem>,
        call: &Call,
        plugin: Loaded,
        judge: DaemonJudge,
    ) -> Result<Vec<ItemAnswer>, BatchFailure> {
        let items = Readable::new(items, read_item);
        let answers = self.call(call.plugin, plugin, |plugin, engine| {
            plugin.answer(engine, call.capability, &call.config, &items.jobs, Some(Box::new(judge)))
        })?;
        Ok(items.all(answers))
    }
}

impl<G> Readable<G> {
    /// `J` is what the daemon sends.
    fn new<J>(from: Vec<J>, read: fn(J) -> Result<G, PluginError>) -> Self {
        let mut unreadable = Vec::new();
        let mut jobs = Vec::with_capacity(from.len());
        for (index, job) in from.into_iter().enumerate() {
            match read(job) {
                Ok(job) => jobs.push(job),
                Err(error) => unreadable.push((index, error)),
            }
        }
        Self { jobs, unreadable }
    }

    /// A plugin's answers, with those that it was not asked for in their places.
    fn all<T>(&self, mut answers: Vec<Result<T, PluginError>>) -> Vec<Result<T, PluginError>> {
        for (index, error) in &self.unreadable {
            answers.insert(*index, Err(error.clone()));
        }
        answers
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
