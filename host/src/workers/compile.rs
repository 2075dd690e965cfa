//! The one-shot compile process, seen from the daemon.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;

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

/// Starts a process, gives it the component, waits for the artifact.
pub fn compile(settings: &Settings, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let process = |error: &dyn std::fmt::Display| CompileError::Process(error.to_string());
    let source = sealed_memory("component", component).map_err(|error| process(&error))?;
    let (mut child, socket) = spawn(settings, Role::Compiler).map_err(|error| process(&error))?;
    let answer = (|| {
        socket.set_read_timeout(Some(settings.compile_timeout)).map_err(|error| process(&error))?;
        let mut connection = Connection::new(socket).map_err(|error| process(&error))?;
        connection
            .writer
            .send(&ToWorker::Compile(settings.limits.clone()), Some(source.as_fd()))
            .map_err(|error| process(&error))?;
        match connection.reader.receive() {
            Ok((FromWorker::Compiled(Ok(())), Some(artifact))) => {
                let mut bytes = Vec::new();
                let mut artifact = File::from(artifact);
                artifact.rewind().map_err(|error| process(&error))?;
                artifact
                    .take(ARTIFACT_BYTES_MAX + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| process(&error))?;
                if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
                    return Err(CompileError::Refused(format!(
                        "compiles to more than {} MiB",
                        ARTIFACT_BYTES_MAX >> 20
                    )));
                }
                Ok(bytes)
            }
            Ok((FromWorker::Compiled(Err(reason)), _)) => Err(CompileError::Refused(reason)),
            Ok(_) => Err(CompileError::Process("it spoke out of turn".into())),
            Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(CompileError::TimedOut(settings.compile_timeout.as_secs()))
            }
            Err(FrameError::Closed) => {
                let status = child.wait().map_err(|error| process(&error))?;
                let most = settings.compile_memory_bytes_max >> 20;
                Err(CompileError::Process(format!("it ended ({status}); it may use {most} MiB of memory")))
            }
            Err(error) => Err(process(&error)),
        }
    })();
    // It has nothing left to do; waiting keeps no zombie.
    child.kill().ok();
    child.wait().ok();
    answer
}
