//! `-f`: lists of what to take, read from files or standard input; and `--list`, which shows what
//! they mean.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, escape};
use crate::cli::Session;
use crate::cli::output::Outcome;
use crate::decide::lists::{self, Format, ImagePath, List, MAX_LIST};
use crate::decide::selector::Selector;

/// The lists.
#[derive(clap::Args, Debug)]
pub struct Lists {
    /// List of what to take, or - for standard input: names one a line, TOML, Kubernetes YAML, values,
    /// kustomizations, compose files, or lists of hauler, oc-mirror, skopeo, regsync, zarf, imgpkg;
    /// repeatable
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    list_files: Vec<PathBuf>,
    /// Kind of the lists, which else is recognized by their content: once for all, or once for each
    #[arg(long, value_name = "KIND", requires = "list_files", value_parser = format_names())]
    format: Vec<String>,
    /// Place of images in custom resources, besides every image: and well-known ones; repeatable
    #[arg(long = "image-path", value_name = "[KIND:]PATH", requires = "list_files")]
    image_paths: Vec<String>,
    /// Take also the images that selected charts list: Artifact Hub's annotation and values
    #[arg(long)]
    with_images: bool,
}

fn format_names() -> clap::builder::PossibleValuesParser {
    Format::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().into()
}

/// A list that was read, with the name of its file.
pub struct ReadList {
    name: String,
    list: List,
}

impl Lists {
    /// Returns lists whose kinds are recognized by their content.
    pub const fn of(files: Vec<PathBuf>) -> Self {
        Self { list_files: files, format: Vec::new(), image_paths: Vec::new(), with_images: false }
    }

    /// Returns whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.list_files.is_empty()
    }

    /// Returns whether the images of charts are taken too.
    pub const fn with_images(&self) -> bool {
        self.with_images
    }

    /// Reads all lists.
    ///
    /// # Errors
    /// Class usage for options that do not fit; class io for a file that cannot be read.
    pub fn read(&self, session: &mut Session<'_>) -> Result<Vec<ReadList>, Fault> {
        let of_name = |name: &String| Format::ALL.iter().find(|(known, _)| known == name).map(|(_, format)| *format);
        let formats: Vec<Option<Format>> = match self.format.len() {
            0 => vec![None; self.list_files.len()],
            1 => vec![of_name(&self.format[0]); self.list_files.len()],
            count if count == self.list_files.len() => self.format.iter().map(of_name).collect(),
            count => {
                let what = format!(
                    "--format: expected one, or one for each of {} lists, found {count}",
                    self.list_files.len()
                );
                return Err(Fault::usage(what, "give it once if all lists are of one kind"));
            }
        };
        let paths = self.image_paths.iter().map(|text| ImagePath::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let mut all = Vec::new();
        for (file, format) in self.list_files.iter().zip(formats) {
            let name = if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() };
            let stream: io::Result<Box<dyn Read>> = if file.as_os_str() == "-" {
                session.world.take_stdin().map(|stdin| stdin as Box<dyn Read>)
            } else {
                open(file, session)
            };
            let list = lists::read(&name, &bytes(&name, stream)?, format, &paths);
            all.extend(with_included(name, list, &paths, session)?);
        }
        Ok(all)
    }
}

/// Returns a list together with those that it names with `images_in`.
///
/// # Errors
/// Class io for a file that cannot be read.
pub fn with_included(
    name: String,
    mut list: List,
    paths: &[ImagePath],
    session: &Session<'_>,
) -> Result<Vec<ReadList>, Fault> {
    let includes = std::mem::take(&mut list.includes);
    let mut all = vec![ReadList { name, list }];
    for include in includes {
        let name = format!("{} (images_in, {} line {})", include.file.display(), all[0].name, include.line);
        let file = include.file.to_string_lossy();
        let mut list = lists::read(&file, &bytes(&name, open(&include.file, session))?, include.format, paths);
        list.with_keys(&include.keys);
        for deeper in std::mem::take(&mut list.includes) {
            let reason = "expected no images_in in a list that images_in names, found one";
            list.refuse(deeper.line, "artifacts", reason);
        }
        all.push(ReadList { name, list });
    }
    Ok(all)
}

