//! The files of `--report`: opened and locked before the work, and written at the end through the
//! open handles, so that a confined process needs no other right.
//!
//! Until then a file says that there is no verdict yet. Its beginning is replaced last, in one
//! write, so that an interrupted run leaves that statement in place. Files that are not reports are
//! never touched.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::world::World;
use crate::base::fault::{Class, Fault, differs, expects};
use crate::base::redact::Secrets;
use crate::outfile::{Place, Refusal, begins, look};
use crate::report::{HTML_BEGINS, HTML_UNFINISHED, JSON_BEGINS, Page, to_html};
use crate::system::{self, Claim};

/// The report files of one run.
#[derive(Debug, Default)]
pub struct Sheets {
    all: Vec<Sheet>,
    secrets: Arc<Secrets>,
}

#[derive(Debug)]
struct Sheet {
    out: Out,
    shown: String,
    form: Form,
}

#[derive(Debug)]
enum Out {
    // `reserved` is the length of the text that the file holds until the run ends.
    File { claim: Claim, reserved: usize },
    // A device or a pipe, which gets only the final report.
    Stream(File),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
}

impl Sheets {
    /// Opens `paths`, each a new file or an earlier report, for a run of `command`.
    ///
    /// # Errors
    /// Class usage for another file name ending or another file; class io if a file cannot be
    /// written; class lock if another run writes it. Files made here are removed again.
    pub fn open(paths: &[PathBuf], command: &str, world: &World) -> Result<Self, Fault> {
        let mut sheets = Self::default();
        let mut made: Vec<PathBuf> = Vec::new();
        for path in paths {
            let full = world.path(path);
            match Sheet::open(&full, path, command) {
                Ok((sheet, is_new)) => {
                    sheets.all.push(sheet);
                    made.extend(is_new.then_some(full));
                }
                Err(fault) => {
                    // They have no content of value yet.
                    made.iter().for_each(|path| drop(std::fs::remove_file(path)));
                    return Err(fault);
                }
            }
        }
        Ok(sheets)
    }

    /// Hides `secrets` in everything written to the files.
    #[must_use]
    pub fn hiding(self, secrets: Arc<Secrets>) -> Self {
        Self { secrets, ..self }
    }

    /// Returns whether there are no files.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Writes `page` to each file.
    ///
    /// # Errors
    /// Class io for the first file that cannot be written; the others are still written.
    pub fn fill(&self, page: &Page) -> Result<(), Fault> {
        let mut ended = Ok(());
        for sheet in &self.all {
            let text = match sheet.form {
                Form::Html => to_html(page),
                Form::Json => page.to_json(),
            };
            if let Err(error) = sheet.fill(self.secrets.hide(&text).into_bytes()) {
                let fault = Fault::new(Class::Io, format!("--report {}: {error}", sheet.shown));
                ended = ended.and(Err(fault.help("make room for it or name another file, and run the command again")));
            }
        }
        ended
    }
}

impl Sheet {
    /// Opens a file; also returns whether it is new.
    fn open(path: &Path, typed: &Path, command: &str) -> Result<(Self, bool), Fault> {
        let shown = typed.display().to_string();
        let form = match typed.extension().and_then(std::ffi::OsStr::to_str) {
            Some("html") => Form::Html,
            Some("json") => Form::Json,
            _ => {
                let what = expects(format_args!("--report {shown}"), "a name that ends in .html or .json");
                return Err(Fault::new(Class::Usage, what).help("the ending of the name chooses the format"));
            }
        };
        let subject = format!("--report {shown}");
        let refused = |refusal: Refusal| refusal.into_fault(&subject, "report");
        let io = |error: io::Error| refused(Refusal::Io(error));
        // A claimed file is checked again below.
        if let Place::Stream(stream) = look(path, |_| Ok(true)).map_err(refused)? {
            return Ok((Self { out: Out::Stream(stream), shown, form }, false));
        }
        let Some(claim) = system::claim(path).map_err(|unopened| refused(unopened.into()))? else {
            let what = differs(format_args!("--report {shown}"), "a file for this run alone", "another run writing it");
            return Err(Fault::new(Class::Lock, what).help("name another file, and each file only once"));
        };
        let is_new = claim.is_new();
        if !is_new && !is_report(claim.file(), form).map_err(io)? {
            return Err(refused(Refusal::Other));
        }
        let beginning = match form {
            Form::Html => HTML_UNFINISHED.to_owned(),
            Form::Json => unfinished(command),
        };
        let begun = || -> io::Result<()> {
            let mut file = claim.file();
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(beginning.as_bytes())?;
            file.sync_all()
        }();
        if let Err(error) = begun {
            if is_new {
                drop(std::fs::remove_file(path));
            }
            return Err(io(error));
        }
        Ok((Self { out: Out::File { claim, reserved: beginning.len() }, shown, form }, is_new))
    }

