//! Speed: export compared with curl, verify with one core, import with curl.

use super::{Bench, cores, float, references, transfer, volumes};
use crate::corpus;
use crate::services::Services;
use crate::shell::Failed;
use std::path::Path;

/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 3;

impl Bench {
    /// Measures export, verify and import of one layout.
    pub(super) fn speed(&mut self, name: &str, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let mut running = Services::none("bench")?;
        let source = running.open(&self.tools, "source")?.to_string();
        corpus::seed::push(&self.tools, layout, &source)?;
        let blobs = transfer::blobs(layout)?;
        let bytes: u64 = blobs.iter().map(|blob| blob.size).sum();
        println!("{name}: {} blobs, {:.2} GB", blobs.len(), float(bytes) / 1e9);

        let (key, public) = self.key()?;
        let list = references(layout, &source)?;
        let place = self.work.join("downloads");
        let mut plain = f64::INFINITY;
        let (mut without, mut with, mut bundle) = (None, None, String::new());
        for _ in 0..ROUNDS {
            plain = plain.min(transfer::download(&blobs, &source, &place)?);
            std::fs::remove_dir_all(&place)?;
            let (_, spent) = self.export(&list, &key, &["--no-read-back"])?;
            without = Some(without.map_or(spent, |best| spent.best(best)));
            let (written, spent) = self.export(&list, &key, &[])?;
            with = Some(with.map_or(spent, |best| spent.best(best)));
            bundle = written;
        }
        let (Some(without), Some(with)) = (without, with) else { return Err(Failed::new("bench: no rounds")) };
        println!(
            "export: curl {plain:.2} s, packmule {:.2} s, with read-back {:.2} s ({:.2} x)",
            without.seconds,
            with.seconds,
            with.seconds / without.seconds
        );
        self.at_most(&format!("{name}: export / curl"), without.seconds / plain, 1.15);
        self.at_most(&format!("{name}: export peak MiB"), with.peak.max(without.peak), 320.0);

        self.verify(name, &bundle, &public)?;

        let (mut plain, mut packmule) = (f64::INFINITY, None);
        for round in 0..ROUNDS {
            let mut empty = Services::none(&format!("import{round}"))?;
            let target = empty.open(&self.tools, "curl")?.to_string();
            plain = plain.min(transfer::upload(&blobs, layout, &target)?);
            drop(empty);
            let mut empty = Services::none(&format!("import{round}"))?;
            let target = empty.open(&self.tools, "packmule")?.to_string();
            let spent = self.packmule(&["import", &bundle, "--key", &public, "--to", &target])?;
            packmule = Some(packmule.map_or(spent, |best| spent.best(best)));
        }
        let Some(packmule) = packmule else { return Err(Failed::new("bench: no rounds")) };
        println!("import: curl {plain:.2} s, packmule {:.2} s", packmule.seconds);
        self.at_most(&format!("{name}: import / curl"), packmule.seconds / plain, 1.10);
        self.at_most(&format!("{name}: import peak MiB"), packmule.peak, 200.0);
        Ok(())
    }

    /// Measures verify compared with one core on the same files.
    fn verify(&mut self, name: &str, bundle: &str, public: &str) -> Result<(), Failed> {
        let folder = Path::new(bundle).parent().unwrap_or(Path::new("."));
        let mut rates = volumes::rates(folder)?;
        let mut verify = self.packmule(&["verify", bundle, "--key", public])?;
        for _ in 1..ROUNDS {
            let again = volumes::rates(folder)?;
            rates.both = rates.both.max(again.both);
            rates.sha256 = rates.sha256.max(again.sha256);
            verify = verify.best(self.packmule(&["verify", bundle, "--key", public])?);
        }
        let cores = cores();
        let rate = float(rates.bytes) / verify.seconds;
        println!(
            "verify: {:.2} GB/s; a core reads, takes SHA-256 and XXH64 at {:.2}, SHA-256 alone at {:.2}; share of cores x SHA-256 {:.2}",
            rate / 1e9,
            rates.both / 1e9,
            rates.sha256 / 1e9,
            rate / (cores * rates.sha256)
        );
        let share = rate / (cores * rates.both);
        if name == "set" {
            self.at_least("set: verify / (cores x one core)", share, 0.90);
        } else {
            println!("     {name}: verify / (cores x one core): {share:.2}");
        }
        self.at_most(&format!("{name}: verify peak MiB"), verify.peak, 100.0);
        Ok(())
    }
}