fn open(file: &Path, session: &Session<'_>) -> io::Result<Box<dyn Read>> {
    Ok(Box::new(File::open(session.path(file))?))
}

fn bytes(name: &str, stream: io::Result<Box<dyn Read>>) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    stream
        .and_then(|stream| stream.take(MAX_LIST + 1).read_to_end(&mut bytes))
        .map_err(|error| Fault::new(Class::Io, format!("list {name}: {error}")).help("name a file that can be read"))?;
    if bytes.len() as u64 > MAX_LIST {
        let what = format!("list {name}: expected at most {MAX_LIST} bytes, found more");
        return Err(Fault::usage(what, "name a list of images"));
    }
    Ok(bytes)
}

/// Returns what was refused in lists, each with its list and place.
pub fn refused(lists: &[ReadList]) -> Vec<Fault> {
    let all = lists.iter().flat_map(|read| read.list.refused.iter().map(move |remark| (read, remark)));
    let fault = |(read, remark): (&ReadList, &lists::Remark)| {
        let what = format!("list {}: {}: {}", read.name, remark.at(), remark.reason);
        Fault::usage(what, "correct the list; `--list` shows what it means")
    };
    all.map(fault).collect()
}

/// Warns of everything that lists leave out.
pub fn warn(lists: &[ReadList], session: &Session<'_>) {
    for read in lists {
        for remark in &read.list.passed_over {
            session.flow.warn(format!("list {}: {}: {}", read.name, remark.at(), remark.reason));
        }
    }
}

/// Returns the selectors of lists with where each is.
pub fn selectors(lists: Vec<ReadList>) -> impl Iterator<Item = (String, Selector)> {
    lists.into_iter().flat_map(|ReadList { name, list }| {
        let at = move |line: usize| format!("list {name}: line {line}");
        list.entries.into_iter().map(move |entry| (at(entry.line), entry.selector))
    })
}

/// Returns the outcome of `--list`: `typed` are the selectors of the command line, `wrong` the
/// faults of others there. The text is itself a list.
pub fn shown(typed: &[Selector], wrong: Vec<Fault>, lists: &[ReadList]) -> Outcome {
    let mut seen = HashSet::new();
    let entries = lists.iter().flat_map(|read| read.list.entries.iter().map(|entry| &entry.selector));
    let names = typed.iter().chain(entries).map(ToString::to_string);
    let references: Vec<String> = names.filter(|name| seen.insert(name.clone())).collect();
    let remarks = |of: fn(&List) -> &[lists::Remark]| -> Vec<Value> {
        let all = lists.iter().flat_map(|read| of(&read.list).iter().map(move |remark| (read, remark)));
        all.map(|(read, remark)| {
            json!({"list": read.name, "line": remark.line, "place": remark.at(), "reason": remark.reason})
        })
        .collect()
    };
    let passed = remarks(|list| &list.passed_over);
    let mut text: String = references.iter().map(|name| escape(name) + "\n").collect();
    for read in lists {
        for remark in &read.list.passed_over {
            let line = format!("{}: {}: {}", read.name, remark.at(), remark.reason);
            text.push_str(&format!("# passed over: {}\n", escape(&line)));
        }
    }
    let typed_wrong = wrong
        .iter()
        .map(|fault| json!({"list": "command line", "line": 0, "place": "command line", "reason": fault.what}));
    let refusals: Vec<Value> = typed_wrong.chain(remarks(|list| &list.refused)).collect();
    let result = json!({"references": references, "refused": refusals, "passed_over": passed});
    let outcome = Outcome::new(text, result);
    match Fault::from_list(wrong.into_iter().chain(refused(lists)).collect()) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    }
}
