//! `demo`: export, verify, import and a pull of artifacts made from data in this file. Every
//! command is printed before it runs.
//!
//! Nothing is simulated: the commands are the program's own and the files are real.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::demo_server::DemoServer;
use crate::base::fault::{Class, Fault, differs};
use crate::cli::Session;
use crate::cli::output::Outcome;
use crate::content::checked::Checked;
use crate::content::{Body, Destination};
use crate::layout::Layout;
use crate::oci::media_type::{OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Descriptor, Digest, Document, Repository, Tag};

/// Content of the demo's application.
const PAGE: &str = "<!doctype html><title>Tide table</title><h1>Tide table</h1><p>High water 06:12 and 18:40.</p>\n";
/// The application's software bill of materials.
const SBOM: &str = r#"{"SPDXID":"SPDXRef-DOCUMENT","name":"tide","packages":[{"name":"tide","versionInfo":"1.4"}],"spdxVersion":"SPDX-2.3"}"#;
/// Size of the made-up model file: more than the smallest allowed volume holds.
const MODEL: usize = 40 << 20;

/// `demo [DIR]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory for the demo's files, which must not exist yet
    #[arg(default_value = "packmule-demo")]
    dir: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage if the directory exists; otherwise those of the commands.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let dir = session.path(&self.dir);
        if dir.symlink_metadata().is_ok() {
            return Err(Fault::new(Class::Usage, differs(self.dir.display(), "no such directory", "one"))
                .help("remove it, or name another directory: packmule demo DIR"));
        }
        let io = |error: io::Error| Fault::new(Class::Io, format!("{}: {error}", dir.display()));
        for part in ["", "keys", "usb"] {
            crate::system::make_folders(&dir.join(part)).map_err(io)?;
        }
        let mut demo = Demo { session, dir: self.dir.display().to_string(), steps: Vec::new() };
        demo.say("Real artifacts, made here: an image for two platforms, its SBOM, a model file.")?;
        make_source(&dir.join("source"))?;
        demo.steps()?;
        let text =
            format!("\nThe bundle is in {}/usb: look at it with `packmule inspect {}/usb`.\n", demo.dir, demo.dir);
        let steps = std::mem::take(&mut demo.steps);
        Ok(Outcome::new(text, json!({ "dir": self.dir, "steps": steps })))
    }
}

struct Demo<'a, 'b> {
    session: &'a mut Session<'b>,
    dir: String,
    steps: Vec<Value>,
}

