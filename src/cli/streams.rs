//! Streams of a process: standard error with its secrets hidden, which streams are terminals, and
//! questions on the terminal.

use std::io::{self, BufRead as _, Read as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::redact::Secrets;

/// Which streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Whether standard input is one.
    pub stdin: bool,
    /// Whether standard output is one.
    pub stdout: bool,
    /// Whether standard error is one.
    pub stderr: bool,
}

/// Standard error, written by one thread at a time in whole lines. Write errors are ignored because
/// there is nowhere else to report them.
#[derive(Clone)]
pub struct Stderr {
    stream: Arc<Mutex<Box<dyn Write + Send>>>,
    secrets: Arc<Secrets>,
}

impl Stderr {
    /// Wraps a stream.
    pub fn new(stream: impl Write + Send + 'static) -> Self {
        Self { stream: Arc::new(Mutex::new(Box::new(stream))), secrets: Arc::default() }
    }

    /// Hides `secrets` in everything written from now on.
    #[must_use]
    pub fn hiding(self, secrets: Arc<Secrets>) -> Self {
        Self { secrets, ..self }
    }

    /// Returns the secrets that are hidden.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// Writes `text` and a line end, with secrets hidden.
    pub fn line(&self, text: &str) {
        let text = self.secrets.hide_all(text);
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.write_all(format!("{text}\n").as_bytes()).and_then(|()| stream.flush());
    }
}

/// Output of a run in a test world.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// Returns everything written so far, as text.
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

/// Asks for a secret on the terminal.
#[cfg(feature = "carry")]
pub(super) fn prompt(text: &str) -> io::Result<String> {
    rpassword::prompt_password(text)
}

/// Fails: no command of this build asks for a secret.
#[cfg(not(feature = "carry"))]
pub(super) fn prompt(_: &str) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes `text` to standard error and reads a line from standard input.
pub(super) fn await_line(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush())?;
    drop(stderr);
    let mut line = Vec::new();
    // Longer input counts as an answer too.
    match io::stdin().lock().take(1 << 16).read_until(b'\n', &mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
