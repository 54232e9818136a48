//! Many small items: time and memory of verify and of an import into a layout, for 100,000 blobs
//! compared with 10,000, and for 5,000 artifacts compared with 2,500.

use super::{Bench, Spent};
use crate::shell::Failed;
use std::path::Path;

/// Number of runs of each measurement. The best one counts. An import makes every blob durable, so
/// many of them take a minute.
const ROUNDS: usize = 2;

impl Bench {
    /// Ten times as many blobs may take ten times as long. Memory may grow with their entries in
    /// the manifest.
    pub(super) fn crowd(&mut self, few: &Path, many: &Path) -> Result<(), Failed> {
        let [_, import] = self.beside("blob", [(few, 10_000), (many, 100_000)], 200.0)?;
        self.at_most("blobs: 100,000, import peak MiB", import.peak, 600.0);
        Ok(())
    }

    /// Twice as many artifacts may take twice as long.
    pub(super) fn artifacts(&mut self, few: &Path, many: &Path) -> Result<(), Failed> {
        self.beside("artifact", [(few, 2_500), (many, 5_000)], 100.0).map(drop)
    }

    /// Compares the time per `thing` of many with that of few. Returns the results for the many.
    fn beside(&mut self, thing: &str, sides: [(&Path, u32); 2], peak: f64) -> Result<[Spent; 2], Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let mut spent: Vec<[Spent; 2]> = Vec::new();
        for (layout, count) in sides {
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
                "{count} {thing}s: export {:.2} s, {:.0} MiB; verify {:.3} s, {:.0} MiB; import {:.2} s, {:.0} MiB",
                export.seconds, export.peak, verify.seconds, verify.peak, import.seconds, import.peak
            );
            spent.push([verify, import]);
        }
        let [[verify, import], [verify_many, import_many]] = spent[..] else {
            return Err(Failed::new("bench: expected two layouts"));
        };
        let [(_, few), (_, many)] = sides;
        let times = f64::from(many) / f64::from(few);
        for (what, one, all) in [("verify", verify, verify_many), ("import", import, import_many)] {
            let name = format!("{thing}s: {what}, each of {many} / of {few}");
            self.at_most(&name, all.seconds / one.seconds / times, 1.3);
        }
        self.at_most(&format!("{thing}s: {many}, verify peak MiB"), verify_many.peak, peak);
        Ok([verify_many, import_many])
    }
}
