//! Lets `verify`, `inspect` and `cat` give up what they do not need before they parse the first
//! byte of a bundle.
//!
//! Uses the kernel's own means, which cannot be undone. Landlock allows only reading files below
//! the bundle's directories and forbids the network; seccomp allows only the system calls for
//! reading, hashing, threads and writing to open files. Files that are already open (standard
//! streams, reports) stay open. If the kernel does not support one of the two, a detail line says
//! so; this is not a failure. A command that must start other programs or open more files does so
//! before, or is not confined. Does nothing under `demo`, which runs more commands in the same
//! process, and in a test world, whose process runs other tests too.

use std::path::{Path, PathBuf};

use super::Session;
use crate::flow::Event;

/// Returns the directories that a process waiting for media must be able to read: for each of
/// `directories`, the nearest existing directory above it. For landlock, a medium that is mounted
/// on a directory later lies below the parent of that directory, not below the directory itself.
pub fn above(directories: &[PathBuf]) -> Vec<PathBuf> {
    let full = |dir: &PathBuf| dir.canonicalize().or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.clone());
    let found = |dir: PathBuf| dir.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned);
    directories.iter().filter_map(|dir| found(full(dir))).collect()
}

/// Confines this process to reading below `directories`.
pub fn confine(session: &Session<'_>, directories: &[PathBuf]) {
    if !session.world.is_one_command() {
        return;
    }
    for line in kernel::confine(directories) {
        session.flow.event(Event::Detail(line));
    }
}

#[cfg(not(all(feature = "guard", target_os = "linux")))]
mod kernel {
    pub fn confine(_: &[std::path::PathBuf]) -> Vec<String> {
        vec!["not confined: this build does not support it".to_owned()]
    }
}

