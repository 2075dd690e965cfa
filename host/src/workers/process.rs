//! One child process and the threads that speak with it.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, LazyLock, mpsc as blocking};
use std::thread;

use tokio::sync::mpsc;

use super::{Artifact, Confinement, Settings};
use crate::protocol::{Connection, FrameWriter, FromWorker, ToWorker};

/// A running worker. It is killed when dropped.
pub struct WorkerProcess {
    child: Child,
    /// What it says; closed when it has gone.
    pub said: mpsc::Receiver<FromWorker>,
    frames: blocking::Sender<Frame>,
}

type Frame = Box<dyn FnOnce(&mut FrameWriter) -> bool + Send>;

/// What a child process is for.
#[derive(Debug, Clone, Copy)]
pub enum Role {
    /// Runs plugins.
    Worker,
    /// Compiles one component.
    Compiler,
}

/// What a child may write to its standard error before it is heard no more.
const ERRORS_BYTES_MAX: u64 = 64 << 10;

/// Messages of a worker that wait to be read; one may be as large as a frame.
const HEARD_MAX: usize = 4;

type Start = (Command, blocking::Sender<io::Result<Child>>);

/// Children are started by a thread that never ends: a child dies with the
/// thread that started it (`PR_SET_PDEATHSIG`), not with the whole process.
static STARTER: LazyLock<blocking::Sender<Start>> = LazyLock::new(|| {
    let (starts, queued) = blocking::channel::<Start>();
    thread::Builder::new()
        .name("worker-starter".into())
        .spawn(move || {
            for (mut command, started) in queued {
                started.send(command.spawn()).ok();
            }
        })
        .expect("a process that serves can start one more thread");
    starts
});

/// Starts the binary as a worker or compiler, with a socket as its standard
/// input and nothing else of this process.
pub fn spawn(settings: &Settings, role: Role) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (subcommand, data_bytes_max) = match role {
        Role::Worker => ("worker", settings.worker_memory_bytes_max),
        Role::Compiler => ("compile-worker", settings.compile_memory_bytes_max),
    };
    let mut command = Command::new(&settings.executable);
    command
        .args([subcommand, "--data-bytes-max", &data_bytes_max.to_string()])
        .args((settings.confinement == Confinement::Off).then_some("--unconfined"))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (start, started) = blocking::channel();
    let gone = || io::Error::other("the thread that starts workers has ended");
    STARTER.send((command, start)).map_err(|_| gone())?;
    let mut child = started.recv().map_err(|_| gone())??;
    if let Some(errors) = child.stderr.take() {
        let id = child.id();
        thread::Builder::new().name("worker-errors".into()).spawn(move || log_errors(id, errors))?;
    }
    Ok((child, ours))
}

/// A worker's last words. It may have been broken into, so they are cut and
/// escaped.
fn log_errors(id: u32, errors: ChildStderr) {
    for line in BufReader::new(errors.take(ERRORS_BYTES_MAX)).split(b'\n') {
        let Ok(line) = line else { return };
        let line = line.escape_ascii();
        tracing::warn!(worker.process = id, "a worker wrote to its standard error: {line}");
    }
}

impl WorkerProcess {
    /// Starts a worker and sends it its limits.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let (child, socket) = spawn(settings, Role::Worker)?;
        let Connection { mut reader, mut writer } = Connection::new(socket)?;
        let (heard, said) = mpsc::channel(HEARD_MAX);
        let (frames, queued) = blocking::channel::<Frame>();
        let id = child.id();
        thread::Builder::new().name("worker-reader".into()).spawn(move || {
            // Whatever ends the conversation, the closed channel tells it.
            while let Ok((message, None)) = reader.receive() {
                if heard.blocking_send(message).is_err() {
                    break;
                }
            }
        })?;
        thread::Builder::new().name("worker-writer".into()).spawn(move || {
            for frame in queued {
                if !frame(&mut writer) {
                    tracing::debug!(worker.process = id, "a frame to a worker could not be sent");
                    break;
                }
            }
            writer.shut_down();
        })?;
        let worker = Self { child, said, frames };
        let limits = settings.limits.clone();
        worker.send(move |writer| writer.send(&ToWorker::Start(limits), None).is_ok());
        Ok(worker)
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Queues a message. Loss shows as the closing of `said`.
    pub fn send(&self, frame: impl FnOnce(&mut FrameWriter) -> bool + Send + 'static) {
        self.frames.send(Box::new(frame)).ok();
    }

    /// Queues a plugin's hand-over.
    pub fn load(&self, slot: crate::protocol::PluginSlot, artifact: Arc<Artifact>) {
        self.send(move |writer| writer.send(&ToWorker::Load(slot), Some(artifact.descriptor())).is_ok());
    }

    /// Ends the process now and says how it ended.
    pub fn kill(&mut self) -> String {
        // It may have gone by itself, which is as good.
        self.child.kill().ok();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
