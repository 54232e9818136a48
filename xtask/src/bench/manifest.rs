//! A manifest of 64 MiB, the largest allowed: time and memory of verify compared with hashing its
//! bytes once.

use super::{Bench, Spent, float, volumes};
use crate::corpus;
use crate::shell::{self, Failed};
use serde_json::{Value, json};
use std::path::Path;

/// Limit of a manifest in bytes.
const MOST: usize = 64 << 20;
/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 3;

/// Fillings: name, number of notes, length of each, and the limits: seconds per second of SHA-256
/// over the manifest, and bytes of memory per byte of it.
const FILLINGS: [(&str, usize, usize, f64, f64); 2] =
    [("1,000 notes", 1_000, 65_000, 12.0, 5.0), ("1,000,000 notes", 1_000_000, 48, 30.0, 8.0)];

impl Bench {
    /// Measures the example set's smallest bundle, filled with notes up to the limit and signed.
    pub(super) fn manifest(&mut self) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let source = [format!("oci:{}", corpus::crowd(1)?.display())];
        let out = self.work.join("out");
        std::fs::create_dir_all(&out)?;
        let bundle = out.join("bench").display().to_string();
        shell::quiet(shell::command(&self.packmule).args(["export", &source[0], "-o", &bundle, "--unsigned"]))?;
        let file = format!("{bundle}.json");
        let bare = std::fs::read(&file)?;
        let plain = self.signed(&bundle, &key, &public)?;
        for (name, count, length, slow, large) in FILLINGS {
            let mut manifest: Value = serde_json::from_slice(&bare)?;
            // The punctuation of a note: two pairs of quotes, colon, comma.
            let length = length.min((MOST - bare.len() - 100) / count - 15);
            let notes = (0..count).map(|number| (format!("n{number:08}"), json!("x".repeat(length))));
            manifest["annotations"] = Value::Object(notes.collect());
            let bytes = serde_json::to_vec(&manifest)?;
            println!("{name}: a manifest of {:.1} MiB", float(bytes.len() as u64) / f64::from(1 << 20));
            std::fs::write(&file, &bytes)?;
            let spent = self.signed(&bundle, &key, &public)?;
            let sha256 = volumes::of(&[Path::new(&file).to_owned()])?.sha256;
            let once = float(bytes.len() as u64) / sha256;
            println!(
                "     verify {:.2} s, {:.0} MiB; without the notes {:.2} s, {:.0} MiB; SHA-256 of it {once:.3} s",
                spent.seconds, spent.peak, plain.seconds, plain.peak
            );
            let own = (spent.seconds - plain.seconds).max(0.0);
            self.at_most(&format!("manifest: {name}, verify / SHA-256 of it"), own / once, slow);
            let bytes = float(bytes.len() as u64) / f64::from(1 << 20);
            self.at_most(&format!("manifest: {name}, peak MiB / MiB of it"), spent.peak / bytes, large);
        }
        Ok(())
    }

    /// Signs the existing manifest and verifies it.
    fn signed(&self, bundle: &str, key: &str, public: &str) -> Result<Spent, Failed> {
        for file in ["sig.json", "sha256"] {
            drop(std::fs::remove_file(format!("{bundle}.{file}")));
        }
        shell::quiet(shell::command(&self.packmule).args(["sign", bundle, "--sign", key]))?;
        let mut best = self.packmule(&["verify", bundle, "--key", public])?;
        for _ in 1..ROUNDS {
            best = best.best(self.packmule(&["verify", bundle, "--key", public])?);
        }
        Ok(best)
    }
}
