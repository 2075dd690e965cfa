//! The system calls of a worker: this list is all that it needs, and
//! `docs/security.md` repeats it (a test compares the two).
//!
//! What is not listed answers EPERM. `clone3` answers ENOSYS, because its flags
//! lie in memory where a filter cannot read them; C libraries then use `clone`,
//! which is allowed for threads only.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Allowed with any arguments.
pub const ALLOWED: &[(&str, c_long)] = &[
    // The socket, and artifacts that come over it.
    ("close", libc::SYS_close),
    ("fstat", libc::SYS_fstat),
    ("lseek", libc::SYS_lseek),
    ("openat", libc::SYS_openat),
    ("pread64", libc::SYS_pread64),
    ("read", libc::SYS_read),
    ("recvmsg", libc::SYS_recvmsg),
    ("sendmsg", libc::SYS_sendmsg),
    ("sendto", libc::SYS_sendto),
    ("recvfrom", libc::SYS_recvfrom),
    ("shutdown", libc::SYS_shutdown),
    ("write", libc::SYS_write),
    ("writev", libc::SYS_writev),
    // Memory.
    ("brk", libc::SYS_brk),
    ("ftruncate", libc::SYS_ftruncate),
    ("madvise", libc::SYS_madvise),
    ("memfd_create", libc::SYS_memfd_create),
    ("mmap", libc::SYS_mmap),
    ("mprotect", libc::SYS_mprotect),
    ("mremap", libc::SYS_mremap),
    ("munmap", libc::SYS_munmap),
    // Threads, signals and time.
    ("clock_gettime", libc::SYS_clock_gettime),
    ("clock_nanosleep", libc::SYS_clock_nanosleep),
    ("exit", libc::SYS_exit),
    ("exit_group", libc::SYS_exit_group),
    ("futex", libc::SYS_futex),
    ("getpid", libc::SYS_getpid),
    ("getrandom", libc::SYS_getrandom),
    ("gettid", libc::SYS_gettid),
    ("nanosleep", libc::SYS_nanosleep),
    ("restart_syscall", libc::SYS_restart_syscall),
    ("rseq", libc::SYS_rseq),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("rt_sigreturn", libc::SYS_rt_sigreturn),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
    ("sched_yield", libc::SYS_sched_yield),
    ("set_robust_list", libc::SYS_set_robust_list),
    ("sigaltstack", libc::SYS_sigaltstack),
];

/// Allowed with some arguments only: name, and for which.
pub const ALLOWED_WITH_CONDITIONS: &[(&str, &str)] = &[
    ("clone", "threads only (CLONE_THREAD)"),
    ("fcntl", "F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS"),
    ("newfstatat", "AT_EMPTY_PATH, as C libraries ask for the size of an open file"),
    ("prctl", "PR_SET_NAME"),
    ("tgkill", "of this process"),
];

/// Ends the process at once.
pub const FATAL: &[(&str, c_long)] =
    &[("execve", libc::SYS_execve), ("execveat", libc::SYS_execveat), ("ptrace", libc::SYS_ptrace)];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Applies the filters to this thread and those that it starts.
pub fn restrict() -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let rules = allowed().map_err(|error| told(&error))?;
    let no_clone3 = unconditional([libc::SYS_clone3]);
    let fatal = unconditional(FATAL.iter().map(|(_, number)| *number));
    // The kernel takes the strictest answer of all filters. The allow-list comes
    // last: it forbids to add another.
    for (rules, otherwise, matched) in [
        (fatal, SeccompAction::Allow, SeccompAction::KillProcess),
        (no_clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32)),
        (rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow),
    ] {
        let architecture = std::env::consts::ARCH.try_into().map_err(|error| told(&error))?;
        let program: BpfProgram = SeccompFilter::new(rules, otherwise, matched, architecture)
            .and_then(TryInto::try_into)
            .map_err(|error| told(&error))?;
        apply_filter(&program).map_err(|error| told(&error))?;
    }
    Ok(())
}

fn unconditional(numbers: impl IntoIterator<Item = c_long>) -> Rules {
    numbers.into_iter().map(|number| (number, Vec::new())).collect()
}

fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let equal = |index, value: u64| {
        let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        SeccompRule::new(vec![condition])
    };
    let mut rules = unconditional(ALLOWED.iter().map(|(_, number)| *number));
    // Allowed here, answered by the filter of its own.
    rules.insert(libc::SYS_clone3, Vec::new());
    let thread = libc::CLONE_THREAD as u64;
    let with_thread =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![with_thread])?]);
    let commands = [
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_DUPFD_CLOEXEC,
        libc::F_ADD_SEALS,
        libc::F_GET_SEALS,
    ];
    let commands = commands.into_iter().map(|command| equal(1, command as u64)).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_fcntl, commands);
    rules.insert(libc::SYS_newfstatat, vec![equal(3, libc::AT_EMPTY_PATH as u64)?]);
    rules.insert(libc::SYS_prctl, vec![equal(0, libc::PR_SET_NAME as u64)?]);
    // `abort` and unhandled faults.
    rules.insert(libc::SYS_tgkill, vec![equal(0, u64::from(std::process::id()))?]);
    Ok(rules)
}
