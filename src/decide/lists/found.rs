//! The result of reading a list: what it selects, what is refused, and what is passed over.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::base::fault::{Fault, escape};
use crate::decide::selector::{Selector, Source};

use super::format::Format;
use super::names::{self, Problem};

/// Maximum number of entries of one list. An export of more would take days.
const MAX_ENTRIES: usize = 1 << 20;
/// Maximum number of remarks of one kind that are kept; the others are counted.
const MAX_REMARKS: usize = 10_000;

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

/// Another list that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Line, from 1.
    pub line: usize,
    /// File, as written.
    pub file: PathBuf,
    /// Kind of the list, if it is given.
    pub format: Option<Format>,
    /// Keys of selectors that each of its entries gets, unless it has that key itself.
    pub keys: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct More {
    entries: usize,
    refused: usize,
    passed_over: usize,
    told: usize,
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
    /// Other lists that this one names, with what applies to all of their entries.
    pub includes: Vec<Include>,
    /// Texts that look like references in places where no image stands.
    told: Vec<(Remark, Vec<String>)>,
    /// Numbers of entries and remarks that were not kept.
    more: More,
    /// Whether a value is a template of a chart, so that nothing of the file counts.
    is_template: bool,
}

impl List {
    /// Notes that words of a text look like references.
    pub fn tell(&mut self, line: usize, place: &str, text: &str) {
        let words = names::looking_like(text);
        if self.told.len() >= MAX_REMARKS {
            self.more.told += usize::from(!words.is_empty());
        } else if !words.is_empty() {
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
        let more = std::mem::take(&mut self.more);
        let rest = |count: usize, what: &str| Remark {
            line: 0,
            place: String::new(),
            reason: format!("and {count} more {what} that are not listed"),
        };
        if more.refused > 0 {
            self.refused.push(rest(more.refused, "refused entries"));
        }
        if more.passed_over > 0 {
            self.passed_over.push(rest(more.passed_over, "parts passed over"));
        }
        if more.told > 0 {
            self.passed_over.push(rest(more.told, "texts that look like images"));
        }
        if more.entries > 0 {
            let count = MAX_ENTRIES.saturating_add(more.entries);
            self.refuse_all(format!("expected at most {MAX_ENTRIES} entries in a list, found {count}"));
        }
    }

    /// Adds a selected thing.
    pub fn take(&mut self, line: usize, selector: Selector) {
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(ListEntry { line, selector });
        } else {
            self.more.entries += 1;
        }
    }

    /// Sets keys on every entry that does not have them itself. The list is one that another names.
    pub fn with_keys(&mut self, keys: &[(String, String)]) {
        for entry in &mut self.entries {
            let (no_platform, no_referrers) =
                (entry.selector.platforms.is_empty(), entry.selector.referrers.is_empty());
            for (key, value) in keys {
                match key.as_str() {
                    "platform" if no_platform => entry.selector.platforms.push(value.clone()),
                    "referrers" if no_referrers => entry.selector.referrers.push(value.clone()),
                    _ => {}
                }
            }
        }
    }

    /// Adds something refused.
    pub fn refuse(&mut self, line: usize, place: impl Into<String>, reason: impl Into<String>) {
        if self.refused.len() < MAX_REMARKS {
            self.refused.push(Remark { line, place: escape(&place.into()), reason: escape(&reason.into()) });
        } else {
            self.more.refused += 1;
        }
    }

    /// Adds something passed over.
    pub fn pass(&mut self, line: usize, place: impl Into<String>, reason: impl Into<String>) {
        if self.passed_over.len() < MAX_REMARKS {
            self.passed_over.push(Remark { line, place: escape(&place.into()), reason: escape(&reason.into()) });
        } else {
            self.more.passed_over += 1;
        }
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
