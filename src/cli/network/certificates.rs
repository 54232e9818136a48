//! The `certs.d` directories of docker and podman: certificates for a registry, by host name.
//!
//! `*.crt` are root certificates to trust; `X.cert` and `X.key` are the client certificate and its
//! key.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::world::World;
use crate::network::settings::ClientCertificate;
use crate::secret;
use crate::system;

/// Maximum size of a certificate file, in bytes.
const MAX: usize = 1 << 20;

/// Content of a registry's directory.
#[derive(Debug, Default)]
pub struct Found {
    /// Root certificates (PEM), one entry per file.
    pub ca: Vec<Vec<u8>>,
    /// Client certificate.
    pub client: Option<ClientCertificate>,
}

/// Returns the directories to look in, in podman's order.
pub fn places(world: &World) -> Vec<PathBuf> {
    let own = world.settings().map(|dir| dir.join("containers/certs.d"));
    own.into_iter().chain([world.etc.join("containers/certs.d"), world.etc.join("docker/certs.d")]).collect()
}

/// Reads the files in the first of `places` that has a directory for `host` (with its port).
///
/// # Errors
/// A file that cannot be read, a certificate without its key or the reverse, a private key that
/// others can read.
pub fn find(host: &str, places: &[PathBuf]) -> Result<Found, String> {
    // A host name is never a path.
    if host.is_empty() || host.starts_with('.') || host.contains('/') {
        return Ok(Found::default());
    }
    for place in places {
        let dir = place.join(host);
        let wrong = |error: &io::Error| format!("certificates {}: {error}", dir.display());
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(wrong(&error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(|error| wrong(&error))?.path());
        }
        files.sort();
        return read(&files, &dir);
    }
    Ok(Found::default())
}

fn read(files: &[PathBuf], dir: &Path) -> Result<Found, String> {
    let with =
        |extension: &'static str| files.iter().filter(move |file| file.extension().is_some_and(|own| own == extension));
    let ca = with("crt").map(|file| certificates(file)).collect::<Result<_, _>>()?;
    let mut pairs = with("cert");
    let client = match (pairs.next(), pairs.next()) {
        (None, _) => None,
        (Some(cert), None) => Some(client(cert, &cert.with_extension("key"))?),
        (Some(_), Some(_)) => {
            return Err(format!("certificates {}: expected one client certificate, found several", dir.display()));
        }
    };
    if let Some(key) = with("key").find(|key| !key.with_extension("cert").exists()) {
        return Err(format!("certificates {}: expected a .cert file of the same name, found none", key.display()));
    }
    Ok(Found { ca, client })
}

/// Reads a certificate file without parsing it.
///
/// # Errors
/// The file cannot be read or is too large.
pub fn certificates(file: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("certificates {}: {error}", file.display());
    let mut bytes = Vec::new();
    let opened = system::open_followed(file).map_err(|unopened| wrong(&unopened.error))?;
    opened.take(MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() > MAX {
        return Err(wrong(&format!("expected at most {MAX} bytes, found more")));
    }
    Ok(bytes)
}

/// Reads a client certificate and its key.
///
/// # Errors
/// A file cannot be read, or others can read the key.
pub fn client(certificate: &Path, key: &Path) -> Result<ClientCertificate, String> {
    let key: Zeroizing<Vec<u8>> = secret::private_file(key, MAX).map_err(|error| error.what)?;
    Ok(ClientCertificate { certificate: certificates(certificate)?, key })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_directory_that_knows_the_host_counts() {
        let root = tempfile::tempdir().unwrap();
        let (mut world, ..) = World::for_test(&[], root.path());
        world.env.insert("HOME".into(), root.path().join("home").into());
        let places = places(&world);
        let write = |place: &str, text: &str, mode: u32| {
            let path = root.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("etc/docker/certs.d/a.example:5000/ca.crt", "docker", 0o644);
        write("etc/docker/certs.d/a.example:5000/client.cert", "cert", 0o644);
        write("etc/docker/certs.d/a.example:5000/client.key", "canary", 0o600);
        write("etc/docker/certs.d/a.example:5000/README", "x", 0o644);
        let found = find("a.example:5000", &places).unwrap();
        assert_eq!(found.ca, [b"docker".to_vec()]);
        assert!(!format!("{found:?}").contains("canary"));
        let client = found.client.unwrap();
        assert_eq!((client.certificate.as_slice(), client.key.as_slice()), (&b"cert"[..], &b"canary"[..]));
        for none in ["a.example", "b.example:5000", "..", "../docker", ""] {
            let found = find(none, &places).unwrap();
            assert!(found.ca.is_empty() && found.client.is_none(), "{none}");
        }
        let key = "etc/docker/certs.d/a.example:5000/client.key";
        write(key, "canary", 0o644);
        assert!(find("a.example:5000", &places).unwrap_err().contains("0644"));
        fs::remove_file(root.path().join(key)).unwrap();
        assert!(find("a.example:5000", &places).unwrap_err().contains("client.key"));

        write("home/.config/containers/certs.d/a.example:5000/b.crt", "own", 0o644);
        write("etc/containers/certs.d/a.example:5000/b.crt", "podman", 0o644);
        assert_eq!(find("a.example:5000", &places).unwrap().ca, [b"own".to_vec()]);
        write("etc/containers/certs.d/c.example/x.key", "canary", 0o600);
        assert!(find("c.example", &places).unwrap_err().contains(".cert"));
        write("etc/containers/certs.d/d.example/one.cert", "", 0o600);
        write("etc/containers/certs.d/d.example/two.cert", "", 0o600);
        assert!(find("d.example", &places).unwrap_err().contains("several"));
    }
}
