//! The process as one value: arguments, environment, directory, streams, terminals, clock, signals, prompt.
//!
//! The only place that reads the environment and the clock. A test makes its own world and runs whole
//! commands in it. Nothing here knows a command. The umask is the operator's and is not touched.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::base::redact::Secrets;
use crate::flow::Clock;
pub use crate::flow::FixedClock;
use crate::system;

/// Everything that a run takes from outside its own arguments.
pub struct World {
    /// Arguments, the program's name included.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: BTreeMap<OsString, OsString>,
    /// What relative paths are relative to; empty in the process itself, where the system knows.
    pub cwd: PathBuf,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Standard output: results only.
    pub stdout: Box<dyn Write + Send>,
    /// Standard error, shared with the progress display.
    pub stderr: Stderr,
    /// Which of the three are terminals.
    pub terminal: Terminal,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How many processors this process may use.
    pub cores: usize,
    /// The user's number that this process works as.
    pub user: u32,
    /// Where the machine's own settings lie: `/etc`; `%ProgramFiles%` on Windows.
    pub etc: PathBuf,
    /// Where programs that root runs keep what they know: `/var/lib`.
    pub lib: PathBuf,
    prompt: Prompt,
    caught: Arc<AtomicUsize>,
    real: bool,
    one_command: bool,
}

/// Asks and gives the answer.
type Prompt = Box<dyn FnMut(&str) -> io::Result<String> + Send>;

/// Which streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// Standard error, written by one thread at a time, whole lines at once. Failures are ignored: there is no
/// other place to tell of them.
#[derive(Clone)]
pub struct Stderr {
    stream: Arc<Mutex<Box<dyn Write + Send>>>,
    secrets: Arc<Secrets>,
}

impl Stderr {
    /// Takes a stream.
    pub fn new(stream: impl Write + Send + 'static) -> Self {
        Self { stream: Arc::new(Mutex::new(Box::new(stream))), secrets: Arc::default() }
    }

    /// Writes none of `secrets` from now on.
    #[must_use]
    pub fn hiding(self, secrets: Arc<Secrets>) -> Self {
        Self { secrets, ..self }
    }

    /// What is not written.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// Writes `text` and a line end; secrets are left out.
    pub fn line(&self, text: &str) {
        let text = self.secrets.hide_all(text);
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.write_all(format!("{text}\n").as_bytes()).and_then(|()| stream.flush());
    }
}

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

/// What a run in a test world wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// Everything so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "carry")]
fn prompt(text: &str) -> io::Result<String> {
    rpassword::prompt_password(text)
}

/// No command that is left asks for a secret.
#[cfg(not(feature = "carry"))]
fn prompt(_: &str) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes `text` to standard error and reads a line from standard input.
fn await_line(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush())?;
    drop(stderr);
    let mut line = Vec::new();
    // A person's line: what is longer is an answer as well.
    match io::stdin().lock().take(1 << 16).read_until(b'\n', &mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Bytes of addresses that the program takes without any job, and those of a job: its stack, a frame, what packs it.
const OWN_SPACE: u64 = 224 << 20;
const JOB_SPACE: u64 = 48 << 20;

fn affordable(space: u64, jobs: usize) -> usize {
    let most = space.saturating_sub(OWN_SPACE) / JOB_SPACE;
    jobs.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1)
}

impl World {
    /// The world of this process.
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

    /// A world for tests: `args` without the program's name, an empty environment, empty input, no terminal,
    /// 2026-01-01T00:00:00Z, no prompt, `etc` in the directory; with it what is written to stdout and stderr.
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

    /// The same as if someone sat at a terminal and answered each prompt by `prompt`.
    #[must_use]
    pub fn with_prompt(mut self, prompt: impl FnMut(&str) -> io::Result<String> + Send + 'static) -> Self {
        self.terminal.stdin = true;
        self.prompt = Box::new(prompt);
        self
    }

    /// Whether the process is this one command's, which may give up for good what it does not need.
    pub const fn is_one_command(&self) -> bool {
        self.one_command
    }

    /// More commands follow in this process.
    pub const fn expect_more_commands(&mut self) {
        self.one_command = false;
    }

    /// Where `path` leads from here.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }

    /// A variable of the environment; an empty one counts as unset.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The user's own settings (XDG base directories): `$XDG_CONFIG_HOME`, else `$HOME/.config`.
    pub fn settings(&self) -> Option<PathBuf> {
        let absolute = |name: &str| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
    }

