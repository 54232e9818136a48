//! TLS in front of the servers of [`super::server`]: certificates made here, right and wrong ones,
//! and a broken HTTP/2.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::server::{Reply, Request, Server, Wire};

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A folder with a CA and certificates it signed: `good`, `expired`, `other-name`; `self-signed`,
/// and `constrained` by a CA that may only sign for other addresses.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let own = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
        let constraint = "-addext nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0";
        folder.openssl(&format!("req -x509 {KEY} -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem"));
        folder.openssl(&format!("req -x509 {KEY} -days 2 -subj /CN=narrow {constraint} -addext basicConstraints=critical,CA:TRUE -CA ca.pem -CAkey ca.key -keyout narrow.key -out narrow.pem"));
        for (name, subject, signer, names) in [
            ("good", "good", "ca", own),
            (
                "other-name",
                "other",
                "ca",
                "-addext subjectAltName=DNS:other.example -addext basicConstraints=critical,CA:FALSE",
            ),
            ("constrained", "constrained", "narrow", own),
        ] {
            folder.openssl(&format!(
                "req -x509 {KEY} -days 2 -subj /CN={subject} {names} -CA {signer}.pem -CAkey {signer}.key -keyout {name}.key -out {name}.pem"
            ));
        }
        let chain = [folder.read("constrained.pem"), folder.read("narrow.pem")].concat();
        folder.write("constrained.pem", &chain);
        folder.openssl(&format!(
            "req -x509 {KEY} -days 2 -subj /CN=lonely {own} -keyout self-signed.key -out self-signed.pem"
        ));
        // Only `ca` sets dates.
        folder.write("db", b"");
        folder.write("serial", b"01\n");
        folder.write("ca.conf", b"[ca]\ndefault_ca=d\n[d]\ndatabase=db\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n");
        folder.openssl(&format!("req {KEY} -subj /CN=expired -keyout expired.key -out expired.csr"));
        folder.openssl("ca -batch -config ca.conf -cert ca.pem -keyfile ca.key -in expired.csr -out expired.pem -startdate 20200101000000Z -enddate 20200201000000Z -notext");
        folder
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(self.0.path()).args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "openssl {line}");
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(self.0.path()).join(name)).unwrap()
    }

    fn config(&self, name: &str, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = self.read(&format!("{name}.pem"));
        let chain: Vec<CertificateDer> = CertificateDer::pem_slice_iter(&chain).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&self.read(&format!("{name}.key"))).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.read("ca.pem")).unwrap()).unwrap();
        // Requests a certificate but also accepts none.
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// TLS with one certificate, and counts of its connections.
pub struct Front {
    config: Arc<ServerConfig>,
    /// Connections whose client showed a certificate.
    pub named: Arc<AtomicUsize>,
    /// Connections without TLS.
    pub plain: Arc<AtomicUsize>,
}

/// Accepts a connection and completes the handshake; `None` if it fails.
fn shake(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Option<StreamOwned<ServerConnection, TcpStream>> {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            // The alert gives the reason.
            drop(connection.write_tls(&mut stream));
            return None;
        }
    }
    Some(StreamOwned::new(connection, stream))
}

impl Front {
    pub fn new(folder: &Folder, name: &str) -> Self {
        let (named, plain) = (Arc::default(), Arc::default());
        Self { config: folder.config(name, &[b"http/1.1"]), named, plain }
    }

    pub fn serve(&self, answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
        let (config, named, plain) = (Arc::clone(&self.config), Arc::clone(&self.named), Arc::clone(&self.plain));
        let accept = move |stream: TcpStream| {
            let mut first = [0];
            if stream.peek(&mut first).is_ok() && first[0] != 22 {
                plain.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            let stream = shake(&config, stream)?;
            if stream.conn.peer_certificates().is_some_and(|shown| !shown.is_empty()) {
                named.fetch_add(1, Ordering::SeqCst);
            }
            Some(Box::new(stream) as Box<dyn Wire>)
        };
        Server::start_by("127.0.0.1:0", accept, answer).unwrap()
    }
}

/// A server that knows only TLS 1.0: it answers every handshake with the alert `protocol_version`.
pub fn alert() -> Server {
    let accept = |mut stream: TcpStream| {
        let mut first = [0; 5];
        stream.read_exact(&mut first).ok()?;
        if first[0] != 22 {
            return Some(Box::new(stream) as Box<dyn Wire>);
        }
        let mut hello = vec![0; usize::from(u16::from_be_bytes([first[3], first[4]]))];
        stream.read_exact(&mut hello).ok()?;
        stream.write_all(&[21, 3, 1, 0, 2, 2, 70]).ok()?;
        None
    };
    Server::start_by("127.0.0.1:0", accept, |_, _| super::server::reply(200, "")).unwrap()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A server of HTTP/2 that answers a ping and then breaks everything, by RST_STREAM after `start`
/// or by GOAWAY; with HTTP/1.1 it works.
pub fn http2(
    folder: &Folder,
    broken: Arc<AtomicUsize>,
    goaway: bool,
    start: Vec<u8>,
    answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> Server {
    let config = folder.config("good", &[b"h2", b"http/1.1"]);
    let pinged = AtomicUsize::new(0);
    let accept = move |stream: TcpStream| {
        let mut stream = shake(&config, stream)?;
        if stream.conn.alpn_protocol() != Some(b"h2") {
            return Some(Box::new(stream) as Box<dyn Wire>);
        }
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).ok()?;
        stream.write_all(&frame(4, 0, 0, &[])).ok()?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).ok()?;
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match head[3] {
                // SETTINGS: acknowledged.
                4 if head[4] & 1 == 0 => stream.write_all(&frame(4, 1, 0, &[])).ok()?,
                // HEADERS; 0x88 is `:status: 200`.
                1 if pinged.fetch_add(1, Ordering::SeqCst) == 0 => stream.write_all(&frame(1, 5, id, &[0x88])).ok()?,
                1 => {
                    broken.fetch_add(1, Ordering::SeqCst);
                    if goaway {
                        // HTTP_1_1_REQUIRED, and no stream was accepted.
                        stream.write_all(&frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 13])).ok()?;
                        stream.flush().ok()?;
                        return None;
                    }
                    stream.write_all(&frame(1, 4, id, &[0x88])).ok()?;
                    stream.write_all(&frame(0, 0, id, &start)).ok()?;
                    stream.flush().ok()?;
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    // INTERNAL_ERROR.
                    stream.write_all(&frame(3, 0, id, &[0, 0, 0, 2])).ok()?;
                }
                _ => {}
            }
            stream.flush().ok()?;
        }
    };
    Server::start_by("127.0.0.1:0", accept, answer).unwrap()
}
