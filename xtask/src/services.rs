//! `cargo xtask services`: real registries on loopback, started for a test run and stopped after
//! it.
//!
//! Each uses a free port, stores its data under `target/services/PID`, and ends with this process.
//! Only processes started here are ever stopped. The variables are set in `start`.

pub mod azure;
mod certificates;
pub mod registry;
pub mod storage;

use crate::install::{self, Tools};
use crate::shell::{self, Failed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// User of the protected registries.
pub const USER: &str = "mule";

/// Maximum time for a registry to respond after it was started.
const PATIENCE: Duration = Duration::from_secs(20);

/// Running registries and the variables that name them. Dropping it stops and removes all.
#[derive(Debug)]
pub struct Services {
    children: Vec<Child>,
    dir: PathBuf,
    /// Variables for tests: name and value. A service that is not available has none.
    pub vars: Vec<(String, String)>,
}

impl Services {
    /// Creates an empty set. Data is stored in a folder named after this process and `name`.
    pub fn none(name: &str) -> Result<Self, Failed> {
        let all = shell::target().join("services");
        sweep(&all);
        let dir = all.join(std::process::id().to_string()).join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Self { children: Vec::new(), dir, vars: Vec::new() })
    }

    /// Starts another distribution 3, empty and open.
    pub fn open(&mut self, tools: &Tools, name: &str) -> Result<SocketAddr, Failed> {
        registry::start(self, tools, "registry", name, &registry::Access::Open)
    }

    /// Returns the folder in which the registry of this name stores its content.
    pub fn store(&self, name: &str) -> PathBuf {
        registry::store(&self.dir, name)
    }

    /// Returns the value of a variable, if its service is running.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the process that was started last.
    pub fn pid(&self) -> Option<u32> {
        self.children.last().map(Child::id)
    }

    /// Adds a variable for tests.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.vars.push((name.to_owned(), value.into()));
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Starts all services and waits until each responds.
pub fn start(tools: &Tools) -> Result<Services, Failed> {
    let mut running = Services::none("test")?;
    let password = random()?;

    running.set("PACKMULE_TEST_TOOLS", install::folder().display().to_string());
    for name in [
        "buildah",
        "conformance",
        "containerd",
        "crane",
        "ctr",
        "helm",
        "k3s",
        "kustomize",
        "podman",
        "oras",
        "regctl",
        "skopeo",
        "umoci",
        "clamscan",
    ] {
        if let Ok(path) = tools.get(name) {
            running.set(&format!("PACKMULE_TEST_{}", name.to_uppercase()), path.display().to_string());
        }
    }
    // It may be installed but not permitted.
    let strace = tools.get("strace").and_then(|path| {
        shell::quiet(shell::command(path).args(["-o", "/dev/null", "true"]))?;
        Ok(path.display().to_string())
    });
    match strace {
        Ok(path) => running.set("PACKMULE_TEST_STRACE", path),
        Err(e) => install::missing("PACKMULE_TEST_STRACE", &e)?,
    }
    match tools.get("chromium") {
        Ok(path) => running.set("PACKMULE_TEST_CHROMIUM", path.display().to_string()),
        Err(e) => install::missing("PACKMULE_TEST_CHROMIUM", &e)?,
    }
    match tools.get("softhsm2-util") {
        Ok(_) => running.set("PACKMULE_TEST_SOFTHSM", "/usr/lib/softhsm/libsofthsm2.so"),
        Err(e) => install::missing("PACKMULE_TEST_SOFTHSM", &e)?,
    }
    let plain = registry::Access::Open;
    for (var, program) in [
        ("PACKMULE_TEST_DISTRIBUTION", "registry"),
        ("PACKMULE_TEST_DISTRIBUTION2", "registry"),
        ("PACKMULE_TEST_DOCKER_REGISTRY", "docker-registry"),
    ] {
        let address = registry::start(&mut running, tools, program, var, &plain);
        settle(&mut running, var, address)?;
    }

    let sparse = registry::start(&mut running, tools, "registry", "PACKMULE_TEST_SPARSE", &registry::Access::Sparse);
    settle(&mut running, "PACKMULE_TEST_SPARSE", sparse)?;

    match registry::htpasswd(&running, tools, &password) {
        Ok(access) => {
            for (var, program) in
                [("PACKMULE_TEST_HTPASSWD", "registry"), ("PACKMULE_TEST_HTPASSWD_DOCKER_REGISTRY", "docker-registry")]
            {
                let address = registry::start(&mut running, tools, program, var, &access);
                settle(&mut running, var, address)?;
            }
            running.set("PACKMULE_TEST_HTPASSWD_PASSWORD", password.as_str());
        }
        Err(e) => install::missing("PACKMULE_TEST_HTPASSWD", &e)?,
    }
    encrypted(&mut running, tools)?;

    match registry::token(&mut running, tools, &password) {
        Ok((access, realm)) => {
            for (var, program) in
                [("PACKMULE_TEST_TOKEN", "registry"), ("PACKMULE_TEST_TOKEN_DOCKER_REGISTRY", "docker-registry")]
            {
                let address = registry::start(&mut running, tools, program, var, &access);
                settle(&mut running, var, address)?;
            }
            running.set("PACKMULE_TEST_TOKEN_REALM", realm);
            running.set("PACKMULE_TEST_TOKEN_PASSWORD", password.as_str());
        }
        Err(e) => install::missing("PACKMULE_TEST_TOKEN", &e)?,
    }

    let referrers =
        tools.get("referrers").and_then(|program| spawn_announcing(&mut running, &Command::new(program), "referrers"));
    settle(&mut running, "PACKMULE_TEST_REFERRERS", referrers)?;
    running.set("PACKMULE_TEST_USER", USER);
    azure::start(&mut running, tools)?;
    storage::start(&mut running, tools)?;
    Ok(running)
}

/// Starts both registries with TLS, each open and with client certificates. The folder of
/// certificates is a variable.
fn encrypted(running: &mut Services, tools: &Tools) -> Result<(), Failed> {
    let certificates = match certificates::Certificates::make(&running.dir.join("certificates")) {
        Ok(made) => made,
        Err(e) => return install::missing("PACKMULE_TEST_CERTIFICATES", &e),
    };
    running.set("PACKMULE_TEST_CERTIFICATES", certificates.dir.display().to_string());
    for (var, program, client) in [
        ("PACKMULE_TEST_TLS", "registry", false),
        ("PACKMULE_TEST_TLS_DOCKER_REGISTRY", "docker-registry", false),
        ("PACKMULE_TEST_MTLS", "registry", true),
        ("PACKMULE_TEST_MTLS_DOCKER_REGISTRY", "docker-registry", true),
    ] {
        let access = registry::Access::tls(&certificates, client);
        let address = registry::start(running, tools, program, var, &access);
        settle(running, var, address)?;
    }
    Ok(())
}

/// `cargo xtask services`: prints NAME=value lines and runs until standard input ends or a signal
/// arrives.
pub fn run(tools: &Tools, seed: impl FnOnce(&mut Services) -> Result<(), Failed>) -> Result<(), Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut services = shell::stage("services", || start(tools))?;
    seed(&mut services)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in &services.vars {
        writeln!(out, "{name}={value}")?;
    }
    out.flush()?;
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        drop(std::io::stdin().read_to_end(&mut rest));
        ended.store(true, Ordering::SeqCst);
    });
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Records the address of a running service, or reports that it is not running. Returns whether it
/// is running.
fn settle(running: &mut Services, var: &str, address: Result<SocketAddr, Failed>) -> Result<bool, Failed> {
    match address {
        Ok(address) => {
            running.set(var, address.to_string());
            Ok(true)
        }
        Err(e) => install::missing(var, &e).map(|()| false),
    }
}

