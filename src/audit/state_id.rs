//! Ids of states: 128 random bits by which a state recognizes its own lines in a log that others
//! also write to (`spec/state.md`).
//!
//! An id is not a secret: every line shows it.

use std::fmt;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::own_file::checked;
use super::turn::wait;
use crate::oci::digest::encode_hex;
use crate::system::{self, Access, Found};

/// Size of an id in bytes.
const BYTES: usize = 16;
/// Size of its file in bytes: hex digits and a line end.
const FILE: usize = 2 * BYTES + 1;

/// Identifies the state that wrote a line. Displayed as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StateId([u8; BYTES]);

impl StateId {
    /// Reads the id in the file at `path`. Writes a random one if there is none yet.
    ///
    /// # Errors
    /// Errors of the file system; a file with other content, or that others can write.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, _) = system::open_or_create(path, Access::Write, 0o600)?;
        let file = checked(file)?;
        let _turn = wait(&file, path, false)?;
        let mut text = Vec::new();
        (&file).take(FILE as u64 + 1).read_to_end(&mut text)?;
        // A shorter id was never used: a run was killed while writing it.
        if text.len() >= FILE {
            return Self::from_file(&text);
        }
        let mut random = [0; BYTES];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let id = Self(random);
        let mut writer = &file;
        writer.seek(SeekFrom::Start(0))?;
        writer.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        system::sync_name(path)?;
        Ok(id)
    }

    /// Reads the id in the file at `path`. Returns `None` if there is none yet.
    ///
    /// # Errors
    /// Those of [`StateId::open`].
    pub fn look(path: &Path) -> io::Result<Option<Self>> {
        let file = match system::open_file(path) {
            Ok(file) => checked(file)?,
            Err(unopened) if unopened.found == Found::Nothing => return Ok(None),
            Err(unopened) => return Err(unopened.error),
        };
        let mut text = Vec::new();
        file.take(FILE as u64 + 1).read_to_end(&mut text)?;
        if text.len() < FILE { Ok(None) } else { Self::from_file(&text).map(Some) }
    }

    fn from_file(text: &[u8]) -> io::Result<Self> {
        let text = text.strip_suffix(b"\n").and_then(|text| std::str::from_utf8(text).ok());
        let id = text.and_then(|text| text.parse().ok());
        id.ok_or_else(|| io::Error::other("expected the id of a state, found something else"))
    }
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateId({self})")
    }
}

impl FromStr for StateId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected 32 lower-case hex digits";
        let number = u128::from_str_radix(text, 16).map_err(|_| wrong)?;
        let id = Self(number.to_be_bytes());
        // Accepts one spelling only: no sign, no upper case, no missing digits.
        if id.to_string() == text { Ok(id) } else { Err(wrong) }
    }
}

impl Serialize for StateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_random_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| dir.path().join(name));
        assert_eq!(StateId::look(&paths[0]).unwrap(), None);
        let [one, two] = paths.clone().map(|path| StateId::open(&path).unwrap());
        assert_ne!(one, two);
        assert_eq!(StateId::open(&paths[0]).unwrap(), one);
        assert_eq!(StateId::look(&paths[0]).unwrap(), Some(one));
        assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), format!("{one}\n"));
        // A run that was killed while writing the first id left a part of it.
        std::fs::write(&paths[0], &one.to_string()[..20]).unwrap();
        assert_eq!(StateId::look(&paths[0]).unwrap(), None);
        let anew = StateId::open(&paths[0]).unwrap();
        assert_eq!(StateId::look(&paths[0]).unwrap(), Some(anew));
        for wrong in [format!("{one}\n\n"), format!("{one} "), "x".repeat(33), format!("+{}\n", "0".repeat(31))] {
            std::fs::write(&paths[1], &wrong).unwrap();
            assert!(StateId::open(&paths[1]).is_err() && StateId::look(&paths[1]).is_err(), "{wrong:?}");
            assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), wrong, "it stays as it is");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<StateId>().unwrap().to_string(), text);
        for wrong in ["", "0", &text[1..], &text.to_uppercase(), &format!("{text}0"), &format!("+{}", &text[1..])] {
            assert!(wrong.parse::<StateId>().is_err(), "{wrong}");
        }
    }
}
