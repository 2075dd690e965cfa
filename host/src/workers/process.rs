//! One child process and the threads that speak with it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc as blocking};
use std::thread;

use tokio::sync::mpsc;

use super::{Artifact, Settings};
use crate::protocol::{Connection, FrameWriter, FromWorker, ToWorker};

/// A running worker. It is killed when dropped.
pub struct WorkerProcess {
    child: Child,
    /// What it says; closed when it has gone.
    pub said: mpsc::UnboundedReceiver<FromWorker>,
    frames: blocking::Sender<Frame>,
}

type Frame = Box<dyn FnOnce(&mut FrameWriter) -> bool + Send>;

/// Starts a subcommand of the binary, with a socket as its standard input and
/// nothing else of this process.
pub fn spawn(settings: &Settings, subcommand: &str) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(&settings.executable)
        .arg(subcommand)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok((child, ours))
}

impl WorkerProcess {
    /// Starts a worker and sends it its limits.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let (child, socket) = spawn(settings, "worker")?;
        let Connection { mut reader, mut writer } = Connection::new(socket)?;
        let (heard, said) = mpsc::unbounded_channel();
        let (frames, queued) = blocking::channel::<Frame>();
        let id = child.id();
        thread::Builder::new().name("worker-reader".into()).spawn(move || {
            // Whatever ends the conversation, the closed channel tells it.
            while let Ok((message, None)) = reader.receive() {
                if heard.send(message).is_err() {
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
