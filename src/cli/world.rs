//! The process as one value: arguments, environment, directory, streams, terminals, clock, signals,
//! prompt.
//!
//! This is the only place that reads the environment and the clock. Tests make their own world and
//! run whole commands in it. Nothing here knows any command. The umask is left to the operator.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

pub use super::streams::{Stderr, Terminal, Written};
use super::streams::{await_line, prompt};
use crate::flow::Clock;
pub use crate::flow::FixedClock;
use crate::system;

/// The process as a run sees it.
pub struct World {
    /// Arguments, including the program's name.
    pub args: Vec<OsString>,
    /// Environment variables.
    pub env: BTreeMap<OsString, OsString>,
    /// Directory that relative paths start from; empty for the real process, whose paths the system
    /// resolves.
    pub cwd: PathBuf,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Standard output, for results only.
    pub stdout: Box<dyn Write + Send>,
    /// Standard error, shared with the progress display.
    pub stderr: Stderr,
    /// Which of the three streams are terminals.
    pub terminal: Terminal,
    /// Clock of the run.
    pub clock: Arc<dyn Clock>,
    /// Number of processors that this process may use.
    pub cores: usize,
    /// Id of the user that this process runs as.
    pub user: u32,
    /// Directory of the machine's settings: `/etc`, or `%ProgramFiles%` on Windows.
    pub etc: PathBuf,
    /// Directory where programs run by root keep their state: `/var/lib`.
    pub lib: PathBuf,
    prompt: Prompt,
    caught: Arc<AtomicUsize>,
    real: bool,
    one_command: bool,
}

/// Shows a prompt and returns the answer.
type Prompt = Box<dyn FnMut(&str) -> io::Result<String> + Send>;

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn unix(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        }
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Address space in bytes that the program needs without jobs, and that each job needs (stack,
/// frame, compressor).
const OWN_SPACE: u64 = 224 << 20;
const JOB_SPACE: u64 = 48 << 20;

fn affordable(space: u64, jobs: usize) -> usize {
    let most = space.saturating_sub(OWN_SPACE) / JOB_SPACE;
    jobs.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1)
}