    /// Where states lie: of root `/var/lib/packmule`, else `packmule` in `$XDG_STATE_HOME`, else in `$HOME/.local/state`;
    /// on Windows at last in `%LOCALAPPDATA%`.
    pub fn states(&self) -> Option<PathBuf> {
        if self.user == 0 {
            return Some(self.lib.join("packmule"));
        }
        let absolute = |name: &str| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let home = home.or_else(|| system::STATES.iter().find_map(|name| absolute(name)));
        home.map(|dir| dir.join("packmule"))
    }

    /// What this machine is known by, without telling its id (machine-id(5)); empty where it has none.
    pub fn machine(&self) -> String {
        let id = std::fs::read_to_string(self.etc.join("machine-id")).unwrap_or_default();
        let id = id.trim();
        if id.is_empty() {
            String::new()
        } else {
            crate::oci::Digest::sha256(format!("packmule state\n{id}").as_bytes()).hex()
        }
    }

    /// Environment and directory for other programs.
    pub fn surroundings(&self) -> crate::program::Surroundings {
        crate::program::Surroundings { env: self.env.clone(), dir: self.cwd.clone() }
    }

    /// Standard input as a stream that may stand still ([`crate::system::pipe`]); it is empty from then on.
    ///
    /// # Errors
    /// The system's.
    pub fn take_stdin(&mut self) -> io::Result<Box<dyn Read + Send>> {
        let stdin = std::mem::replace(&mut self.stdin, Box::new(io::empty()));
        if self.real { crate::system::pipe::stdin() } else { Ok(stdin) }
    }

    /// Asks for a secret on the terminal, without echo.
    ///
    /// # Errors
    /// No terminal; the person broke off.
    pub fn ask_secret(&mut self, text: &str) -> io::Result<Zeroizing<String>> {
        (self.prompt)(text).map(Zeroizing::new)
    }

    /// Asks on the terminal and waits for a line, which counts for nothing. Nothing is opened and no setting of the terminal
    /// is changed, so that a confined process can ask, too.
    ///
    /// # Errors
    /// No terminal; the person broke off.
    pub fn ask(&mut self, text: &str) -> io::Result<()> {
        if self.real { await_line(text) } else { (self.prompt)(text).map(drop) }
    }

    /// From now on a crash leaves no image of the memory, and no other program of the user's looks into it: secrets will be
    /// read. Does nothing in a test world.
    ///
    /// # Errors
    /// The system's.
    pub fn keep_memory(&self) -> io::Result<()> {
        if self.real { system::keep_memory() } else { Ok(()) }
    }

    /// From now on HUP, INT and TERM set `cancel`; the second of them ends the process at once. One that was
    /// ignored when the process began stays so (`nohup`, a shell's background jobs). Does nothing in a test
    /// world.
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
            // In this order: the first signal finds the flag down and sets it, the second finds it up.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(cancel))?;
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&self.caught), number)?;
            signal_hook::flag::register(signal, Arc::clone(cancel))?;
        }
        if let Some(signal) = system::TOO_LARGE {
            // Whatever it sets: a write above the limit of a file's size is then an error, which names the file.
            signal_hook::flag::register(signal, Arc::default())?;
        }
        Ok(())
    }

    /// From now on a process that gets no memory says `stderr` and `stdout` and ends as class io does. Does nothing in a
    /// test world, whose process has other tenants.
    pub fn watch_memory(&self, stdout: Vec<u8>, stderr: Vec<u8>) {
        if self.real {
            let end = || std::process::exit(i32::from(super::exit::code(crate::base::fault::Class::Io, None)));
            system::memory::on_exhaustion(stdout, stderr, end);
        }
    }

    /// How many of `jobs` the address space has room for, where that is limited: each takes a thread and its buffers.
    pub fn affordable(&self, jobs: usize) -> usize {
        let Some(space) = system::address_space().filter(|_| self.real) else { return jobs };
        system::be_frugal();
        affordable(space, jobs)
    }

    /// The number of the signal that was caught last.
    pub fn caught_signal(&self) -> Option<u8> {
        u8::try_from(self.caught.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Panics say nothing on their own from now on; where the first one happened goes into the cell.
    /// Does nothing in a test world, whose process has other tenants.
    pub fn watch_panics(&self) -> Arc<Mutex<Option<String>>> {
        let cell = Arc::new(Mutex::new(None));
        if self.real {
            let place = Arc::clone(&cell);
            std::panic::set_hook(Box::new(move |panic| {
                // The place only: the text may hold what must not be shown.
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
