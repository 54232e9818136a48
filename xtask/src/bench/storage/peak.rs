//! Peak memory of a program and of every process that it starts.

use crate::shell::Failed;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs a program to its end. Returns the peaks in MiB of it and of the processes that it started, in
/// the order in which they were seen.
pub fn run(command: &mut Command) -> Result<Vec<f64>, Failed> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let own = child.id();
    let mut seen: Vec<u32> = vec![own];
    let mut peaks: BTreeMap<u32, f64> = BTreeMap::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        for (pid, parent, peak) in processes() {
            if pid != own && seen.contains(&parent) && !seen.contains(&pid) {
                seen.push(pid);
            }
            if seen.contains(&pid) {
                // The system counts up only.
                peaks.insert(pid, peak);
            }
        }
        std::thread::sleep(PAUSE);
    };
    if !status.success() {
        let mut told = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut told)?;
        }
        return Err(Failed::new(format!("bench: {status}\n{told}")));
    }
    Ok(seen.iter().filter_map(|pid| peaks.get(pid).copied()).collect())
}

/// Returns all processes with their parents and peaks in MiB.
fn processes() -> Vec<(u32, u32, f64)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u32>().ok()
        };
        Some((pid, field("PPid:")?, f64::from(field("VmHWM:")?) / 1024.0))
    })
    .collect()
}
