//! The one-shot process that compiles one component and exits.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::{Confinement, WorkerError, inherited_connection};
use crate::protocol::{FromWorker, ToWorker};
use crate::sandbox;

/// Compiles what the first frame brings and sends the artifact back.
/// Confines itself first, as ordinary workers do and report.
pub fn compile_and_exit(confinement: Confinement) -> Result<(), WorkerError> {
    confinement.apply();
    let mut connection = inherited_connection()?;
    let (ToWorker::Compile(limits), Some(component)) = connection.reader.receive()? else {
        return Err(WorkerError::OutOfOrder("Compile"));
    };
    let mut bytes = Vec::new();
    let mut component = File::from(component);
    component.rewind()?;
    component.read_to_end(&mut bytes)?;
    match sandbox::compile(&bytes, &limits) {
        Ok(artifact) => {
            let mut sealed = File::from(
                memfd_create("artifact", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                    .map_err(std::io::Error::from)?,
            );
            sealed.write_all(&artifact)?;
            fcntl_add_seals(
                &sealed,
                SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
            )
            .map_err(std::io::Error::from)?;
            connection.writer.send(&FromWorker::Compiled(Ok(())), Some(sealed.as_fd()))?;
        }
        Err(refused) => connection.writer.send(&FromWorker::Compiled(Err(refused.0)), None)?,
    }
    Ok(())
}
