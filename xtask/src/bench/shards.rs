//! A check that is split: the time of two shards at once, each on a core of its own, compared with that
//! of the whole bundle on one core. The volumes are in the page cache, so the store is not the limit.

use super::{Bench, Spent};
use crate::shell::{self, Failed};
use std::path::Path;
use std::time::Instant;

/// Number of runs of each measurement, in turn. The best one counts.
const ROUNDS: usize = 3;
/// Number of shards.
const SHARDS: usize = 2;

impl Bench {
    /// Measures the check of one layout as a whole and in shards.
    pub(super) fn shards(&mut self, layout: &Path) -> Result<(), Failed> {
        if super::cores() < 2.0 {
            return Err(Failed::new("shards: expected two cores, found one"));
        }
        self.clear()?;
        let (key, public) = self.key()?;
        let source = [format!("oci:{}", layout.display())];
        let (bundle, _) = self.export(&source, &key, &["--no-read-back", "--volume-size", "256MiB"])?;
        let tallies = self.work.join("tallies").display().to_string();
        std::fs::create_dir_all(&tallies)?;
        let none = Spent { seconds: f64::INFINITY, peak: 0.0 };
        let (mut whole, mut split, mut join) = (none, none, none);
        for _ in 0..ROUNDS {
            let args = ["verify", &bundle, "--key", &public, "--jobs", "1"];
            whole = whole.best(self.pinned(0, &args)?);
            let begin = Instant::now();
            let ended: Vec<Result<Spent, Failed>> = std::thread::scope(|scope| {
                let run = |core: usize| {
                    let shard = format!("{}/{SHARDS}", core + 1);
                    self.pinned(core, &[&args[..], &["--shard", &shard, "-o", &tallies]].concat())
                };
                let all: Vec<_> = (0..SHARDS).map(|core| scope.spawn(move || run(core))).collect();
                let join = |shard: std::thread::ScopedJoinHandle<'_, _>| {
                    shard.join().unwrap_or_else(|_| Err(Failed::new("a shard panicked")))
                };
                all.into_iter().map(join).collect()
            });
            let seconds = begin.elapsed().as_secs_f64();
            for spent in ended {
                split = split.best(Spent { seconds, ..spent? });
            }
            join = join.best(self.pinned(0, &[&args[..], &["--join", &tallies]].concat())?);
        }
        println!(
            "shards: whole {:.2} s, {SHARDS} at once {:.2} s, their join {:.2} s",
            whole.seconds, split.seconds, join.seconds
        );
        self.at_least("shards: speed-up of 2 over 1", whole.seconds / split.seconds, 1.7);
        self.at_least("shards: speed-up with the join", whole.seconds / (split.seconds + join.seconds), 1.6);
        self.at_most("shards: peak MiB of one", split.peak.max(join.peak), 200.0);
        Ok(())
    }

    /// Runs packmule on one core, and measures it.
    fn pinned(&self, core: usize, args: &[&str]) -> Result<Spent, Failed> {
        let told = self.work.join(format!("peak-{core}"));
        let mut command = shell::command("taskset");
        command.args(["-c", &core.to_string(), "/usr/bin/time", "-f", "%M", "-o"]).arg(&told);
        command.arg(&self.packmule).args(args).env("XDG_STATE_HOME", self.work.join("state"));
        let begin = Instant::now();
        shell::quiet(&mut command)?;
        let seconds = begin.elapsed().as_secs_f64();
        let text = std::fs::read_to_string(&told)?;
        let kib: f64 = text.trim().parse().map_err(|_| Failed::new(format!("time: no peak in {text:?}")))?;
        Ok(Spent { seconds, peak: kib / 1024.0 })
    }
}
