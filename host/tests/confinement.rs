//! A native probe under the very same confinement as a worker finds nothing.
//!
//! This file has no test harness: it starts itself again as the probe, and a
//! probe must confine itself while it has one thread.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: workers are confined on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::path::Path;
    use std::process::{Command, Stdio, exit};
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::time::{Duration, Instant};

    use assay::confinement::{ALLOWED, ALLOWED_WITH_CONDITIONS, FATAL, confine};
    use assay::protocol::{Connection, FromWorker, JobId, LogLine, LoggedLevel, PluginSlot, ToWorker};
    use assay::sandbox::Engine;
    use assay::workers::{Settings, Workers};
    use libc::{
        EACCES, EBADF, ENOSYS, EPERM, SYS_bpf, SYS_chroot, SYS_clone, SYS_clone3, SYS_connect,
        SYS_epoll_create1, SYS_execve, SYS_execveat, SYS_fcntl, SYS_inotify_init1, SYS_io_uring_setup,
        SYS_ioctl, SYS_keyctl, SYS_kill, SYS_memfd_create, SYS_mkdirat, SYS_mount, SYS_newfstatat,
        SYS_open_by_handle_at, SYS_openat, SYS_perf_event_open, SYS_personality, SYS_pidfd_open, SYS_prctl,
        SYS_prlimit64, SYS_process_vm_readv, SYS_ptrace, SYS_read, SYS_seccomp, SYS_setns, SYS_setuid,
        SYS_socket, SYS_socketpair, SYS_statx, SYS_tgkill, SYS_unlinkat, SYS_unshare, SYS_userfaultfd,
        c_long,
    };

    const DATA_BYTES_MAX: u64 = 4 << 30;

    /// How an attempt has to end.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Ends {
        /// Refused with this error.
        With(i32),
        /// The process is killed.
        Killed,
        /// It works: a worker needs it.
        Well,
    }

    type Probe = (&'static str, Ends, fn() -> c_long);

    /// A system call; arguments that are missing are 0.
    macro_rules! call {
        ($number:expr $(, $argument:expr)*) => {
            // SAFETY: each probe passes pointers to constants or none; the
            // point is that the kernel refuses before it uses them.
            unsafe { libc::syscall($number $(, $argument as usize)*, 0_usize, 0_usize) }
        };
    }

    fn open(path: &std::ffi::CStr, flags: i32) -> c_long {
        call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600)
    }

    /// Read before confinement, which takes `getppid` away too.
    static PARENT: AtomicI32 = AtomicI32::new(0);

    fn parent() -> libc::pid_t {
        PARENT.load(Ordering::Relaxed)
    }

    fn memory_file() -> c_long {
        call!(SYS_memfd_create, c"x".as_ptr(), 0)
    }

    const PROBES: &[Probe] = &[
        ("open /", Ends::With(EACCES), || open(c"/", libc::O_RDONLY | libc::O_DIRECTORY)),
        ("open /etc/passwd", Ends::With(EACCES), || open(c"/etc/passwd", libc::O_RDONLY)),
        ("write /tmp", Ends::With(EACCES), || open(c"/tmp/assay-probe", libc::O_CREAT | libc::O_WRONLY)),
        ("open /dev/null", Ends::With(EACCES), || open(c"/dev/null", libc::O_RDWR)),
        ("/proc/self/environ", Ends::With(EACCES), || open(c"/proc/self/environ", libc::O_RDONLY)),
        ("/proc/self/mem", Ends::With(EACCES), || open(c"/proc/self/mem", libc::O_RDWR)),
        ("/proc/PARENT/mem", Ends::With(EACCES), || {
            let path = std::ffi::CString::new(format!("/proc/{}/mem", parent())).expect("no zero");
            open(&path, libc::O_RDWR)
        }),
        ("/proc/PARENT/environ", Ends::With(EACCES), || {
            let path = std::ffi::CString::new(format!("/proc/{}/environ", parent())).expect("no zero");
            open(&path, libc::O_RDONLY)
        }),
        ("stat", Ends::With(EPERM), || call!(SYS_newfstatat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0, 0)),
        ("statx", Ends::With(EPERM), || call!(SYS_statx, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0, 0)),
        ("mkdir", Ends::With(EPERM), || call!(SYS_mkdirat, libc::AT_FDCWD, c"/tmp/assay".as_ptr(), 0)),
        ("unlink", Ends::With(EPERM), || call!(SYS_unlinkat, libc::AT_FDCWD, c"/tmp/assay".as_ptr(), 0)),
        ("open by handle", Ends::With(EPERM), || call!(SYS_open_by_handle_at, 3, 0, 0)),
        ("socket inet", Ends::With(EPERM), || call!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM)),
        ("socket inet udp", Ends::With(EPERM), || call!(SYS_socket, libc::AF_INET, libc::SOCK_DGRAM)),
        ("socket inet6", Ends::With(EPERM), || call!(SYS_socket, libc::AF_INET6, libc::SOCK_STREAM)),
        ("socket unix", Ends::With(EPERM), || call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM)),
        ("socket netlink", Ends::With(EPERM), || call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW)),
        ("socket vsock", Ends::With(EPERM), || call!(SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM)),
        ("socketpair", Ends::With(EPERM), || call!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM)),
        ("connect", Ends::With(EPERM), || call!(SYS_connect, 0, 0, 0)),
        ("exec", Ends::Killed, || call!(SYS_execve, c"/bin/true".as_ptr(), 0, 0)),
        ("memfd and exec", Ends::Killed, || {
            call!(SYS_execveat, memory_file(), c"".as_ptr(), 0, 0, libc::AT_EMPTY_PATH)
        }),
        ("fork", Ends::With(EPERM), || call!(SYS_clone, libc::SIGCHLD)),
        #[cfg(target_arch = "x86_64")]
        ("old fork", Ends::With(EPERM), || call!(libc::SYS_fork)),
        #[cfg(target_arch = "x86_64")]
        ("vfork", Ends::With(EPERM), || call!(libc::SYS_vfork)),
        ("clone3", Ends::With(ENOSYS), || call!(SYS_clone3)),
        ("ptrace", Ends::Killed, || call!(SYS_ptrace, libc::PTRACE_ATTACH, parent())),
        ("kill the parent", Ends::With(EPERM), || call!(SYS_kill, parent(), libc::SIGKILL)),
        ("kill everyone", Ends::With(EPERM), || call!(SYS_kill, -1_i32, libc::SIGTERM)),
        ("tgkill the parent", Ends::With(EPERM), || call!(SYS_tgkill, parent(), parent(), libc::SIGKILL)),
        ("pidfd of the parent", Ends::With(EPERM), || call!(SYS_pidfd_open, parent())),
        ("read the parent", Ends::With(EPERM), || call!(SYS_process_vm_readv, parent())),
        ("signals through the socket", Ends::With(EPERM), || call!(SYS_fcntl, 0, libc::F_SETOWN, parent())),
        ("io_uring", Ends::With(EPERM), || call!(SYS_io_uring_setup, 8)),
        ("userfaultfd", Ends::With(EPERM), || call!(SYS_userfaultfd)),
        ("bpf", Ends::With(EPERM), || call!(SYS_bpf)),
        ("keyctl", Ends::With(EPERM), || call!(SYS_keyctl)),
        ("perf", Ends::With(EPERM), || call!(SYS_perf_event_open)),
        ("ioctl", Ends::With(EPERM), || call!(SYS_ioctl, 2, libc::TIOCSTI, c"x".as_ptr())),
        ("unshare", Ends::With(EPERM), || call!(SYS_unshare, libc::CLONE_NEWUSER)),
        ("setns", Ends::With(EPERM), || call!(SYS_setns, 0)),
        ("mount", Ends::With(EPERM), || call!(SYS_mount)),
        ("chroot", Ends::With(EPERM), || call!(SYS_chroot, c"/".as_ptr())),
        ("setuid", Ends::With(EPERM), || call!(SYS_setuid)),
        ("raise a limit", Ends::With(EPERM), || call!(SYS_prlimit64, 0, libc::RLIMIT_CORE)),
        ("outlive the daemon", Ends::With(EPERM), || call!(SYS_prctl, libc::PR_SET_PDEATHSIG, 0)),
        ("another filter", Ends::With(EPERM), || call!(SYS_seccomp, 1)),
        ("personality", Ends::With(EPERM), || call!(SYS_personality)),
        ("epoll", Ends::With(EPERM), || call!(SYS_epoll_create1)),
        ("inotify", Ends::With(EPERM), || call!(SYS_inotify_init1)),
        ("an inherited descriptor", Ends::With(EBADF), || {
            let mut room = [0_u8; 8];
            call!(SYS_read, 9, room.as_mut_ptr(), room.len())
        }),
        // What a worker needs goes on working.
        ("a thread", Ends::Well, || std::thread::spawn(|| 0).join().map_or(-1, |_| 0)),
        ("map an artifact", Ends::Well, || {
            let path = std::ffi::CString::new(format!("/proc/self/fd/{}", memory_file())).expect("no zero");
            open(&path, libc::O_RDONLY)
        }),
    ];

    pub fn main() {
        let arguments: Vec<_> = std::env::args().collect();
        match arguments.get(1).map(String::as_str) {
            Some("probe") => probe(&arguments[2]),
            Some("sleeper") => sleeper(),
            Some("parent") => start_sleeper(),
            Some("garbage") => broken_worker(garbage),
            Some("chatter") => broken_worker(chatter),
            Some("drip") => broken_compiler(drip),
            Some("hang-up") => broken_compiler(hang_up),
            Some("without-landlock") => without_landlock(&arguments[2..]),
            // `cargo test -- --list` and the like.
            Some("--list") => {}
            _ => tests(),
        }
    }

    fn tests() {
        let tests: [(&str, fn()); 6] = [
            ("every_attempt_of_the_probe_ends_as_it_must", every_attempt_ends_as_it_must),
            ("a_worker_dies_with_its_daemon", a_worker_dies_with_its_daemon),
            ("a_worker_that_was_broken_into_is_replaced", a_broken_worker_is_replaced),
            ("a_compiler_that_was_broken_into_ends_in_its_time", a_broken_compiler_ends_in_its_time),
            ("a_missing_boundary_is_named_and_can_be_refused", a_missing_boundary_is_named),
            ("the_documentation_lists_the_system_calls", the_documentation_lists_the_system_calls),
        ];
        println!("\nrunning {} tests", tests.len());
        for (name, test) in tests {
            test();
            println!("test {name} ... ok");
        }
        println!(
            "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
            tests.len()
        );
    }

    fn this() -> Command {
        Command::new(std::env::current_exe().expect("it has a path"))
    }

    fn every_attempt_ends_as_it_must() {
        let mut wrong = Vec::new();
        for (name, expected, _) in PROBES {
            // The shell leaves descriptor 9 open for the probe.
            let output = Command::new("sh")
                .args(["-c", "exec \"$0\" probe \"$1\" 9</etc/passwd"])
                .arg(std::env::current_exe().expect("it has a path"))
                .arg(name)
                .output()
                .expect("it starts");
            let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let ended = match output.status.signal() {
                Some(libc::SIGSYS) => Some(Ends::Killed),
                Some(_) => None,
                None if told == "0" => Some(Ends::Well),
                None => told.parse().ok().map(Ends::With),
            };
            if ended != Some(*expected) {
                wrong.push(format!("{name}: {ended:?} instead of {expected:?}; {output:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        println!("{} attempts", PROBES.len());
    }

    fn probe(name: &str) {
        let (_, _, attempt) = PROBES.iter().find(|(known, ..)| *known == name).expect("a probe");
        PARENT.store(std::os::unix::process::parent_id() as i32, Ordering::Relaxed);
        let missing = confine(DATA_BYTES_MAX);
        assert!(missing.is_empty(), "{missing:?}");
        let result = attempt();
        let error = if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 };
        println!("{error}");
    }

    fn sleeper() {
        confine(DATA_BYTES_MAX);
        println!("{}", std::process::id());
        loop {
            std::hint::spin_loop();
        }
    }

    fn start_sleeper() {
        let status = this().arg("sleeper").status();
        exit(status.map_or(1, |_| 0));
    }

    fn a_worker_dies_with_its_daemon() {
        let mut parent = this().arg("parent").stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let sleeper = format!("/proc/{}", line.trim());
        assert!(Path::new(&sleeper).exists(), "{sleeper}");
        parent.kill().expect("killed");
        parent.wait().expect("gone");
        let gone_by = Instant::now() + Duration::from_secs(10);
        let lives = || fs::read_to_string(format!("{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            assert!(Instant::now() < gone_by, "{sleeper} outlived its parent");
            std::thread::yield_now();
        }
    }

    /// A worker that was broken into: it is ready and takes work, then does this.
    fn broken_worker(then: fn(Connection, UnixStream)) {
        let missing = confine(DATA_BYTES_MAX);
        let (mut connection, raw) = connection();
        let (ToWorker::Start(limits), _) = connection.reader.receive().expect("a frame") else { exit(3) };
        let compatibility = Engine::start(limits).expect("an engine").compatibility();
        connection.writer.send(&FromWorker::Ready { compatibility, missing }, None).expect("sent");
        connection.reader.receive::<ToWorker<'static>>().expect("work");
        then(connection, raw);
        spin()
    }

    /// A compiler that was broken into by its component, and does this.
    fn broken_compiler(then: fn(UnixStream)) {
        confine(DATA_BYTES_MAX);
        let (mut connection, raw) = connection();
        connection.reader.receive::<ToWorker<'static>>().expect("a component");
        then(raw);
        spin()
    }

    fn connection() -> (Connection, UnixStream) {
        let socket =
            UnixStream::from(std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().expect("a socket"));
        let raw = socket.try_clone().expect("a copy");
        (Connection::new(socket).expect("a connection"), raw)
    }

    fn spin() -> ! {
        loop {
            std::hint::spin_loop();
        }
    }

    /// Writes what no frame is.
    fn garbage(_: Connection, mut raw: UnixStream) {
        let noise: Vec<u8> =
            (0..1_u32 << 20).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        raw.write_all(&noise).ok();
        eprintln!("\u{1b}[31mnoise for the terminal");
    }

    /// Logs without end, to fill the disk.
    fn chatter(mut connection: Connection, _: UnixStream) {
        let line = LogLine { level: LoggedLevel::Error, message: "x".repeat(1 << 20) };
        while connection
            .writer
            .send(&FromWorker::Logged(JobId(0), PluginSlot(0), vec![line.clone()]), None)
            .is_ok()
        {}
    }

    /// Begins a long frame and goes on a byte at a time.
    fn drip(mut raw: UnixStream) {
        raw.write_all(&[0xA5, 1, 0, 0, 0, 0, 0, 1]).ok();
        while raw.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Closes its socket and stays.
    fn hang_up(raw: UnixStream) {
        raw.shutdown(std::net::Shutdown::Both).ok();
    }

    /// A binary that is this one for the role the first time, and else the real one.
    fn stand_in(folder: &Path, role: &str, broken: &str) -> std::path::PathBuf {
        let script = folder.join(broken);
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = {role} ] && /bin/mkdir '{}' 2>/dev/null\n\
             then exec '{}' {broken}\nelse exec '{}' \"$@\"\nfi\n",
            folder.join(format!("{broken}-was-here")).display(),
            std::env::current_exe().expect("it has a path").display(),
            env!("CARGO_BIN_EXE_assay"),
        );
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("made executable");
        script
    }

    async fn start_with(executable: std::path::PathBuf) -> Workers {
        let settings = Settings {
            executable,
            count: 1,
            compile_timeout: Duration::from_secs(2),
            ..Settings::of_this_binary().expect("the binary has a path")
        };
        Workers::start(settings).await.expect("the first worker looks healthy")
    }

    fn a_broken_worker_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            for broken in ["garbage", "chatter"] {
                let workers = start_with(stand_in(folder.path(), "worker", broken)).await;
                let first = workers.process_ids();
                let none =
                    assay::workers::Artifact::new(assay::domain::digest::Digest::of(b"x"), b"no artifact");
                let plugin = std::sync::Arc::new(none.expect("memory"));
                // The broken worker never started the job, so the next one gets it.
                let refused = workers.describe(&plugin).await.expect_err("this is no artifact");
                assert!(refused.unscored.message.contains("as an ELF"), "{broken}: {refused:?}");
                assert_ne!(workers.process_ids(), first, "{broken}");
            }
        });
    }

    fn a_broken_compiler_ends_in_its_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            for (broken, reason) in [("drip", "not compiled within 2 s"), ("hang-up", "it ended (signal: 9")]
            {
                let workers = start_with(stand_in(folder.path(), "compile-worker", broken)).await;
                let before = Instant::now();
                let failed = workers.compile(b"a component".to_vec()).await.expect_err(broken).to_string();
                assert!(failed.contains(reason), "{broken}: {failed}");
                assert!(before.elapsed() < Duration::from_secs(4), "{broken} took {:?}", before.elapsed());
                let refused = workers.compile(b"a component".to_vec()).await.expect_err("none").to_string();
                assert!(refused.starts_with("failed to compile"), "the next one compiles: {refused}");
            }
        });
    }

    /// Runs a command as on a kernel that has no Landlock.
    fn without_landlock(command: &[String]) {
        use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
        let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into_iter().collect();
        let refused = SeccompAction::Errno(ENOSYS as u32);
        let architecture = std::env::consts::ARCH.try_into().expect("known");
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture).expect("a filter");
        let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
        apply_filter(&program).expect("applied");
        panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
    }

    fn a_missing_boundary_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let serve = |more: &[&str]| {
            let mut command = this();
            command
                .args(["without-landlock", env!("CARGO_BIN_EXE_assay"), "serve", "--listen", "127.0.0.1:0"])
                .arg("--data-dir")
                .arg(folder.path())
                .args(more)
                .env(
                    "ASSAY_ARTIFACT_DIR",
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-artifacts"),
                )
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command
        };
        let output = serve(&["--require-sandbox"]).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("missing: file system (Landlock)"), "{told}");

        let mut daemon = serve(&[]).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().trim_start_matches("listening on http://").to_owned();
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        daemon.kill().expect("killed");
        let output = daemon.wait_with_output().expect("gone");
        assert!(answer.contains(r#""missing_boundaries":[{"boundary":"file_system""#), "{answer}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("workers lack a boundary"), "{told}");
    }

    fn the_documentation_lists_the_system_calls() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
        let text = fs::read_to_string(path).expect("docs/security.md");
        let names = |list: &[(&'static str, c_long)]| {
            let mut names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
            names.sort();
            format!("`{}`", names.join("`, `"))
        };
        let mut expected = vec![format!("Allowed: {}.", names(ALLOWED))];
        expected.extend(ALLOWED_WITH_CONDITIONS.iter().map(|(name, when)| format!("- `{name}`: {when}")));
        expected.push(format!("End the process: {}.", names(FATAL)));
        for line in expected {
            assert!(text.lines().any(|found| found == line), "docs/security.md lacks this line:\n{line}");
        }
    }
}
