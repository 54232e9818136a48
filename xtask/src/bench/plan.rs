//! `export --dry-run` of many artifacts and of very many tags: seconds, requests for each artifact,
//! and memory, against a small registry in this process that counts what it is asked.
//!
//! The reference is the same number of requests over as many connections, without any work.

use super::counted::{Counted, Held};
use super::{Bench, JOBS, float};
use crate::shell::Failed;
use std::fmt::Write as _;

/// Number of artifacts.
const ARTIFACTS: usize = 5_000;
/// Number of tags of the repository with very many.
const TAGS: usize = 100_000;
/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 2;

impl Bench {
    /// Measures plans of artifacts in repositories of their own and in one repository, from
    /// registries with and without an API of referrers, and one of few tags among very many.
    pub(super) fn plan(&mut self) -> Result<(), Failed> {
        self.clear()?;
        for (name, is_one, has_api, most) in [
            ("5,000 repositories", false, true, 6.1),
            ("5,000 repositories, no API of referrers", false, false, 5.1),
            ("5,000 tags of one repository", true, true, 5.1),
            ("5,000 tags of one repository, no API of referrers", true, false, 4.1),
        ] {
            let registry = Counted::start(Held::images(ARTIFACTS, is_one), has_api)?;
            let list = self.work.join("list.txt");
            let names: String = registry.names().fold(String::new(), |mut all, name| {
                let _ = writeln!(all, "{}/{name}", registry.host());
                all
            });
            std::fs::write(&list, names)?;
            let list = list.display().to_string();
            let (mut seconds, mut peak, mut asked) = (f64::INFINITY, 0.0_f64, 0);
            for _ in 0..ROUNDS {
                registry.reset();
                let spent = self.packmule(&["export", "--dry-run", "-f", &list])?;
                seconds = seconds.min(spent.seconds);
                peak = peak.max(spent.peak);
                asked = registry.asked();
            }
            let each = float(asked) / float(ARTIFACTS as u64);
            println!("plan: {name}: {seconds:.2} s, {asked} requests ({}), {peak:.0} MiB", registry.kinds());
            let plain = registry.exchange(asked, JOBS)?;
            self.at_most(&format!("plan: {name}, requests for each"), each, most);
            self.at_most(&format!("plan: {name}, time / plain requests"), seconds / plain, 15.0);
            self.at_most(&format!("plan: {name}, peak MiB"), peak, 150.0);
        }
        let registry = Counted::start(Held::tags(TAGS), true)?;
        let selector = format!("{}/bench/one,semver=^1.99,latest=3", registry.host());
        let spent = self.packmule(&["export", "--dry-run", &selector])?;
        println!(
            "plan: 3 of {TAGS} tags: {:.2} s, {} requests, {:.0} MiB",
            spent.seconds,
            registry.asked(),
            spent.peak
        );
        self.at_most("plan: 3 of 100,000 tags, peak MiB", spent.peak, 80.0);
        Ok(())
    }
}