impl World {
    /// Returns the world of this process.
    pub fn process() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let [etc, lib] = system::shared(|name| std::env::var_os(name));
        Self {
            args: std::env::args_os().collect(),
            env: std::env::vars_os().collect(),
            cwd: PathBuf::new(),
            terminal: Terminal {
                stdin: stdin.is_terminal(),
                stdout: stdout.is_terminal(),
                stderr: stderr.is_terminal(),
            },
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Stderr::new(stderr),
            clock: Arc::new(SystemClock(Instant::now())),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            user: system::user(),
            etc,
            lib,
            prompt: Box::new(prompt),
            caught: Arc::default(),
            real: true,
            one_command: true,
        }
    }

    /// Returns a world for tests and what is written to its stdout and stderr. `args` excludes the
    /// program's name. The environment and the input are empty, there is no terminal and no prompt,
    /// the clock stands at 2026-01-01T00:00:00Z, and `etc` lies in `cwd`.
    pub fn for_test(args: &[&str], cwd: &Path) -> (Self, Written, Written) {
        let (stdout, stderr) = (Written::default(), Written::default());
        let world = Self {
            args: std::iter::once("packmule").chain(args.iter().copied()).map(OsString::from).collect(),
            env: BTreeMap::new(),
            cwd: cwd.to_owned(),
            stdin: Box::new(io::empty()),
            stdout: Box::new(stdout.clone()),
            stderr: Stderr::new(stderr.clone()),
            terminal: Terminal::default(),
            clock: Arc::new(FixedClock::at(1_767_225_600)),
            cores: 2,
            user: system::user(),
            etc: cwd.join("etc"),
            lib: cwd.join("var/lib"),
            prompt: Box::new(|_| Err(io::ErrorKind::Unsupported.into())),
            caught: Arc::default(),
            real: false,
            one_command: false,
        };
        (world, stdout, stderr)
    }

    /// Makes stdin a terminal, with `prompt` giving the answers.
    #[must_use]
    pub fn with_prompt(mut self, prompt: impl FnMut(&str) -> io::Result<String> + Send + 'static) -> Self {
        self.terminal.stdin = true;
        self.prompt = Box::new(prompt);
        self
    }

    /// Returns whether the process runs only this command, so that it can give up privileges for
    /// good.
    pub const fn is_one_command(&self) -> bool {
        self.one_command
    }

    /// States that more commands will run in this process.
    pub const fn expect_more_commands(&mut self) {
        self.one_command = false;
    }

    /// Resolves `path` against the current directory.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }

    /// Returns an environment variable; an empty one counts as unset.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the directory of the user's settings (XDG base directories): `$XDG_CONFIG_HOME`,
    /// else `$HOME/.config`.
    pub fn settings(&self) -> Option<PathBuf> {
        let absolute = |name: &str| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
    }

    /// Returns the directory of the states: `/var/lib/packmule` for root, else `packmule` in
    /// `$XDG_STATE_HOME`, in `$HOME/.local/state`, or on Windows in `%LOCALAPPDATA%`.
    pub fn states(&self) -> Option<PathBuf> {
        if self.user == 0 {
            return Some(self.lib.join("packmule"));
        }
        let absolute = |name: &str| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let home = home.or_else(|| system::STATES.iter().find_map(|name| absolute(name)));
        home.map(|dir| dir.join("packmule"))
    }

    /// Returns a value that identifies this machine without revealing its id (machine-id(5)); empty
    /// if it has none.
    pub fn machine(&self) -> String {
        let id = std::fs::read_to_string(self.etc.join("machine-id")).unwrap_or_default();
        let id = id.trim();
        if id.is_empty() {
            String::new()
        } else {
            crate::oci::Digest::sha256(format!("packmule state\n{id}").as_bytes()).hex()
        }
    }

    /// Returns the path of this program.
    ///
    /// # Errors
    /// Those of the system; always in a test world, whose program is another.
    #[cfg(feature = "online")]
    pub fn own_program(&self) -> io::Result<PathBuf> {
        if self.real { std::env::current_exe() } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Returns the environment and directory for other programs.
    pub fn surroundings(&self) -> crate::program::Surroundings {
        crate::program::Surroundings { env: self.env.clone(), dir: self.cwd.clone() }
    }

    /// Takes standard input as a stream that can block ([`crate::system::pipe`]) and leaves an
    /// empty one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn take_stdin(&mut self) -> io::Result<Box<dyn Read + Send>> {
        let stdin = std::mem::replace(&mut self.stdin, Box::new(io::empty()));
        if self.real { crate::system::pipe::stdin() } else { Ok(stdin) }
    }

    /// Asks for a secret on the terminal, without echo.
    ///
    /// # Errors
    /// No terminal, or the person cancelled.
    pub fn ask_secret(&mut self, text: &str) -> io::Result<Zeroizing<String>> {
        (self.prompt)(text).map(Zeroizing::new)
    }

    /// Prompts on the terminal and waits for a line, whose content is ignored. Opens nothing and
    /// changes no terminal setting, so that a confined process can use it.
    ///
    /// # Errors
    /// No terminal, or the person cancelled.
    pub fn ask(&mut self, text: &str) -> io::Result<()> {
        if self.real { await_line(text) } else { (self.prompt)(text).map(drop) }
    }

    /// Protects the memory before secrets are read: from now on a crash writes no core dump, and
    /// the user's other programs cannot read it. Does nothing in a test world.
    ///
    /// # Errors
    /// Those of the system.
    pub fn keep_memory(&self) -> io::Result<()> {
        if self.real { system::keep_memory() } else { Ok(()) }
    }

    /// Makes HUP, INT and TERM set `cancel`; a second signal ends the process at once. Signals that
    /// were ignored when the process started stay ignored (`nohup`, background jobs of a shell).
    /// Does nothing in a test world.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn watch_signals(&self, cancel: &Arc<AtomicBool>) -> io::Result<()> {
        if !self.real {
            return Ok(());
        }
        let ignored = system::ignored_signals();
        for &signal in system::SIGNALS {
            if ignored >> (signal - 1) & 1 == 1 {
                continue;
            }
            // Order matters: on the first signal the flag is not set yet, so it is only set; the
            // second finds it set and exits.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(cancel))?;
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&self.caught), number)?;
            signal_hook::flag::register(signal, Arc::clone(cancel))?;
        }
        if let Some(signal) = system::TOO_LARGE {
            // With a handler of any kind, a write over the file size limit is an error that names
            // the file, instead of a signal that ends the process.
            signal_hook::flag::register(signal, Arc::default())?;
        }
        Ok(())
    }

    /// Makes the process write `stderr` and `stdout` and exit with the code of class io when it
    /// runs out of memory, and return large buffers to the system. Does nothing in a test world, whose process runs other tests too.
    pub fn watch_memory(&self, stdout: Vec<u8>, stderr: Vec<u8>) {
        if self.real {
            let end = || std::process::exit(i32::from(super::exit::code(crate::base::fault::Class::Io, None)));
            system::memory::on_exhaustion(stdout, stderr, end);
            system::return_buffers();
        }
    }

    /// Returns how many of `jobs` fit into a limited address space; each takes a thread and its
    /// buffers.
    pub fn affordable(&self, jobs: usize) -> usize {
        let Some(space) = system::address_space().filter(|_| self.real) else { return jobs };
        system::be_frugal();
        affordable(space, jobs)
    }

    /// Returns the number of the last signal caught.
    pub fn caught_signal(&self) -> Option<u8> {
        u8::try_from(self.caught.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Silences the messages of panics; the returned cell holds the place of the first one. Does
    /// nothing in a test world, whose process runs other tests too.
    pub fn watch_panics(&self) -> Arc<Mutex<Option<String>>> {
        let cell = Arc::new(Mutex::new(None));
        if self.real {
            let place = Arc::clone(&cell);
            std::panic::set_hook(Box::new(move |panic| {
                // Only the place is kept: the message may hold secrets.
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                let at =
                    panic.location().map(|at| format!("{}:{}", at.file().rsplit('/').next().unwrap_or("?"), at.line()));
                if place.is_none() {
                    *place = at;
                }
            }));
        }
        cell
    }
}
