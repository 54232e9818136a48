//! How fast each form is verified: volumes, flat, and a stream from a pipe, as shares of what all cores together take
//! SHA-256 at.

use super::{Bench, cores, float, volumes};
use crate::shell::{self, Failed};
use std::path::Path;
use std::process::Stdio;

/// How often each figure is taken, in turn; the best counts.
const ROUNDS: usize = 3;
/// The shares that are asked for. What else is to be done takes the rest: XXH64 in volumes and streams, and in a
/// stream `cat` and the pipe, whose bytes are copied twice more, on the same cores.
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
        Ok(())
    }

    /// packmule behind `cat FILE |`.
    fn piped(&self, file: &Path, args: &[&str]) -> Result<super::Spent, Failed> {
        let mut cat = shell::command("cat").arg(file).stdout(Stdio::piped()).spawn()?;
        let from = cat.stdout.take().ok_or_else(|| Failed::new("cat: no output"))?;
        let spent = self.packmule_from(from.into(), args);
        cat.wait()?;
        spent
    }
}
