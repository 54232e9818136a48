//! Registries of the distribution family: one configuration for version 3 and for Debian's 2.8,
//! open or protected.

use super::certificates::Certificates;
use super::{Services, USER, free, spawn, spawn_announcing, wait};
use crate::install::Tools;
use crate::shell::{self, Failed};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Access control of a registry.
#[derive(Debug)]
pub enum Access {
    /// Open to everyone.
    Open,
    /// Open to everyone; also accepts indexes whose manifests are missing (version 3 only).
    Sparse,
    /// Basic credentials from an htpasswd file.
    Htpasswd(PathBuf),
    /// Bearer tokens of the server at `realm`, signed with the key of the certificate.
    Token {
        /// Address of the token server.
        realm: SocketAddr,
        /// Certificate for checking the tokens' signatures.
        certificate: PathBuf,
    },
    /// TLS with the private CA. With `client`, only for clients that present one of its
    /// certificates.
    Tls {
        /// Folder of certificates.
        certificates: PathBuf,
        /// Whether a client certificate is required.
        client: bool,
    },
}

impl Access {
    /// Returns TLS access with certificates.
    pub fn tls(certificates: &Certificates, client: bool) -> Self {
        Self::Tls { certificates: certificates.dir.clone(), client }
    }
}

/// Returns the folder in which a registry stores its content.
pub fn store(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.data"))
}

/// Starts one registry with an empty store.
pub fn start(
    running: &mut Services,
    tools: &Tools,
    program: &str,
    name: &str,
    access: &Access,
) -> Result<SocketAddr, Failed> {
    let program = tools.get(program)?.to_owned();
    let address = free()?;
    let store = store(&running.dir, name);
    std::fs::create_dir_all(&store)?;
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": store }, "maintenance": { "uploadpurging": { "enabled": false } } },
        "http": { "addr": address.to_string() },
    });
    if let Some(auth) = auth(access) {
        config["auth"] = auth;
    }
    if matches!(access, Access::Sparse) {
        config["validation"] = json!({ "manifests": { "indexes": { "platforms": "none" } } });
    }
    if let Access::Tls { certificates, client } = access {
        config["http"]["tls"] = json!({
            "certificate": certificates.join("server.pem"), "key": certificates.join("server.key"),
        });
        if *client {
            config["http"]["tls"]["clientcas"] = json!([certificates.join("ca.pem")]);
        }
    }
    // JSON is valid YAML, which these registries read.
    let file = running.dir.join(format!("{name}.yaml"));
    std::fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
    let index = spawn(running, &command, Stdio::null(), name)?;
    wait(running, index, address, name)?;
    Ok(address)
}

fn auth(access: &Access) -> Option<Value> {
    match access {
        Access::Open | Access::Sparse | Access::Tls { .. } => None,
        Access::Htpasswd(path) => Some(json!({ "htpasswd": { "realm": "packmule test", "path": path } })),
        Access::Token { realm, certificate } => Some(json!({ "token": {
            "realm": format!("http://{realm}/token"),
            "service": "packmule-test-registry",
            "issuer": "packmule-test",
            "rootcertbundle": certificate,
        } })),
    }
}

/// Creates the password file. The password is passed on standard input.
pub fn htpasswd(running: &Services, tools: &Tools, password: &str) -> Result<Access, Failed> {
    let path = running.dir.join("htpasswd");
    let mut child = Command::new(tools.get("htpasswd")?)
        .args(["-c", "-i", "-B"])
        .arg(&path)
        .arg(USER)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(password.as_bytes())?;
    }
    let status = child.wait()?;
    if status.success() { Ok(Access::Htpasswd(path)) } else { Err(Failed::new(format!("htpasswd: {status}"))) }
}

/// Starts the token server. Returns the access that it controls and its address.
pub fn token(running: &mut Services, tools: &Tools, password: &str) -> Result<(Access, String), Failed> {
    let certificate = running.dir.join("token.pem");
    let mut command = shell::command(tools.get("token")?);
    command.arg(&certificate).env("TOKEN_USER", USER).env("TOKEN_PASSWORD", password);
    let realm = spawn_announcing(running, &command, "token")?;
    Ok((Access::Token { realm, certificate }, realm.to_string()))
}
