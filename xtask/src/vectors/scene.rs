//! One vector: the input of a verifier, the expected result, and the file format of both.
//!
//! It handles files and bytes and does not know what a bundle is.

/// An entry in the bundle's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file and its bytes.
    File(String, Vec<u8>),
    /// A file to be extended with NUL bytes to this size (sparse, so that it takes no space).
    Grow(String, u64),
    /// A symbolic link and its target.
    Link(String, String),
    /// A FIFO.
    Fifo(String),
    /// An empty directory.
    Directory(String),
    /// Mode of a file or directory, if it is not the usual one.
    Mode(String, u32),
}

/// Input of a verifier other than the bundle and keys.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Policy file, in place of keys and threshold.
    pub policy: Option<String>,
    /// Time of the clock.
    pub time: Option<String>,
    /// Directory of states.
    pub state: Option<String>,
    /// Name of this machine in records.
    pub machine: Option<String>,
    /// Options without a value.
    pub options: Vec<&'static str>,
    /// Separate signature files.
    pub signatures: Vec<String>,
}

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scene {
    /// File name of the vector: row and defect.
    pub name: String,
    /// `PASS`, or the class of the refusal.
    pub expect: &'static str,
    /// Unusual property, in one line.
    pub comment: String,
    /// NAME of the bundle.
    pub bundle: String,
    /// Form, if it is not `volumes`.
    pub form: Option<&'static str>,
    /// File to be verified as a stream, if not the bundle's files.
    pub stream: Option<String>,
    /// Trusted keys, 32 bytes each, in the order given.
    pub keys: Vec<[u8; 32]>,
    /// Number of keys that must have signed. Default: all.
    pub threshold: Option<u64>,
    /// Other input.
    pub given: Given,
    /// Entries in the directory.
    pub entries: Vec<Entry>,
}

impl Scene {
    /// Returns the scene with this name, expected result and comment.
    #[must_use]
    pub fn named(mut self, name: &str, expect: &'static str, comment: &str) -> Self {
        name.clone_into(&mut self.name);
        comment.clone_into(&mut self.comment);
        self.expect = expect;
        self
    }

    /// Returns the name of one of the bundle's files, by the part after NAME.
    pub fn path(&self, end: &str) -> String {
        format!("{}.{end}", self.bundle)
    }

    fn place(&self, end: &str) -> usize {
        let path = self.path(end);
        let place = self.entries.iter().position(|entry| matches!(entry, Entry::File(name, _) if *name == path));
        // The vector itself is wrong if the file is missing.
        place.unwrap_or_else(|| panic!("{path}: not in this scene"))
    }

    /// Changes the bytes of a file, named by the part after NAME.
    pub fn edit(&mut self, end: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let place = self.place(end);
        if let Entry::File(_, bytes) = &mut self.entries[place] {
            change(bytes);
        }
    }

    /// Returns the bytes of a file, named by the part after NAME.
    pub fn bytes(&self, end: &str) -> Vec<u8> {
        match &self.entries[self.place(end)] {
            Entry::File(_, bytes) => bytes.clone(),
            _ => Vec::new(),
        }
    }

    /// Removes a file.
    pub fn remove(&mut self, end: &str) {
        let place = self.place(end);
        self.entries.remove(place);
    }

    /// Adds or replaces a file.
    pub fn put(&mut self, end: &str, bytes: &[u8]) {
        let path = self.path(end);
        self.entries.retain(|entry| !matches!(entry, Entry::File(name, _) if *name == path));
        self.entries.push(Entry::File(path, bytes.to_vec()));
    }

    /// Adds a file with any name.
    pub fn lay(&mut self, path: &str, bytes: &[u8]) {
        self.entries.push(Entry::File(path.to_owned(), bytes.to_vec()));
    }

    /// Replaces a file by other entries, removing any with this name.
    pub fn instead(&mut self, path: &str, entries: &[Entry]) {
        let before = self.entries.len();
        self.entries.retain(|entry| !matches!(entry, Entry::File(name, _) if *name == path));
        assert_eq!(self.entries.len() + 1, before, "{path}: not in this scene");
        self.entries.extend_from_slice(entries);
    }

    /// Adds `--allow-stale` if `allowed`.
    pub fn stale(&mut self, allowed: bool) {
        self.given.options.extend(allowed.then_some("allow-stale"));
    }

    /// Returns the vector's file (`testdata/vectors/README.md`).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out =
            format!("packmule vector 1\nexpect: {}\ncomment: {}\nbundle: {}\n", self.expect, self.comment, self.bundle);
        for key in &self.keys {
            out.extend(["key: ", &hex(key), "\n"]);
        }
        if let Some(form) = self.form {
            out.extend(["form: ", form, "\n"]);
        }
        if let Some(stream) = &self.stream {
            out.extend(["stream: ", stream, "\n"]);
        }
        if let Some(threshold) = self.threshold {
            out.extend(["threshold: ", &threshold.to_string(), "\n"]);
        }
        let given = &self.given;
        for (key, value) in
            [("policy", &given.policy), ("time", &given.time), ("state", &given.state), ("machine", &given.machine)]
        {
            out.extend(value.iter().map(|value| format!("{key}: {value}\n")));
        }
        out.extend(given.options.iter().map(|option| format!("option: {option}\n")));
        out.extend(given.signatures.iter().map(|path| format!("signatures: {path}\n")));
        let mut out = out.into_bytes();
        for entry in &self.entries {
            let line = match entry {
                Entry::File(name, bytes) => format!("file: {name} {}\n", bytes.len()),
                Entry::Grow(name, size) => format!("grow: {name} {size}\n"),
                Entry::Link(name, target) => format!("link: {name} {target}\n"),
                Entry::Fifo(name) => format!("fifo: {name}\n"),
                Entry::Directory(name) => format!("directory: {name}\n"),
                Entry::Mode(name, mode) => format!("mode: {name} {mode:04o}\n"),
            };
            out.extend_from_slice(line.as_bytes());
            if let Entry::File(_, bytes) = entry {
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
        }
        out
    }
}

/// Encodes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
