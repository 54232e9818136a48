//! Programs on Unix: a process group, pipes that never block, one look at both ends.

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

/// Bytes moved at once.
const STEP: usize = 64 << 10;

/// A program that was started. Dropped, it is ended.
#[derive(Debug)]
pub struct Running {
    child: Child,
    kin: Kin,
    deadline: Deadline,
    ended: bool,
}

/// Becomes true when its time is over, whatever is done meanwhile: the one deadline of a run.
#[derive(Debug)]
struct Deadline {
    past: Arc<AtomicBool>,
    // Dropped, it ends the thread that waits.
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

/// Standard input and output of a program that was started. Neither ever blocks for longer than it is asked to:
/// what the program started itself may hold the other ends open.
#[derive(Debug)]
pub struct Pipes {
    input: Option<ChildStdin>,
    output: Option<PipeReader>,
    said: Zeroizing<Vec<u8>>,
    most: usize,
    more: bool,
}

/// Starts `program` with `words` behind it.
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
    // The command holds the other end of the output.
    drop(command);
    let mut running = Running { child, kin, deadline, ended: false };
    let input = running.child.stdin.take();
    if let Some(input) = &input {
        still(input).map_err(Failure::Broken)?;
    }
    still(&output).map_err(Failure::Broken)?;
    // All of it at once: nothing that may be secret is left behind by a buffer that grows.
    let said = Zeroizing::new(Vec::with_capacity(limits.output));
    Ok((running, Pipes { input, output: Some(output), said, most: limits.output, more: false }))
}

/// Our end of a pipe no longer blocks; the program's own end is another one.
fn still(pipe: impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?)
}

impl Running {
    /// Whether it has ended; when its time is over, it is ended here.
    ///
    /// # Errors
    /// The system's own; it is ended then.
    pub fn look(&mut self) -> io::Result<Option<End>> {
        let pid = Pid::from_child(&self.child);
        // It is waited for only after its group was ended: until then nobody else can have its number.
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

    /// Whether its time is over.
    pub fn is_late(&self) -> bool {
        self.deadline.past.load(Ordering::Relaxed)
    }

    /// Ends it, and its group where that is its own.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // These fail only where it has ended by itself.
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
    /// Gives it of `bytes` what it takes now, and takes what it says, which is kept as far as there is room. Waits at
    /// most `wait` until either can be done. Gives how many bytes it took; a program need not read what it is told.
    ///
    /// # Errors
    /// The system's own.
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

    /// Takes what it has said by now.
    fn listen(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let mut buffer = Zeroizing::new([0; 4096]);
        // So much at a time: a program that never ends speaking must not keep us here.
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

    /// It is told no more.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Whether it can still be told something.
    pub const fn is_open(&self) -> bool {
        self.input.is_some()
    }

    /// Whether it can still say something.
    pub const fn is_speaking(&self) -> bool {
        self.output.is_some()
    }

    /// Whether it said more than is kept.
    pub const fn is_long(&self) -> bool {
        self.more
    }

    /// What it has said by now, as far as it is kept.
    pub fn said(&self) -> &[u8] {
        &self.said
    }

    /// The same, when that was all.
    pub fn into_said(self) -> Zeroizing<Vec<u8>> {
        self.said
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The signal that ended it, if one did.
pub fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}