    fn fill(&self, mut bytes: Vec<u8>) -> io::Result<()> {
        let (mut file, reserved) = match &self.out {
            Out::Stream(stream) => return { stream }.write_all(&bytes),
            Out::File { claim, reserved } => (claim.file(), *reserved),
        };
        if bytes.len() < reserved {
            bytes.resize(reserved, b'\n');
        }
        let (first, rest) = bytes.split_at(reserved);
        file.seek(SeekFrom::Start(first.len() as u64))?;
        file.write_all(rest)?;
        file.sync_all()?;
        file.rewind()?;
        file.write_all(first)?;
        file.sync_all()
    }
}

/// Returns the text of a JSON report before the run has ended.
fn unfinished(command: &str) -> String {
    let summary = "The run that writes this report has not ended yet, or was ended from outside.".to_owned();
    Page { command: command.to_owned(), exit: 1, summary, ..Page::default() }.to_json()
}

/// Returns whether a file is an earlier report or empty.
fn is_report(file: &File, form: Form) -> io::Result<bool> {
    let own = match form {
        Form::Html => HTML_BEGINS,
        Form::Json => JSON_BEGINS,
    };
    Ok(file.metadata()?.len() == 0 || begins(file, own.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, names: &[&str]) -> Result<Sheets, Fault> {
        let (world, ..) = World::for_test(&[], dir);
        Sheets::open(&names.iter().map(PathBuf::from).collect::<Vec<_>>(), "verify", &world)
    }

    fn page() -> Page {
        Page { command: "verify".to_owned(), summary: "words".to_owned(), ..Page::default() }
    }

    #[test]
    fn until_the_end_it_says_so_and_then_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for round in 0..2 {
            let sheets = open(dir.path(), &["a.html", "b.json"]).unwrap();
            assert!(read("a.html").contains("NO VERDICT") && !read("a.html").contains("words"), "{round}");
            let early: serde_json::Value = serde_json::from_str(&read("b.json")).unwrap();
            assert_eq!((&early["verdict"], &early["ok"]), (&"NONE".into(), &false.into()));
            sheets.fill(&page()).unwrap();
            assert!(read("a.html").starts_with(HTML_BEGINS) && read("a.html").ends_with("</html>\n"));
            assert!(read("a.html").contains("words"));
            let page: serde_json::Value = serde_json::from_str(&read("b.json")).unwrap();
            assert_eq!(page["summary"], "words");
        }
    }

    /// Everything but the beginning was written: the page shows nothing of it, and the JSON cannot
    /// be parsed.
    #[test]
    fn p2_a_run_killed_while_it_writes_leaves_no_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let sheets = open(dir.path(), &["a.html", "b.json"]).unwrap();
        let long = Page { text: vec!["PASS".repeat(400); 9], ..page() };
        for (sheet, text) in sheets.all.iter().zip([to_html(&long), long.to_json()]) {
            let Out::File { claim, reserved } = &sheet.out else { unreachable!() };
            let mut file = claim.file();
            file.seek(SeekFrom::Start(*reserved as u64)).unwrap();
            file.write_all(&text.as_bytes()[*reserved..]).unwrap();
        }
        let html = std::fs::read_to_string(dir.path().join("a.html")).unwrap();
        let (shown, hidden) = html.split_once("</p><!--").unwrap();
        assert!(shown.contains("NO VERDICT") && hidden.contains("PASS"), "{shown}");
        assert!(!hidden.contains("-->") && !hidden.contains("--!>"), "the comment would end");
        let json = std::fs::read_to_string(dir.path().join("b.json")).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_err());
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("notes.html");
        std::fs::write(&other, "<!doctype html>mine").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&other, dir.path().join("link.html")).unwrap();
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe.json"), 0o600.into()).unwrap();
            assert_eq!(open(dir.path(), &["link.html"]).unwrap_err().class, Class::Io);
            // Nobody reads it.
            assert_eq!(open(dir.path(), &["pipe.json"]).unwrap_err().class, Class::Io);
        }
        std::fs::create_dir(dir.path().join("dir.json")).unwrap();
        for (names, class) in [
            (&["notes.html"][..], Class::Usage),
            (&["new.html", "x.pdf"], Class::Usage),
            (&["new.html", "notes.html"], Class::Usage),
            (&["new.json", "new.json"], Class::Lock),
            (&["new.HTML"], Class::Usage),
            (&["dir.json"], Class::Io),
            (&["new.json", "no/x.json"], Class::Io),
        ] {
            let fault = open(dir.path(), names).unwrap_err();
            assert_eq!(fault.class, class, "{names:?} {fault:?}");
            assert!(fault.help.is_some());
            assert!(!dir.path().join("new.html").exists() && !dir.path().join("new.json").exists(), "{names:?}");
        }
        assert_eq!(std::fs::read(&other).unwrap(), b"<!doctype html>mine");
        std::fs::write(dir.path().join("empty.html"), "").unwrap();
        open(dir.path(), &["empty.html"]).unwrap();
    }
}
