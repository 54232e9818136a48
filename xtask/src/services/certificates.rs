//! Certificates for one run: a private CA, a server on loopback, and a client. Made with openssl
//! and valid for two days.

use crate::shell::Failed;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder with `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`.
#[derive(Debug)]
pub struct Certificates {
    /// Path of the folder.
    pub dir: PathBuf,
}

impl Certificates {
    /// Creates all certificates.
    pub fn make(dir: &Path) -> Result<Self, Failed> {
        std::fs::create_dir_all(dir)?;
        let made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        openssl(dir, &format!("{made} -subj /CN=packmule-test-ca -keyout ca.key -out ca.pem"))?;
        for (name, extensions) in [
            ("server", "-addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext extendedKeyUsage=serverAuth"),
            ("client", "-addext extendedKeyUsage=clientAuth"),
        ] {
            openssl(
                dir,
                &format!(
                    "{made} -subj /CN=packmule-test-{name} -keyout {name}.key -out {name}.pem -CA ca.pem -CAkey ca.key \
                     -addext basicConstraints=critical,CA:FALSE {extensions}"
                ),
            )?;
        }
        Ok(Self { dir: dir.to_owned() })
    }
}

fn openssl(dir: &Path, line: &str) -> Result<(), Failed> {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|e| Failed::new(format!("openssl: {e}")))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("openssl {line}: {status}"))) }
}