impl Demo<'_, '_> {
    fn say(&mut self, text: &str) -> Result<(), Fault> {
        if self.session.globals.json {
            return Ok(());
        }
        let out = &mut self.session.world.stdout;
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| Fault::new(Class::Io, format!("standard output: {error}")))
    }

    fn words(&self, line: &str) -> Vec<String> {
        line.split(' ').map(|word| word.replace("DIR/", &format!("{}/", self.dir))).collect()
    }

    /// Prints a command.
    fn show(&mut self, line: &str, end: &str) -> Result<(), Fault> {
        let shown: Vec<String> = self.words(line).iter().map(|word| shell_word(word)).collect();
        self.say(&format!("\n$ packmule {}{end}", shown.join(" ")))
    }

    /// Prints a command and runs it.
    fn command(&mut self, line: &str) -> Result<Outcome, Fault> {
        self.show(line, "")?;
        let words = self.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = self.session.again(&words)?;
        self.say(outcome.text.trim_end())?;
        let class = outcome.fault.as_ref().map(|fault| fault.class.name());
        self.steps.push(json!({ "command": line, "ok": outcome.fault.is_none(), "class": class }));
        Ok(outcome)
    }

    /// Runs a command that must succeed.
    fn must(&mut self, line: &str) -> Result<(), Fault> {
        self.command(line)?.fault.map_or(Ok(()), Err)
    }

    fn steps(&mut self) -> Result<(), Fault> {
        self.say("\n-- Two people each make a key (here without a passphrase).")?;
        self.must("key new -o DIR/keys/anna.pem --no-passphrase")?;
        self.must("key new -o DIR/keys/ben.pem --no-passphrase")?;
        self.say("\n-- Source site: pack the artifacts into volumes of at most 32 MiB; the first person signs, then the second.")?;
        self.must("export oci:DIR/source -o DIR/usb/tide --sign DIR/keys/anna.pem --volume-size 32MiB")?;
        self.must("sign DIR/usb/tide --sign DIR/keys/ben.pem")?;
        self.say("\n-- Guard: both must have signed, and every byte must match what was signed.")?;
        self.must("verify DIR/usb/tide --key DIR/keys/anna.pub.pem --key DIR/keys/ben.pub.pem")?;
        self.tampered()?;
        self.say("\n-- Disconnected site: import what was verified, then compare.")?;
        self.must("import DIR/usb/tide --key DIR/keys/anna.pub.pem --key DIR/keys/ben.pub.pem --to oci:DIR/site")?;
        self.compare()?;
        self.pull()
    }

    /// Serves the bundle as a registry and pulls an artifact from it.
    fn pull(&mut self) -> Result<(), Fault> {
        let line =
            "serve bundle:DIR/usb/tide --key DIR/keys/anna.pub.pem --key DIR/keys/ben.pub.pem --listen 127.0.0.1:0";
        let words = self.words(line);
        let Some(server) = DemoServer::begin(self.session, &words.iter().map(String::as_str).collect::<Vec<_>>())?
        else {
            return Ok(());
        };
        let pulled = self.pull_at(line, &server.address());
        server.stop().and(pulled)
    }

    fn pull_at(&mut self, line: &str, address: &str) -> Result<(), Fault> {
        self.say("\n-- Or serve the bundle itself as a registry, with nothing unpacked, and pull from it.")?;
        self.show(line, " &")?;
        self.say(&format!("serving on http://{address}"))?;
        self.steps.push(json!({ "command": line, "ok": true, "class": null }));
        self.must(&format!("copy {address}/library/tide:1.4 --to oci:DIR/pulled"))?;
        self.say("\n-- The server is stopped.")
    }

    /// Flips one bit of the second volume, shows the refusal, and flips the bit back.
    fn tampered(&mut self) -> Result<(), Fault> {
        let path = self.session.path(Path::new(&self.dir)).join("usb/tide.0002.tar.zst");
        let io = |error: io::Error| Fault::new(Class::Io, format!("{}: {error}", path.display()));
        let flip = || -> io::Result<()> {
            use std::os::unix::fs::FileExt as _;
            let file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
            let mut byte = [0];
            file.read_exact_at(&mut byte, 1_000_000)?;
            byte[0] ^= 1;
            file.write_all_at(&byte, 1_000_000)
        };
        self.say("\n-- One bit of tide.0002.tar.zst is flipped on the way.")?;
        flip().map_err(io)?;
        let outcome = self.command("verify DIR/usb/tide --key DIR/keys/anna.pub.pem --key DIR/keys/ben.pub.pem")?;
        let Some(fault) = outcome.fault else {
            return Err(Fault::new(Class::Bug, "internal error: a flipped bit was not refused"));
        };
        self.say(&format!("error: {} (exit code {})", fault.what, crate::cli::exit::code(fault.class, None)))?;
        self.say("\n-- The bit is flipped back.")?;
        flip().map_err(io)
    }

    /// Checks that every manifest and blob of the source is at the site under the same digest.
    fn compare(&mut self) -> Result<(), Fault> {
        let dir = self.session.path(Path::new(&self.dir));
        let io = |error: io::Error| Fault::new(Class::Io, format!("{}: {error}", dir.display()));
        let blobs = |part: &str| -> io::Result<Vec<(std::ffi::OsString, Digest)>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(dir.join(part).join("blobs/sha256"))? {
                let entry = entry?;
                found.push((entry.file_name(), Digest::sha256(&fs::read(entry.path())?)));
            }
            found.sort();
            Ok(found)
        };
        let (source, site) = (blobs("source").map_err(io)?, blobs("site").map_err(io)?);
        if source != site {
            return Err(Fault::new(Class::Integrity, "demo: the content of the site differs from the source"));
        }
        self.say(&format!("\n-- Compared: all {} blobs of the source are at the site, byte for byte.", source.len()))
    }
}

