//! Failures of operations: a class, a description, and advice.
//!
//! Holds the type only. Modules convert their own errors into faults, and the command line maps
//! classes to exit codes.

use std::collections::HashSet;
use std::fmt;

/// Failure classes defined in `spec/cli.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// An internal error.
    Bug,
    /// Bad command line, configuration, key or policy; no trust given; or the output already
    /// exists.
    Usage,
    /// Not a bundle, malformed, contradictory, too new, or over a limit.
    Format,
    /// Bytes differ from a signed digest or size; a volume is missing, short, long or extra.
    Integrity,
    /// A signature is missing or wrong.
    Signature,
    /// Signed, but not by the keys that the policy requires.
    Trust,
    /// Expired, rolled back, a gap in the sequence, or no state.
    Stale,
    /// Trusted, but forbidden by the policy.
    Policy,
    /// The source refused or failed.
    Source,
    /// The destination refused or failed.
    Destination,
    /// The medium or file system failed: for example it is full or cannot be read.
    Io,
    /// Another run holds the lock.
    Lock,
    /// Some items failed and are named; the rest is done.
    Partial,
    /// Ended by a signal.
    Cancelled,
}

/// Faults that need different handling from others of their class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A stream was ended and delivers nothing more. The code that ended it reports the reason.
    StreamEnded,
    /// The content of a stream has already passed and cannot be read again.
    HasPassed,
    /// The place answers otherwise, and fails at this alone.
    OnlyThis,
    /// The place took it and named its digest, and does not let it be read afterwards.
    Unreadable,
    /// The place does not take a manifest because it does not have some of its content.
    PartsMissing,
    /// The place does not take manifests of this form: another one of the same type would fare the
    /// same.
    FormRefused,
}

/// The parts of a description "subject: expected …, found …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The option, file, digest or name that it is about, if it is named.
    pub subject: Option<String>,
    /// Requirement that is not met.
    pub expected: String,
    /// Finding in its place, if it is known.
    pub found: Option<String>,
}

/// A cause that faults about different subjects may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Description of the cause, without a subject of its own.
    pub what: String,
    /// Name of the thing that failed because of it; may be empty.
    pub of: String,
}

/// The description of a failure: a text, and its parts if it is about a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    text: String,
    parts: Option<Box<Parts>>,
}

/// A failure with its advice. `C` is its classification: the class of an operation, or the kind of
/// failure at a place (`content::Kind`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<C = Class> {
    /// Classification of the failure.
    pub class: C,
    /// Description as a lower-case fragment: subject, expected, found. Untrusted parts are escaped
    /// when shown.
    pub what: String,
    /// The parts of the description, if it is about a difference.
    pub parts: Option<Box<Parts>>,
    /// Advice: one thing to do.
    pub help: Option<String>,
    /// Reason for special handling, if any.
    pub reason: Option<Reason>,
    /// Cause, if the same one may make other things fail in this run. Faults with one cause are
    /// shown as one.
    pub cause: Option<Box<Cause>>,
    /// Other faults of the same run, if the run went on after the first and lists all of them.
    pub others: Vec<Fault>,
}

impl<C> Fault<C> {
    /// Creates a fault of `class`, from a text, or from [`differs`] or [`expects`].
    pub fn new(class: C, what: impl Into<Description>) -> Self {
        let Description { text, parts } = what.into();
        Self { class, what: text, parts, help: None, reason: None, cause: None, others: Vec::new() }
    }

    /// Returns the option, file, digest or name that the fault is about, if it is known.
    pub fn subject(&self) -> Option<&str> {
        self.parts.as_ref()?.subject.as_deref()
    }

    /// Returns the requirement that is not met, if it is known.
    pub fn expected(&self) -> Option<&str> {
        Some(&self.parts.as_ref()?.expected)
    }

    /// Returns the finding in place of what was expected, if it is known.
    pub fn found(&self) -> Option<&str> {
        self.parts.as_ref()?.found.as_deref()
    }

    /// Puts `subject` before the description, and before its own subject.
    #[must_use]
    pub fn within(self, subject: impl fmt::Display) -> Self {
        let subject = subject.to_string();
        let cause = self.cause.map(|cause| {
            let of = if cause.of.is_empty() { subject.clone() } else { format!("{subject}: {}", cause.of) };
            Box::new(Cause { of, ..*cause })
        });
        let Description { text, parts } = Description { text: self.what, parts: self.parts }.within(subject);
        Self { what: text, parts, cause, ..self }
    }

