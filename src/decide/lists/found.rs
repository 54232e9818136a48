//! The result of reading a list: what it selects, what is refused, and what is passed over.

use std::collections::HashSet;

use crate::base::fault::{Fault, escape};
use crate::decide::selector::{Selector, Source};

use super::names::{self, Problem};

/// One selected thing and where it is in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Line, from 1.
    pub line: usize,
    /// The selector.
    pub selector: Selector,
}

/// Something of a list that is refused or passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Line, from 1; 0 for the whole file.
    pub line: usize,
    /// Path or words that name the place within the list; may be empty.
    pub place: String,
    /// Reason, as a lower-case fragment.
    pub reason: String,
}

impl Remark {
    /// Returns the place with its line: `line 9: services.db.image`, `the file`.
    pub fn at(&self) -> String {
        match (self.line, self.place.as_str()) {
            (0, "") => "the file".to_owned(),
            (0, place) => place.to_owned(),
            (line, "") => format!("line {line}"),
            (line, place) => format!("line {line}: {place}"),
        }
    }
}

/// Everything that a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Selected things, in the order of the list.
    pub entries: Vec<ListEntry>,
    /// Entries that cannot be read. Nothing may be exported while there is any.
    pub refused: Vec<Remark>,
    /// Parts that are left out, or read in a way that the user may not expect.
    pub passed_over: Vec<Remark>,
    /// Texts that look like references in places where no image stands.
    told: Vec<(Remark, Vec<String>)>,
    /// Whether a value is a template of a chart, so that nothing of the file counts.
    is_template: bool,
}

impl List {
    /// Notes that words of a text look like references.
    pub fn tell(&mut self, line: usize, place: &str, text: &str) {
        let words = names::looking_like(text);
        if !words.is_empty() {
            let reason = String::new();
            self.told.push((Remark { line, place: escape(place), reason }, words));
        }
    }

    /// Completes the list: names each told text that was not taken elsewhere, and drops everything
    /// of a template.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.is_template) {
            self.refuse_all("a template of a chart, not its output: list the output of `helm template`");
        }
        let taken: HashSet<String> = self.entries.iter().map(|entry| entry.selector.source.to_string()).collect();
        for (remark, mut words) in std::mem::take(&mut self.told) {
            words.retain(|word| names::image(word).is_ok_and(|source| !taken.contains(&source.to_string())));
            if !words.is_empty() {
                let reason = escape(&format!("not an image here, but it looks like one: {}", words.join(", ")));
                self.passed_over.push(Remark { reason, ..remark });
            }
        }
        self.passed_over.sort_by_key(|remark| remark.line);
    }

    /// Adds a selected thing.
    pub fn take(&mut self, line: usize, selector: Selector) {
        self.entries.push(ListEntry { line, selector });
    }

    /// Adds something refused.
    pub fn refuse(&mut self, line: usize, place: impl Into<String>, reason: impl Into<String>) {
        self.refused.push(Remark { line, place: escape(&place.into()), reason: escape(&reason.into()) });
    }

    /// Adds something passed over.
    pub fn pass(&mut self, line: usize, place: impl Into<String>, reason: impl Into<String>) {
        self.passed_over.push(Remark { line, place: escape(&place.into()), reason: escape(&reason.into()) });
    }

    /// Refuses a place for a fault of its value.
    pub fn fault(&mut self, line: usize, place: impl Into<String>, fault: &Fault) {
        let help = fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        self.refuse(line, place, format!("{}{help}", fault.what));
    }

    /// Refuses the whole file, without any of its entries.
    pub fn refuse_all(&mut self, reason: impl Into<String>) {
        *self = Self::default();
        self.refuse(0, "", reason);
    }

    /// Takes the image that `text` names, with keys of a selector.
    pub fn image(&mut self, line: usize, place: &str, text: &str, keys: &[(&str, &str)]) {
        match names::image(text) {
            Ok(source) => self.source(line, place, source, keys),
            Err(problem) => self.problem(line, place, &problem),
        }
    }

    /// Takes a source, with keys of a selector.
    pub fn source(&mut self, line: usize, place: &str, source: Source, keys: &[(&str, &str)]) {
        let shown = source.to_string();
        let mut selector = Selector::new(source);
        let set = keys.iter().try_for_each(|(key, value)| selector.set(key, value));
        match set.and_then(|()| selector.checked(&shown)) {
            Ok(selector) => self.take(line, selector),
            Err(fault) => self.fault(line, place, &fault),
        }
    }

    /// Refuses or passes over a text that names no image.
    pub fn problem(&mut self, line: usize, place: &str, problem: &Problem) {
        match problem {
            Problem::Empty => self.pass(line, place, "empty: names no image"),
            Problem::Template(is_chart) => {
                self.is_template |= is_chart;
                self.refuse(line, place, "a template, not its output: list the output of the tool that fills it in");
            }
            Problem::Variable => {
                self.refuse(line, place, "a variable that is not set here: list the output of the tool that sets it");
            }
            Problem::Wrong(fault) => self.fault(line, place, fault),
        }
    }
}