/// Quotes `word` for a shell.
fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A body that is in memory.
struct Bytes<'a>(&'a [u8], Descriptor);

impl Body for Bytes<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Checked::new(self.0, self.1.clone())))
    }
}

/// Puts the demo's artifacts into a new layout.
struct Maker {
    layout: Layout,
    repository: Repository,
}

impl Maker {
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Fault> {
        let blob = Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64);
        let put = self.layout.put_blob(&self.repository, &blob, &Bytes(bytes, blob.clone()));
        put.map_err(|error| error.into_fault(Class::Io))?;
        Ok(blob)
    }

    fn document(&self, media_type: &str, json: &Value) -> Result<Document, Fault> {
        let bug = |error: String| Fault::new(Class::Bug, format!("internal error: {error}"));
        let document =
            Document::parse(media_type, json.to_string().into_bytes()).map_err(|error| bug(error.to_string()))?;
        let put = self.layout.put_manifest(&self.repository, &document);
        put.map_err(|error| error.into_fault(Class::Io))?;
        Ok(document)
    }

    fn tag(&self, repository: &str, tag: &str, document: &Document) -> Result<(), Fault> {
        let bug =
            |error: crate::oci::reference::ReferenceError| Fault::new(Class::Bug, format!("internal error: {error}"));
        let (repository, tag) = (Repository::bare(repository).map_err(bug)?, Tag::new(tag).map_err(bug)?);
        self.layout.set_tag(&repository, &tag, document).map_err(|error| error.into_fault(Class::Io))
    }
}

/// Returns a tar archive of one file.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    crate::bundle::format::tar::single(name, content)
}

fn make_source(dir: &Path) -> Result<(), Fault> {
    let bug = |error: crate::oci::reference::ReferenceError| Fault::new(Class::Bug, format!("internal error: {error}"));
    let maker = Maker { layout: Layout::create(dir)?, repository: Repository::bare("tide").map_err(bug)? };
    let layer = maker.blob("application/vnd.oci.image.layer.v1.tar", &tar_of("srv/index.html", PAGE.as_bytes()))?;
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let config = json!({
            "architecture": architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        });
        let config = maker.blob(OCI_CONFIG, config.to_string().as_bytes())?;
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer] });
        let manifest = maker.document(OCI_MANIFEST, &manifest)?;
        let mut child = json!(manifest.descriptor());
        child["platform"] = json!({ "architecture": architecture, "os": "linux" });
        children.push(child);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    let index = maker.document(OCI_INDEX, &index)?;
    maker.tag("tide", "1.4", &index)?;
    let empty = maker.blob(OCI_EMPTY, b"{}")?;
    let sbom = maker.blob("application/spdx+json", SBOM.as_bytes())?;
    let sbom = maker.document(
        OCI_MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/spdx+json",
            "config": empty, "layers": [sbom], "subject": index.descriptor(),
        }),
    )?;
    maker.layout.set_root(&maker.repository, &sbom).map_err(|error| error.into_fault(Class::Io))?;
    let model = maker.blob("application/octet-stream", &noise(0, MODEL))?;
    let model = maker.document(
        OCI_MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example.model",
            "config": empty, "layers": [model],
        }),
    )?;
    maker.tag("models/tide", "small", &model)?;
    maker.layout.finish().map_err(|error| error.into_fault(Class::Io))
}

/// Returns `length` bytes that do not compress, the same every time for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed << 7;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use crate::cli::world::World;

    #[test]
    fn a_directory_with_a_space_is_one_word() {
        let root = tempfile::tempdir().unwrap();
        let (mut world, stdout, stderr) = World::for_test(&["demo", "it's a demo"], root.path());
        assert_eq!(crate::cli::run(&mut world), 0, "{}", stderr.text());
        let printed = stdout.text();
        let key = "$ packmule key new -o 'it'\\''s a demo/keys/anna.pem' --no-passphrase\n";
        assert!(printed.contains(key) && root.path().join("it's a demo/site/index.json").is_file(), "{printed}");
        let pulled = root.path().join("it's a demo/pulled/index.json").is_file();
        assert_eq!(pulled, cfg!(feature = "online"), "{printed}");
    }
}