    /// Sets the advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Sets the cause, which made `of` fail.
    #[must_use]
    pub fn caused_by(mut self, what: impl Into<String>, of: impl Into<String>) -> Self {
        self.cause = Some(Box::new(Cause { what: what.into(), of: of.into() }));
        self
    }

    /// Converts the classification and keeps everything else.
    pub fn classed<D>(self, class: impl FnOnce(C) -> D) -> Fault<D> {
        let Self { class: old, what, parts, help, reason, cause, others } = self;
        Fault { class: class(old), what, parts, help, reason, cause, others }
    }

    /// Applies `change` to every text, including the texts of the other faults.
    #[must_use]
    pub fn map_texts(self, change: &dyn Fn(String) -> String) -> Self {
        let others = self.others.into_iter().map(|other| other.map_texts(change)).collect();
        let parts = self.parts.map(|parts| {
            let Parts { subject, expected, found } = *parts;
            Box::new(Parts { subject: subject.map(change), expected: change(expected), found: found.map(change) })
        });
        let cause = self.cause.map(|cause| Box::new(Cause { what: change(cause.what), of: change(cause.of) }));
        Self { what: change(self.what), parts, help: self.help.map(change), cause, others, ..self }
    }
}

impl Fault {
    /// Creates a fault of class usage, with its advice.
    pub fn usage(what: impl Into<Description>, help: impl Into<String>) -> Self {
        Self::new(Class::Usage, what).help(help)
    }

    /// Combines many faults into one: the first of the class with the lowest rank, followed by the
    /// others without duplicates. Returns `None` for an empty list.
    pub fn from_list(mut faults: Vec<Self>) -> Option<Self> {
        let mut seen = HashSet::new();
        faults.retain(|fault| !fault.others.is_empty() || seen.insert(fault.what.clone()));
        let first = (0..faults.len()).min_by_key(|&index| (faults[index].class.rank(), index))?;
        let mut fault = faults.remove(first);
        fault.others.extend(faults);
        Some(fault)
    }
}

/// Returns the description "subject: expected …, found …". An empty subject is left out.
pub fn differs(subject: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Description {
    let description = expects("", expected);
    let found = found.to_string();
    let parts = description.parts.map(|parts| Box::new(Parts { found: Some(found.clone()), ..*parts }));
    Description { text: format!("{}, found {found}", description.text), parts }.within(subject)
}

/// Returns the description "subject: expected …", where it is not said what was found. An empty
/// subject is left out.
pub fn expects(subject: impl fmt::Display, expected: impl fmt::Display) -> Description {
    let expected = expected.to_string();
    let text = format!("expected {expected}");
    Description { text, parts: Some(Box::new(Parts { subject: None, expected, found: None })) }.within(subject)
}

impl Description {
    /// Puts `subject` before the description, and before its own subject. An empty one changes
    /// nothing.
    #[must_use]
    pub fn within(mut self, subject: impl fmt::Display) -> Self {
        let subject = subject.to_string();
        if subject.is_empty() {
            return self;
        }
        self.text = format!("{subject}: {}", self.text);
        if let Some(parts) = &mut self.parts {
            parts.subject = Some(match parts.subject.take() {
                Some(own) => format!("{subject}: {own}"),
                None => subject,
            });
        }
        self
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Description {
    fn from(text: String) -> Self {
        Self { text, parts: None }
    }
}

impl From<&str> for Description {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Description {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<fmt::Arguments<'_>> for Description {
    fn from(text: fmt::Arguments<'_>) -> Self {
        text.to_string().into()
    }
}

impl Class {
    /// Returns the rank of the class. Lower ranks win: bugs and signals first, then format before
    /// integrity and so on.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Bug => 0,
            Self::Cancelled => 1,
            Self::Usage => 2,
            Self::Format => 10,
            Self::Integrity => 11,
            Self::Signature => 12,
            Self::Trust => 13,
            Self::Stale => 14,
            Self::Policy => 15,
            Self::Source => 20,
            Self::Destination => 21,
            Self::Io => 22,
            Self::Lock => 23,
            Self::Partial => 30,
        }
    }

    /// Returns the name of the class in JSON documents, receipts and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::Usage => "usage",
            Self::Format => "format",
            Self::Integrity => "integrity",
            Self::Signature => "signature",
            Self::Trust => "trust",
            Self::Stale => "stale",
            Self::Policy => "policy",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Io => "io",
            Self::Lock => "lock",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the advice for a fault without its own.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Bug => "this is a defect of packmule; please report it with the command and this line",
            Self::Usage => "see the command's --help",
            Self::Format => "get the bundle again from whoever made it, and check that this version reads it",
            Self::Integrity => "copy the bundle again from its source, or take another copy of the volume",
            Self::Signature | Self::Trust => "ask whoever made the bundle for one that is signed by the keys you trust",
            Self::Stale => "ask whoever made the bundle for the newest one",
            Self::Policy => "ask whoever made the rule, or leave out what it forbids",
            Self::Source => "check what the source holds under this name, and run it again",
            Self::Destination => "check the destination, and run it again: what is there already is not sent again",
            Self::Io => "check that the medium is there, has room, and may be read or written, and run it again",
            Self::Lock => "wait for the other run to end",
            Self::Partial => "fix what is listed and run it again",
            Self::Cancelled => "run the same command again",
        }
    }
}