/// Removes data of earlier runs whose process is gone.
fn sweep(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else {
        return;
    };
    for entry in entries.flatten() {
        let alive = Path::new("/proc").join(entry.file_name()).exists();
        if !alive {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Starts a program that ends when this process does. Its messages go to a file.
fn spawn(running: &mut Services, program: &Command, stdout: Stdio, name: &str) -> Result<usize, Failed> {
    let log = running.dir.join(format!("{name}.log"));
    let mut command = tied(program);
    command.stdout(stdout).stderr(std::fs::File::create(&log)?);
    let child = command.spawn().map_err(|e| Failed::new(format!("{name}: {e}")))?;
    running.children.push(child);
    Ok(running.children.len() - 1)
}

/// Starts a program that prints its own address on its first line.
fn spawn_announcing(running: &mut Services, program: &Command, name: &str) -> Result<SocketAddr, Failed> {
    let index = spawn(running, program, Stdio::piped(), name)?;
    let mut line = String::new();
    if let Some(out) = running.children[index].stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let address =
        line.trim().parse().map_err(|_| Failed::new(format!("{name}: expected its address, found {line:?}")))?;
    wait(running, index, address, name)?;
    Ok(address)
}

/// Waits until `address` accepts connections. Fails if the process ends first.
fn wait(running: &mut Services, index: usize, address: SocketAddr, name: &str) -> Result<(), Failed> {
    let begin = Instant::now();
    loop {
        if let Some(status) = running.children[index].try_wait()? {
            let log = std::fs::read_to_string(running.dir.join(format!("{name}.log"))).unwrap_or_default();
            let tail: String = log.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
            return Err(Failed::new(format!("{name} ended at once: {status}\n{tail}")));
        }
        if answers(address) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(Failed::new(format!("{name}: no answer at {address} in {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Whether an HTTP server responds at this address.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else {
        return false;
    };
    let asked = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut head = [0; 5];
    drop(stream.set_read_timeout(Some(Duration::from_secs(2))));
    stream.write_all(asked.as_bytes()).is_ok() && stream.read_exact(&mut head).is_ok() && &head == b"HTTP/"
}

/// Returns a command for the same program that the kernel kills when this process ends in any way
/// (setpriv execs: same pid).
fn tied(program: &Command) -> Command {
    let mut command = shell::command("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.get_program()).args(program.get_args());
    for (key, value) in program.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}

/// Returns a loopback address that was free a moment ago.
fn free() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Returns a new password: 128 random bits in hex.
pub fn random() -> Result<String, Failed> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_ends_at_once_is_an_error_with_its_last_words() {
        let dir = shell::target().join("services").join(format!("{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut running = Services { children: Vec::new(), dir, vars: Vec::new() };
        let mut program = Command::new("sh");
        program.args(["-c", "echo no such port >&2; exit 3"]);
        let index = spawn(&mut running, &program, Stdio::null(), "broken").unwrap();
        let error = wait(&mut running, index, free().unwrap(), "broken").unwrap_err().to_string();
        assert!(error.contains("no such port"), "{error}");
    }

    #[test]
    fn stopping_ends_the_process_and_removes_its_data() {
        let dir = shell::target().join("services").join(format!("{}-stop", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut running = Services { children: Vec::new(), dir: dir.clone(), vars: Vec::new() };
        let mut program = Command::new("sleep");
        program.arg("600");
        let index = spawn(&mut running, &program, Stdio::null(), "sleeper").unwrap();
        let process = Path::new("/proc").join(running.children[index].id().to_string());
        assert!(process.exists());
        drop(running);
        assert!(!process.exists() && !dir.exists());
    }
}
