//! Each boundary as Linux has it.

use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::{Boundary, MissingBoundary, system_calls};

/// The newest Landlock that we know; an older kernel enforces what it has.
const LANDLOCK: ABI = ABI::V6;
/// Descriptors a worker may hold: its socket, and some for each loaded plugin.
const DESCRIPTORS_MAX: u64 = 1024;
/// The largest memory file: an artifact, or the initial memory of a plugin.
const FILE_BYTES_MAX: u64 = 1 << 30;

type Step = (Boundary, fn(u64) -> Result<(), String>);

pub fn confine(data_bytes_max: u64) -> Vec<MissingBoundary> {
    // System calls come last: the others need calls that it takes away.
    const STEPS: [Step; 5] = [
        (Boundary::Descriptors, close_inherited),
        (Boundary::DeathWithDaemon, die_with_daemon),
        (Boundary::ResourceLimits, limit_resources),
        (Boundary::FileSystem, forbid_files),
        (Boundary::SystemCalls, |_| system_calls::restrict()),
    ];
    STEPS
        .into_iter()
        .filter_map(|(boundary, step)| {
            let reason = step(data_bytes_max).err()?;
            Some(MissingBoundary { boundary, reason })
        })
        .collect()
}

fn close_inherited(_: u64) -> Result<(), String> {
    // SAFETY: this is the first thing the process does, so nothing in it
    // believes to own a descriptor beyond the standard three.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

fn die_with_daemon(_: u64) -> Result<(), String> {
    // A daemon that has gone already shows as a closed socket.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())
}

fn limit_resources(data_bytes_max: u64) -> Result<(), String> {
    // Not `As`: the pool reserves hundreds of GiB of addresses. Not `Nproc`: it
    // counts all processes of the user.
    let limits = [
        (Resource::Core, 0),
        (Resource::Data, data_bytes_max),
        (Resource::Fsize, FILE_BYTES_MAX),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}

fn forbid_files(_: u64) -> Result<(), String> {
    let restricted = (|| {
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .restrict_self()
    })()
    .map_err(|error| error.to_string())?;
    match restricted.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock".into()),
        // Older kernels lack the later additions (network, signals), which
        // the system call filter covers as well.
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}