impl<C> fmt::Display for Fault<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl<C: fmt::Debug> std::error::Error for Fault<C> {}

/// Returns `text` with control characters, bidirectional overrides and other invisible characters
/// escaped, cut to 400 characters. Untrusted text must pass through it before it reaches a
/// terminal, a log or a report.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (index, character) in text.chars().enumerate() {
        if index == 400 {
            shown.push('…');
            break;
        }
        let invisible = character.is_control()
            || matches!(
                character,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
                    | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                    | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
            );
        if invisible { shown.extend(character.escape_unicode()) } else { shown.push(character) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m12_control_and_bidi_are_escaped() {
        assert_eq!(escape("a\u{1b}[31mb\u{202e}c\0"), "a\\u{1b}[31mb\\u{202e}c\\u{0}");
        for hidden in ['\u{61c}', '\u{ad}', '\u{ffa0}', '\u{3164}', '\u{fe0f}', '\u{e0100}', '\u{2066}', '\u{85}'] {
            assert!(escape(&format!("a{hidden}b")).starts_with("a\\u{"), "{:x}", u32::from(hidden));
        }
        assert_eq!(escape("Größe 数 ñ"), "Größe 数 ñ");
        assert!(escape(&"x".repeat(1 << 20)).len() < 500);
    }

    #[test]
    fn a_difference_keeps_its_parts_under_every_change() {
        let fault = Fault::new(Class::Format, differs("volume 2", format_args!("{} bytes", 5), 7));
        assert_eq!(fault.what, "volume 2: expected 5 bytes, found 7");
        assert_eq!((fault.subject(), fault.expected(), fault.found()), (Some("volume 2"), Some("5 bytes"), Some("7")));
        let changed =
            fault.within("usb/b").classed(|_| Class::Io).map_texts(&|text| text.replace(['2', '5', '7'], "*"));
        assert_eq!(changed.what, "usb/b: volume *: expected * bytes, found *");
        let parts = (changed.subject(), changed.expected(), changed.found());
        assert_eq!(parts, (Some("usb/b: volume *"), Some("* bytes"), Some("*")));
        let open = Fault::new(Class::Usage, expects("", "a name"));
        assert_eq!(
            (open.what.as_str(), open.subject(), open.expected(), open.found()),
            ("expected a name", None, Some("a name"), None)
        );
        let plain = Fault::new(Class::Usage, "cancelled").within("x");
        assert_eq!((plain.what.as_str(), plain.subject(), plain.expected()), ("x: cancelled", None, None));
    }

    #[test]
    fn the_lowest_class_wins_and_nothing_is_lost() {
        let faults =
            vec![Fault::new(Class::Io, "io"), Fault::new(Class::Integrity, "int"), Fault::new(Class::Format, "fmt")];
        let fault = Fault::from_list(faults).unwrap();
        assert_eq!((fault.what.as_str(), fault.others.len()), ("fmt", 2));
    }
}