#[cfg(all(feature = "guard", target_os = "linux"))]
mod kernel {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
        RulesetError, RulesetStatus, Scope,
    };
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    };

    use crate::base::fault::escape;

    /// Confines this thread and the threads that it starts. Returns lines that say how.
    pub fn confine(directories: &[PathBuf]) -> Vec<String> {
        let landlock = match fence(directories) {
            Ok(RulesetStatus::FullyEnforced) => format!("confined by landlock: {}", listed(directories)),
            Ok(RulesetStatus::PartiallyEnforced) => {
                format!("confined by landlock, as far as this kernel supports it: {}", listed(directories))
            }
            Ok(RulesetStatus::NotEnforced) => "not confined by landlock: this kernel does not support it".to_owned(),
            Err(error) => format!("not confined by landlock: {error}"),
        };
        let seccomp = match filter() {
            Ok(()) => "confined by seccomp: no sockets, no other programs, no files opened for writing".to_owned(),
            Err(error) => format!("not confined by seccomp: {error}"),
        };
        vec![landlock, seccomp]
    }

    /// Returns the directories as text.
    fn listed(directories: &[PathBuf]) -> String {
        let mut list: Vec<String> = directories.iter().map(|dir| escape(&dir.to_string_lossy())).collect();
        list.dedup();
        if list.is_empty() {
            "reads only files that are already open".to_owned()
        } else {
            format!("reads below {} only", list.join(", "))
        }
    }

    fn fence(directories: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
        // The newest version that the crate knows; older kernels enforce what they can.
        let newest = ABI::V7;
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(newest))?
            .handle_access(AccessNet::from_all(newest))?
            .scope(Scope::from_all(newest))?
            .create()?;
        for directory in directories {
            // A missing directory needs no rule: opening it fails later and says so.
            if let Ok(directory) = PathFd::new(directory) {
                rules = rules.add_rule(PathBeneath::new(directory, AccessFs::ReadFile | AccessFs::ReadDir))?;
            }
        }
        Ok(rules.restrict_self()?.ruleset)
    }

    fn filter() -> Result<(), Box<dyn std::error::Error>> {
        let arch = TargetArch::try_from(ARCH)?;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
        let zero = |argument: u8, mask: i64| -> Result<SeccompRule, seccompiler::BackendError> {
            let compare = SeccompCmpOp::MaskedEq(mask.unsigned_abs());
            SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, 0)?])
        };
        // Not O_ACCMODE: with musl it includes O_PATH.
        let writing = i64::from(libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) | TMPFILE;
        rules.insert(libc::SYS_openat, vec![zero(2, writing)?]);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, vec![zero(1, writing)?]);
        // No new machine code.
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![zero(2, i64::from(libc::PROT_EXEC))?]);
        }
        // Threads, but no other processes. `clone3`, whose flags a filter cannot see, fails with
        // ENOSYS, so the C library falls back to `clone`.
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        let is_thread = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(thread), thread)?;
        rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
        // Reading a terminal's size and settings, for the bars; no request that changes it or
        // inserts input.
        let asks = ASKS.into_iter().map(|request| {
            let is = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?;
            SeccompRule::new(vec![is])
        });
        rules.insert(libc::SYS_ioctl, asks.collect::<Result<_, _>>()?);
        // Other calls fail with ENOSYS, as on a kernel that does not have them.
        let refuse = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let program: seccompiler::BpfProgram =
            SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
        seccompiler::apply_filter(&program)?;
        Ok(())
    }

    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "signed with musl, unsigned with glibc")]
    const ASKS: [u64; 2] = [libc::TIOCGWINSZ as u64, libc::TCGETS as u64];

    /// Name of this build's processor in `seccompiler`; other processors get no filter.
    const ARCH: &str = match () {
        () if cfg!(target_arch = "x86_64") => "x86_64",
        () if cfg!(target_arch = "aarch64") => "aarch64",
        () => "unknown",
    };

    /// The bit of `O_TMPFILE` that is not part of `O_DIRECTORY`.
    const TMPFILE: i64 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as i64;

    /// System calls that are allowed with any arguments.
    const ALLOWED: &[i64] = &[
        // Open files.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_fcntl,
        libc::SYS_flock,
        libc::SYS_fadvise64,
        libc::SYS_fsync,
        libc::SYS_getdents64,
        libc::SYS_ppoll,
        // File names.
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_readlinkat,
        libc::SYS_faccessat,
        libc::SYS_getcwd,
        // Memory.
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_membarrier,
        // Threads, signals, exit.
        libc::SYS_futex,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_get_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_prctl,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Time and random numbers.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        // Older variants of the calls above.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_time,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_arch_prctl,
    ];

    #[cfg(test)]
    mod tests {
        use std::fs::{self, File, OpenOptions};
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::unix::net::UnixListener;
        use std::process::Command;

        use super::*;

        /// Returns for each action whether it worked. All must work before confinement and fail
        /// after it.
        fn tries(inside: &std::path::Path, outside: &std::path::Path, port: u16) -> Vec<(&'static str, bool)> {
            let fresh = inside.join("new");
            let mut tries = vec![
                ("tcp connect", TcpStream::connect(("127.0.0.1", port)).is_ok()),
                ("tcp listen", TcpListener::bind("127.0.0.1:0").is_ok()),
                ("udp", UdpSocket::bind("127.0.0.1:0").is_ok()),
                ("unix socket", UnixListener::bind(inside.join("socket")).is_ok()),
                ("program", Command::new("/bin/true").status().is_ok()),
                ("create", File::create(&fresh).is_ok()),
                ("append", OpenOptions::new().append(true).open(inside.join("file")).is_ok()),
                ("read and write", OpenOptions::new().read(true).write(true).open(inside.join("file")).is_ok()),
                ("link", fs::hard_link(inside.join("file"), inside.join("link")).is_ok()),
                ("symlink", std::os::unix::fs::symlink("file", inside.join("symlink")).is_ok()),
                ("rename", fs::rename(&fresh, inside.join("renamed")).is_ok()),
                ("directory", fs::create_dir(inside.join("directory")).is_ok()),
                (
                    "mode",
                    fs::set_permissions(inside.join("file"), fs::metadata(inside.join("file")).unwrap().permissions())
                        .is_ok(),
                ),
                ("unlink", fs::remove_file(inside.join("renamed")).is_ok()),
            ];
            if fence_is_there() {
                tries.push(("read outside", fs::read(outside.join("file")).is_ok()));
                tries.push(("list outside", fs::read_dir(outside).is_ok()));
            }
            tries
        }

        fn fence_is_there() -> bool {
            std::thread::spawn(|| fence(&[]).is_ok_and(|status| status != RulesetStatus::NotEnforced)).join().unwrap()
        }

        #[test]
        fn p7_behind_the_walls_nothing_but_reading_works() {
            let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for dir in [&inside, &outside] {
                fs::write(dir.path().join("file"), "content").unwrap();
            }
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let before = tries(inside.path(), outside.path(), port);
            assert!(before.iter().all(|(_, works)| *works), "{before:?}");
            for name in ["socket", "link", "symlink"] {
                fs::remove_file(inside.path().join(name)).unwrap();
            }
            fs::remove_dir(inside.path().join("directory")).unwrap();
            fs::write(inside.path().join("renamed"), "").unwrap();
            // Confinement applies to one thread and those that it starts: this one, which ends.
            std::thread::scope(|scope| {
                let confined = scope.spawn(|| {
                    let told = confine(&[inside.path().to_owned()]);
                    assert!(told[1].starts_with("confined by seccomp"), "{told:?}");
                    let after = tries(inside.path(), outside.path(), port);
                    assert!(after.iter().all(|(_, works)| !*works), "{after:?}");
                    assert_eq!(fs::read(inside.path().join("file")).unwrap(), b"content");
                    assert_eq!(fs::read_dir(inside.path()).unwrap().count(), 2);
                    let child = std::thread::spawn(move || TcpStream::connect(("127.0.0.1", port)).is_err());
                    assert!(child.join().unwrap(), "a thread started later is confined too");
                    assert!(std::thread::spawn(|| panic!("unwinds")).join().is_err());
                });
                confined.join().unwrap();
            });
            assert!(!inside.path().join("new").exists());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_later_lies_below_what_is_there_now() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("drive")).unwrap();
        std::os::unix::fs::symlink(root.join("drive"), root.join("link")).unwrap();
        let found = |path: &str| above(&[root.join(path)]) == [&*root];
        assert!(found("drive"));
        assert!(found("link"), "where the link leads");
        assert!(found("later/label"), "what is not there yet is made below");
        assert_eq!(above(&[PathBuf::from("/")]), Vec::<PathBuf>::new());
    }
}
