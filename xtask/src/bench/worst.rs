//! Cost of a refusal, over all vectors in one process. `tests/attacks/worst.rs` measures, and this
//! module judges the results.

use super::Bench;
use crate::shell::{self, Failed};
use std::path::Path;

impl Bench {
    /// Compares refusing the worst vector with reading it once and passing the simplest bundle.
    /// Vectors are so small that opening files, starting threads and checking one signature take
    /// longer than processing their bytes.
    pub(super) fn worst(&mut self, root: &Path) -> Result<(), Failed> {
        let args = ["test", "--quiet", "--release", "--test", "attacks", "--"];
        let only = ["--exact", "worst::refusals_beside_reading", "--nocapture", "--test-threads", "1"];
        let told = {
            let mut tests = shell::command("cargo");
            tests.current_dir(root).args(args).args(only).env("PACKMULE_TEST_MEASURE", "1");
            shell::output(&mut tests)?
        };
        let figure = |name: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.trim().parse().ok());
            found.ok_or_else(|| Failed::new(format!("bench: no {name} in\n{told}")))
        };
        told.lines().filter(|line| line.contains(": ")).for_each(|line| println!("     {line}"));
        self.at_most("worst: refusal / (reading it once + passing the plainest bundle)", figure("worst share:")?, 2.5);
        self.at_most("worst: slowest refusal, ms", figure("slowest ms:")?, 10.0);
        Ok(())
    }
}
