//! Certificates: an own CA, one that is not known, a wrong name.
//!
//! Starts a registry of its own under a certificate made here, with what the test run built.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use packmule::content::{Destination, Kind, Source};
use packmule::oci::Reference;
use packmule::registry::Settings;

use super::hosts::{address, client, content, fresh, read};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn openssl(dir: &Path, line: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(line.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "openssl {line}");
}

/// A registry with a certificate for 127.0.0.1 alone, signed by `ca.pem` in `dir`.
fn start(tools: &str, dir: &Path) -> (Running, u16) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(dir, &format!("req -x509 {key} -subj /CN=test-ca -keyout ca.key -out ca.pem"));
    openssl(
        dir,
        &format!(
            "req -x509 {key} -subj /CN=registry -keyout key.pem -out cert.pem -CA ca.pem -CAkey ca.key \
             -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1"
        ),
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = serde_json::json!({
        "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": dir.join("data")}},
        "http": {"addr": format!("127.0.0.1:{port}"),
                 "tls": {"certificate": dir.join("cert.pem"), "key": dir.join("key.pem")}},
    });
    std::fs::write(dir.join("config.yaml"), config.to_string()).unwrap();
    let mut command = Command::new(Path::new(tools).join("registry"));
    command.arg("serve").arg(dir.join("config.yaml")).env("OTEL_TRACES_EXPORTER", "none");
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return (running, port);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the registry does not answer");
}

#[test]
fn certificates_are_checked_against_the_given_ca() {
    let Some(tools) = address("PACKMULE_TEST_TOOLS") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (_running, port) = start(&tools, dir.path());
    let ca = vec![std::fs::read(dir.path().join("ca.pem")).unwrap()];
    let resolve = |host: &str, settings: Settings| {
        let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
        client(settings).registries.resolve(&reference).unwrap_err()
    };
    let host = format!("127.0.0.1:{port}");
    let unknown = resolve(&host, Settings::default());
    assert_eq!(unknown.kind, Kind::Failed, "never plain http after a certificate error: {unknown}");
    assert!(unknown.what.contains("UnknownIssuer") && unknown.help.unwrap().contains("--ca"), "{}", unknown.what);
    assert_eq!(resolve(&host, Settings { ca: ca.clone(), ..Settings::default() }).kind, Kind::Absent);
    let named = format!("localhost:{port}");
    let wrong_name = resolve(&named, Settings { ca: ca.clone(), ..Settings::default() });
    assert_eq!(wrong_name.kind, Kind::Failed, "{wrong_name}");
    assert!(wrong_name.what.contains("localhost"), "{wrong_name}");
    let insecure = |host: &str| Settings { insecure: vec![host.to_owned()], ..Settings::default() };
    assert_eq!(resolve(&named, insecure(&named)).kind, Kind::Absent);
    assert_eq!(resolve(&named, insecure(&host)).kind, Kind::Failed, "named for another host");

    let client = client(Settings { ca, ..Settings::default() });
    let repository = fresh(&host, "tls");
    let blob = content(5 << 20, 41);
    client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
    assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
}
