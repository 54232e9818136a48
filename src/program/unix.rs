//! Programs on Unix: process groups, and non-blocking pipes that are polled together.

use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

use super::search::{environment, search};
use super::{End, Failure, Kin, Limits, Surroundings};

/// Maximum number of bytes moved in one step.
const STEP: usize = 64 << 10;

/// A started program. Ended on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    kin: Kin,
    deadline: Deadline,
    ended: bool,
}

/// Deadline of a run. `past` becomes true when the time is over, whatever else happens.
#[derive(Debug)]
struct Deadline {
    past: Arc<AtomicBool>,
    // Dropping this ends the waiting thread.
    _run: SyncSender<()>,
}

impl Deadline {
    fn new(time: Duration) -> io::Result<Self> {
        let (run, ended) = mpsc::sync_channel::<()>(1);
        let past = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&past);
        std::thread::Builder::new().spawn(move || {
            if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::Relaxed);
            }
        })?;
        Ok(Self { past, _run: run })
    }
}

/// Standard input and output of a started program. Neither blocks longer than requested, since
/// processes that the program started may keep the other ends open.
#[derive(Debug)]
pub struct Pipes {
    input: Option<ChildStdin>,
    output: Option<PipeReader>,
    said: Zeroizing<Vec<u8>>,
    most: usize,
    more: bool,
}

/// Starts `program` with the arguments `words`.
///
/// # Errors
/// [`Failure::Absent`], [`Failure::Broken`].
pub fn start(
    program: &str,
    words: &[String],
    surroundings: &Surroundings,
    limits: Limits,
    kin: Kin,
) -> Result<(Running, Pipes), Failure> {
    let path = search(program, surroundings)?;
    let (output, theirs) = io::pipe().map_err(Failure::Broken)?;
    let mut command = Command::new(path);
    command.arg0(program).args(words).env_clear().envs(environment(surroundings)).stdin(Stdio::piped());
    if !surroundings.dir.as_os_str().is_empty() {
        command.current_dir(&surroundings.dir);
    }
    match kin {
        Kin::Ours => command.stderr(Stdio::null()),
        Kin::Apart => command.process_group(0).stderr(theirs.try_clone().map_err(Failure::Broken)?),
    };
    command.stdout(theirs);
    let deadline = Deadline::new(limits.time).map_err(Failure::Broken)?;
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Absent,
        _ => Failure::Broken(error),
    })?;
    // The command keeps the write end of the output open.
    drop(command);
    let mut running = Running { child, kin, deadline, ended: false };
    let input = running.child.stdin.take();
    if let Some(input) = &input {
        still(input).map_err(Failure::Broken)?;
    }
    still(&output).map_err(Failure::Broken)?;
    // Allocate everything at once: a growing buffer would leave copies of a secret in memory.
    let said = Zeroizing::new(Vec::with_capacity(limits.output));
    Ok((running, Pipes { input, output: Some(output), said, most: limits.output, more: false }))
}

/// Makes our end of a pipe non-blocking. The program's end is not affected.
fn still(pipe: impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?)
}

impl Running {
    /// Reports whether the program has ended. Ends it if its time is over.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn look(&mut self) -> io::Result<Option<End>> {
        let pid = Pid::from_child(&self.child);
        // Reap it only after its group was killed: until then its process ID cannot be reused.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), options)?.is_some() {
            self.end();
            return Ok(self.child.try_wait()?.map(End::Exited));
        }
        if self.is_late() {
            self.end();
            return Ok(Some(End::Slow));
        }
        Ok(None)
    }

    /// Reports whether the time limit has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.past.load(Ordering::Relaxed)
    }

    /// Ends the program, and its process group if that is a separate one.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // These fail only if the program has already ended.
        if self.kin == Kin::Apart {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Pipes {
    /// Writes as much of `bytes` as the program accepts now, and reads its output, which is kept up
    /// to the limit. Waits at most `wait` until either is possible. Returns the number of bytes
    /// written; a program does not have to read its input.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn step(&mut self, bytes: &[u8], wait: Duration) -> io::Result<usize> {
        let input = self.input.as_ref().filter(|_| !bytes.is_empty());
        let mut both = Vec::with_capacity(2);
        both.extend(input.map(|input| PollFd::new(input, PollFlags::OUT)));
        both.extend(self.output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
        let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut both, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(both);
        self.listen()?;
        let Some(input) = self.input.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(0) };
        match input.write(&bytes[..bytes.len().min(STEP)]) {
            Ok(count) => Ok(count),
            Err(error) if is_later(&error) => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.input = None;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the output that is available now.
    fn listen(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let mut buffer = Zeroizing::new([0; 4096]);
        // Read only a limited amount: a program with endless output must not keep us here.
        for _ in 0..STEP / buffer.len() {
            match output.read(&mut buffer[..]) {
                Ok(0) => {
                    self.output = None;
                    return Ok(());
                }
                Ok(count) => {
                    let kept = count.min(self.most - self.said.len());
                    self.said.extend_from_slice(&buffer[..kept]);
                    self.more |= kept < count;
                }
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the program's standard input.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Reports whether the program's standard input is open.
    pub const fn is_open(&self) -> bool {
        self.input.is_some()
    }

    /// Reports whether the program's output is open.
    pub const fn is_speaking(&self) -> bool {
        self.output.is_some()
    }

    /// Reports whether the output exceeded the limit.
    pub const fn is_long(&self) -> bool {
        self.more
    }

    /// Returns the output so far, up to the limit.
    pub fn said(&self) -> &[u8] {
        &self.said
    }

    /// Returns the output, up to the limit.
    pub fn into_said(self) -> Zeroizing<Vec<u8>> {
        self.said
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Returns the signal that ended the program, if any.
pub fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}
