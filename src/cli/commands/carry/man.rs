//! `man`: manual pages, of packmule and of each command.

use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use serde_json::json;

use crate::base::fault::{Class, Fault};
use crate::cli::output::Outcome;
use crate::cli::session::Session;
use crate::cli::writing::emitted::put_all;
use crate::operate::emit::File;

/// First line of every page, by which an earlier one is recognized.
const MARK: &str = ".\\\" Written by packmule man, which replaces this file.\n";

/// `man [DIR]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory for the pages of packmule and all its commands; without it, the page of packmule is
    /// printed
    dir: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage if another file is in the way; class io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let mut grammar = (session.grammar)();
        grammar.build();
        let wrong = |error: io::Error| Fault::new(Class::Bug, format!("internal error: manual page: {error}"));
        let Some(dir) = &self.dir else {
            let text = page(&grammar).map_err(wrong)?;
            let result = json!({ "text": text });
            return Ok(Outcome::new(text, result));
        };
        let mut files = Vec::new();
        pages(&grammar, &mut files).map_err(wrong)?;
        let done = put_all(dir, &files, MARK, session)?;
        let text = done.iter().map(|(path, change)| format!("{:10} {path}\n", change.word())).collect::<String>();
        let files: Vec<_> = done.iter().map(|(path, change)| json!({ "path": path, "state": change.word() })).collect();
        Ok(Outcome::new(text, json!({ "files": files })))
    }
}

/// Adds the pages of a command and of those below it.
fn pages(command: &Command, files: &mut Vec<File>) -> io::Result<()> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    files.push(File { path: format!("{name}.1"), text: page(command)? });
    command.get_subcommands().try_for_each(|inner| pages(inner, files))
}

fn page(command: &Command) -> io::Result<String> {
    let mut text = MARK.as_bytes().to_vec();
    Man::new(command.clone()).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
