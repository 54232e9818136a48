//! Verification speed of each form: volumes, flat, and a stream from a pipe, relative to the
//! SHA-256 speed of all cores. Also the time to refuse a bundle whose last bytes are wrong,
//! compared with reading it once.

use super::{Bench, cores, float, volumes};
use crate::shell::{self, Failed};
use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Instant;

/// Number of runs of each measurement, in turn. The best one counts.
const ROUNDS: usize = 3;
/// Distance in bytes from the end of each form to the spoiled byte: in the last blob, before the
/// end frame, and in a tar also before its padding.
const SPOILT: [i64; 3] = [2048, 1, 4096];
/// Required shares. The rest is taken by other work: XXH64 in volumes and streams, and for a stream
/// also `cat` and the pipe, which copy the bytes twice more on the same cores.
const LIMITS: [(&str, f64); 3] = [("volumes", 0.75), ("flat", 0.85), ("pipe", 0.45)];

impl Bench {
    /// Measures the verification of one layout in every form.
    pub(super) fn forms(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let source = [format!("oci:{}", layout.display())];
        let (bundle, _) = self.export(&source, &key, &["--no-read-back", "--flat"])?;
        let flat = self.work.join("flat");
        std::fs::rename(Path::new(&bundle).parent().unwrap_or(&self.work), &flat)?;
        let flat = flat.join("bench").display().to_string();
        let (bundle, _) = self.export(&source, &key, &["--no-read-back"])?;
        let stream = self.work.join("bench.tar");
        shell::run(shell::command(&self.packmule).args(["cat", &bundle]).stdout(std::fs::File::create(&stream)?))?;

        let mut files: Vec<_> = std::fs::read_dir(format!("{flat}.oci/blobs/sha256"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        let (mut sha256, mut bytes) = (0.0_f64, [0; 3]);
        let mut seconds = [f64::INFINITY; 3];
        let mut peak = [0.0_f64; 3];
        for _ in 0..ROUNDS {
            let of_volumes = volumes::rates(Path::new(&bundle).parent().unwrap_or(Path::new(".")))?;
            let of_flat = volumes::of(&files)?;
            sha256 = sha256.max(of_volumes.sha256).max(of_flat.sha256);
            bytes = [of_volumes.bytes, of_flat.bytes, of_volumes.bytes];
            let spent = [
                self.packmule(&["verify", &bundle, "--key", &public])?,
                self.packmule(&["verify", &flat, "--key", &public])?,
                self.piped(&stream, &["verify", "-", "--key", &public])?,
            ];
            for (index, spent) in spent.into_iter().enumerate() {
                seconds[index] = seconds[index].min(spent.seconds);
                peak[index] = peak[index].max(spent.peak);
            }
        }
        println!("forms: a core takes SHA-256 at {:.2} GB/s", sha256 / 1e9);
        for (index, (form, limit)) in LIMITS.into_iter().enumerate() {
            let rate = float(bytes[index]) / seconds[index];
            println!("     {form}: {:.2} s, {:.2} GB/s", seconds[index], rate / 1e9);
            self.at_least(&format!("forms: {form}, share of cores x SHA-256"), rate / (cores() * sha256), limit);
            self.at_most(&format!("forms: {form}, verify peak MiB"), peak[index], 100.0);
        }
        let volumes = volumes::list(Path::new(&bundle).parent().unwrap_or(Path::new(".")))?;
        let last = [volumes.last(), files.last(), Some(&stream)];
        for (file, from_end) in last.into_iter().zip(SPOILT) {
            spoil(file.ok_or_else(|| Failed::new("bench: no file"))?, from_end)?;
        }
        let (mut refusal, mut reading) = ([f64::INFINITY; 3], [f64::INFINITY; 3]);
        for _ in 0..ROUNDS {
            let of_volumes = self.refused(Stdio::null(), &["verify", &bundle, "--key", &public])?;
            let of_flat = self.refused(Stdio::null(), &["verify", &flat, "--key", &public])?;
            let (mut cat, from) = piped(&stream)?;
            let spent = [of_volumes, of_flat, self.refused(from.into(), &["verify", "-", "--key", &public])?];
            cat.wait()?;
            let read = [float(bytes[0]) / sha256, float(bytes[1]) / sha256, read_once(&stream)?];
            for index in 0..3 {
                refusal[index] = refusal[index].min(spent[index]);
                reading[index] = reading[index].min(read[index]);
            }
        }
        for (index, (form, _)) in LIMITS.into_iter().enumerate() {
            let what = format!("forms: {form}, refused for its last blob / one core reading it once with SHA-256");
            self.at_most(&what, refusal[index] / reading[index], 1.0);
        }
        Ok(())
    }

    /// Returns the seconds until bytes that do not match the signature are refused (exit status
    /// 11).
    fn refused(&self, input: Stdio, args: &[&str]) -> Result<f64, Failed> {
        let mut command = shell::command(&self.packmule);
        command.args(args).env("XDG_STATE_HOME", self.work.join("state")).stdin(input);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        let status = command.status()?;
        let seconds = begin.elapsed().as_secs_f64();
        if status.code() != Some(11) {
            return Err(Failed::new(format!("bench: {args:?}: expected exit status 11, found {status}")));
        }
        Ok(seconds)
    }

    /// Runs packmule after `cat FILE |`.
    fn piped(&self, file: &Path, args: &[&str]) -> Result<super::Spent, Failed> {
        let (mut cat, from) = piped(file)?;
        let spent = self.packmule_from(from.into(), args);
        cat.wait()?;
        spent
    }
}

/// Starts `cat FILE |`.
fn piped(file: &Path) -> Result<(Child, ChildStdout), Failed> {
    let mut cat = shell::command("cat").arg(file).stdout(Stdio::piped()).spawn()?;
    let from = cat.stdout.take().ok_or_else(|| Failed::new("cat: no output"))?;
    Ok((cat, from))
}

/// Returns the seconds that one core takes to read the file from `cat` and hash it.
fn read_once(file: &Path) -> Result<f64, Failed> {
    let begin = Instant::now();
    let (mut cat, mut from) = piped(file)?;
    let mut sum = Sha256::new();
    volumes::drain(&mut from, |block| sum.update(block))?;
    black_box(sum.finalize());
    cat.wait()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Changes one byte at this distance from the end.
fn spoil(path: &Path, from_end: i64) -> Result<(), Failed> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::End(-from_end))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::End(-from_end))?;
    Ok(file.write_all(&[byte[0] ^ 1])?)
}
