//! Time to load a policy with many keys: a small bundle verified with one key, 500 and 1,000, each
//! key in its own file. The additional time must grow no faster than the number of keys.

use super::Bench;
use crate::shell::{self, Failed};
use std::fmt::Write as _;

/// The larger number of keys. The other one is half of it.
const KEYS: usize = 1000;
/// Number of runs of each, in turn. The best one counts.
const ROUNDS: usize = 15;
/// Maximum ratio of the times for twice as many keys.
const RATIO: f64 = 2.5;
/// Maximum seconds that all keys may add.
const MOST: f64 = 0.5;

impl Bench {
    /// Measures `verify` with each policy.
    pub(super) fn policy(&mut self) -> Result<(), Failed> {
        self.clear()?;
        let demo = self.work.join("demo").display().to_string();
        shell::quiet(
            shell::command(&self.packmule).args(["demo", &demo]).env("XDG_STATE_HOME", self.work.join("state")),
        )?;
        for number in 0..KEYS {
            let key = self.work.join(format!("{number}.pem"));
            shell::quiet(shell::command(&self.packmule).args(["key", "new", "--no-passphrase", "-o"]).arg(&key))?;
        }
        let signer = self.work.join("0.pem").display().to_string();
        let image = format!("oci:{demo}/source:docker.io/library/tide:1.4");
        let (bundle, _) = self.export(&[image], &signer, &[])?;
        let policies = [1, KEYS / 2, KEYS].map(|count| (count, f64::INFINITY));
        for (count, _) in policies {
            std::fs::write(self.work.join(format!("{count}.toml")), policy(count))?;
        }
        let mut policies = policies;
        for _ in 0..ROUNDS {
            for (count, best) in &mut policies {
                let file = self.work.join(format!("{count}.toml")).display().to_string();
                *best = best.min(self.packmule(&["verify", &bundle, "--policy", &file])?.seconds);
            }
        }
        let [(_, one), (_, half), (_, all)] = policies;
        println!("policy: one key {one:.4} s, {} keys {half:.4} s, {KEYS} keys {all:.4} s", KEYS / 2);
        self.at_most(
            &format!("policy: what {KEYS} keys add / what {} add", KEYS / 2),
            (all - one) / (half - one),
            RATIO,
        );
        self.at_most(&format!("policy: seconds that {KEYS} keys add"), all - one, MOST);
        Ok(())
    }
}

/// Returns a policy with `count` holders, each with one key, one of whom must have signed.
fn policy(count: usize) -> String {
    let mut text = "[key]\n".to_owned();
    for number in 0..count {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "k{number} = {{ public = \"{number}.pub.pem\", holder = \"h{number}\", role = \"r\" }}");
    }
    let names: Vec<String> = (0..count).map(|number| format!("\"k{number}\"")).collect();
    text + &format!("[no_channel]\nkeys = [{}]\nthreshold = 1\n", names.join(", "))
}
