//! Tests that run again in a process of their own, to measure it.
//!
//! It holds no tests.

use std::path::Path;

/// Variable for the measuring process: the directory that it works in.
pub const ALONE: &str = "PACKMULE_TEST_ALONE";

/// Runs `work` in a child of this process; returns the number that it prints after `word`.
pub fn told_by(work: &str, dir: &Path, label: &str) -> u64 {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", work, "--nocapture"])
        .env(ALONE, dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{told}");
    let number = told.lines().find_map(|line| line.strip_prefix(label)).expect("the child measured");
    number.trim().parse().unwrap()
}

/// Runs `work` in a child of this process; returns its peak memory in KiB.
pub fn kib_peak(work: &str, dir: &Path) -> u64 {
    told_by(work, dir, "peak KiB:")
}

pub fn tell_peak() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("\npeak KiB: {}", peak.trim().trim_end_matches(" kB"));
}
