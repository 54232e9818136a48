//! Very many small blobs: time and memory of verify and of an import into a layout, 100,000 beside 10,000.

use super::{Bench, Spent};
use crate::shell::Failed;
use std::path::Path;

/// How often each figure is taken; the best counts. An import makes every blob durable: many take a minute.
const ROUNDS: usize = 2;

impl Bench {
    /// Ten times the blobs may take ten times as long, and memory as their entries in the manifest do.
    pub(super) fn crowd(&mut self, few: &Path, many: &Path) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let mut spent: Vec<[Spent; 2]> = Vec::new();
        for (layout, count) in [(few, 10_000), (many, 100_000)] {
            let (bundle, export) = self.export(&[format!("oci:{}", layout.display())], &key, &["--no-read-back"])?;
            let (mut verify, mut import) = (None, None);
            for _ in 0..ROUNDS {
                let again = self.packmule(&["verify", &bundle, "--key", &public])?;
                verify = Some(verify.map_or(again, |best| again.best(best)));
                let site = self.work.join("site");
                drop(std::fs::remove_dir_all(&site));
                let to = format!("oci:{}", site.display());
                let again = self.packmule(&["import", &bundle, "--key", &public, "--to", &to])?;
                import = Some(import.map_or(again, |best| again.best(best)));
            }
            let (Some(verify), Some(import)) = (verify, import) else { return Err(Failed::new("bench: no rounds")) };
            println!(
                "{count} blobs: export {:.2} s, {:.0} MiB; verify {:.3} s, {:.0} MiB; import {:.2} s, {:.0} MiB",
                export.seconds, export.peak, verify.seconds, verify.peak, import.seconds, import.peak
            );
            spent.push([verify, import]);
        }
        let [[verify, import], [verify_many, import_many]] = spent[..] else {
            return Err(Failed::new("bench: expected two layouts"));
        };
        self.at_most("blobs: verify, a blob of 100,000 / of 10,000", verify_many.seconds / verify.seconds / 10.0, 1.3);
        self.at_most("blobs: import, a blob of 100,000 / of 10,000", import_many.seconds / import.seconds / 10.0, 1.3);
        self.at_most("blobs: 100,000, verify peak MiB", verify_many.peak, 200.0);
        self.at_most("blobs: 100,000, import peak MiB", import_many.peak, 600.0);
        Ok(())
    }
}
