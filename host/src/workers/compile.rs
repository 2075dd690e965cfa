//! The one-shot compile process, seen from the daemon.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::Settings;
use super::artifacts::sealed_memory;
use super::process::{Role, spawn};
use crate::protocol::{Connection, FrameError, FromWorker, ToWorker};

/// An artifact may not be larger: a component of 64 MiB compiles to less.
const ARTIFACT_BYTES_MAX: u64 = 512 << 20;

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is at fault.
    #[error("{0}")]
    Refused(String),
    /// The time was up.
    #[error("not compiled within {0} s")]
    TimedOut(u64),
    /// The process is at fault, or the component broke it.
    #[error("the compile process failed: {0}")]
    Process(String),
}

/// Why there is no artifact, before it is known how the process ended.
enum Ended {
    Refused(String),
    Closed,
    Process(String),
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Process(error.to_string())
    }
}

/// Starts a process, gives it the component, waits for the artifact.
pub fn compile(settings: &Settings, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let process = |error: std::io::Error| CompileError::Process(error.to_string());
    let source = sealed_memory("component", component).map_err(process)?;
    let (mut child, socket) = spawn(settings, Role::Compiler).map_err(process)?;
    let (finished, waiting) = channel::<()>();
    let (id, timeout) = (child.id(), settings.compile_timeout);
    // The time is watched from outside: a process that was broken into could
    // answer a byte at a time.
    let watch = thread::spawn(move || {
        let timed_out = waiting.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
        if timed_out && let Some(id) = Pid::from_raw(id as i32) {
            // Nobody has waited for the process, so the id is still its own.
            kill_process(id, Signal::KILL).ok();
        }
        timed_out
    });
    let answer = converse(settings, &source, socket);
    drop(finished);
    let timed_out = watch.join().unwrap_or(false);
    // It has nothing left to do; waiting keeps no zombie.
    child.kill().ok();
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    answer.map_err(|ended| match ended {
        _ if timed_out => CompileError::TimedOut(timeout.as_secs()),
        Ended::Refused(reason) => CompileError::Refused(reason),
        Ended::Process(reason) => CompileError::Process(reason),
        Ended::Closed => CompileError::Process(format!(
            "it ended ({status}); it may use {} MiB of memory",
            settings.compile_memory_bytes_max >> 20
        )),
    })
}

fn converse(settings: &Settings, component: &OwnedFd, socket: UnixStream) -> Result<Vec<u8>, Ended> {
    let mut connection = Connection::new(socket)?;
    connection.writer.send(&ToWorker::Compile(settings.limits.clone()), Some(component.as_fd()))?;
    let artifact = match connection.reader.receive() {
        Ok((FromWorker::Compiled(Ok(())), Some(artifact))) => artifact,
        Ok((FromWorker::Compiled(Err(reason)), _)) => return Err(Ended::Refused(reason)),
        Ok(_) => return Err(Ended::Process("it spoke out of turn".into())),
        Err(FrameError::Closed) => return Err(Ended::Closed),
        Err(error) => return Err(error.into()),
    };
    let mut artifact = File::from(artifact);
    artifact.rewind()?;
    let mut bytes = Vec::new();
    artifact.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(Ended::Refused(format!("compiles to more than {} MiB", ARTIFACT_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}
