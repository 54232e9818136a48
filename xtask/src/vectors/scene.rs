//! One vector: what a verifier is given, what it must say, and how both are written as one file.
//!
//! It knows files and their bytes, nothing of what a bundle is.

/// A thing that lies in the bundle's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file and its bytes.
    File(String, Vec<u8>),
    /// A file that is lengthened with NUL to this size (sparse, so that it costs nothing).
    Grow(String, u64),
    /// A symbolic link and its target.
    Link(String, String),
    /// A FIFO.
    Fifo(String),
    /// An empty directory.
    Directory(String),
    /// The mode of a file or directory, where it is not the usual one.
    Mode(String, u32),
}

/// What a verifier is given beside the bundle and keys.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The policy file, in place of keys and threshold.
    pub policy: Option<String>,
    /// What the clock says.
    pub time: Option<String>,
    /// The directory of states.
    pub state: Option<String>,
    /// What records of this machine call it.
    pub machine: Option<String>,
    /// Options without a value.
    pub options: Vec<&'static str>,
    /// Signature files that lie apart.
    pub signatures: Vec<String>,
}

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The vector's file name: row and defect.
    pub name: String,
    /// `PASS`, or the class of the refusal.
    pub expect: &'static str,
    /// What is odd about it, in one line.
    pub comment: String,
    /// The bundle's NAME.
    pub bundle: String,
    /// The form, where it is not `volumes`.
    pub form: Option<&'static str>,
    /// The file that is verified as a stream, where it is not the bundle's files.
    pub stream: Option<String>,
    /// The trusted keys, 32 bytes each, in the order given.
    pub keys: Vec<[u8; 32]>,
    /// How many must have signed; all keys where it is absent.
    pub threshold: Option<u64>,
    /// What else is given.
    pub given: Given,
    /// What lies in the directory.
    pub entries: Vec<Entry>,
}

impl Scene {
    /// The same under its name.
    #[must_use]
    pub fn named(mut self, name: &str, expect: &'static str, comment: &str) -> Self {
        name.clone_into(&mut self.name);
        comment.clone_into(&mut self.comment);
        self.expect = expect;
        self
    }

    /// The name of one of the bundle's files, by what follows NAME.
    pub fn path(&self, end: &str) -> String {
        format!("{}.{end}", self.bundle)
    }

    fn place(&self, end: &str) -> usize {
        let path = self.path(end);
        let place = self.entries.iter().position(|entry| matches!(entry, Entry::File(name, _) if *name == path));
        // A builder that edits what it has not made is wrong itself.
        place.unwrap_or_else(|| panic!("{path}: not in this scene"))
    }

    /// Changes the bytes of a file, named by what follows NAME.
    pub fn edit(&mut self, end: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let place = self.place(end);
        if let Entry::File(_, bytes) = &mut self.entries[place] {
            change(bytes);
        }
    }

    /// The bytes of a file, named by what follows NAME.
    pub fn bytes(&self, end: &str) -> Vec<u8> {
        match &self.entries[self.place(end)] {
            Entry::File(_, bytes) => bytes.clone(),
            _ => Vec::new(),
        }
    }

    /// Takes a file away.
    pub fn remove(&mut self, end: &str) {
        let place = self.place(end);
        self.entries.remove(place);
    }

    /// Adds a file or replaces it.
    pub fn put(&mut self, end: &str, bytes: &[u8]) {
        let path = self.path(end);
        self.entries.retain(|entry| !matches!(entry, Entry::File(name, _) if *name == path));
        self.entries.push(Entry::File(path, bytes.to_vec()));
    }

    /// Adds a file of any name.
    pub fn lay(&mut self, path: &str, bytes: &[u8]) {
        self.entries.push(Entry::File(path.to_owned(), bytes.to_vec()));
    }

    /// Puts something else in the place of a file: what is there under this name is taken away.
    pub fn instead(&mut self, path: &str, entries: &[Entry]) {
        let before = self.entries.len();
        self.entries.retain(|entry| !matches!(entry, Entry::File(name, _) if *name == path));
        assert_eq!(self.entries.len() + 1, before, "{path}: not in this scene");
        self.entries.extend_from_slice(entries);
    }

    /// Gives `--allow-stale`, where that is said.
    pub fn stale(&mut self, allowed: bool) {
        self.given.options.extend(allowed.then_some("allow-stale"));
    }

    /// The vector's file (`testdata/vectors/README.md`).
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

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
