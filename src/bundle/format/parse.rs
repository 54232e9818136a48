//! From bytes to a manifest: its size, its format, its canonical form (`spec/manifest.md`). Other bytes
//! than those that a writer gives are refused.

use serde::Deserialize;

use super::manifest::{FORMAT, MAX_MANIFEST, Manifest};
use super::rules::wrong;
use crate::base::fault::differs;
use crate::bundle::Error;

/// Members that are read first, whatever else there is.
#[derive(Deserialize)]
struct Head {
    format: String,
    #[serde(default)]
    requires: Features,
    #[serde(default)]
    tool: String,
}

/// First few entries of `requires`, shortened, for an error message: there may be millions.
#[derive(Default)]
struct Features(Vec<String>);

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> serde::de::Visitor<'de> for Strings {
            type Value = Features;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut all: A) -> Result<Features, A::Error> {
                let mut features = Features::default();
                while let Some(feature) = all.next_element::<String>()? {
                    if features.0.len() < NAMED {
                        features.0.push(shorten(&feature));
                    }
                }
                Ok(features)
            }
        }
        deserializer.deserialize_seq(Strings)
    }
}

/// Maximum number of unknown features named in an error.
const NAMED: usize = 8;

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Accepts bytes as long as they equal those that were read.
struct Same<'a>(&'a [u8]);

impl std::io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Refuses bytes that cannot be a manifest because of their size or their first or last byte.
///
/// # Errors
/// [`crate::base::fault::Class::Format`].
pub fn check_ends(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(wrong(differs("", format_args!("at most {MAX_MANIFEST} bytes"), bytes.len())));
    }
    if bytes.first() == Some(&b'{') && bytes.last() == Some(&b'}') {
        Ok(())
    } else {
        Err(Error::format("not a bundle: its manifest does not begin and end as a JSON object")
            .help("name the bundle as DIR/NAME, where DIR holds NAME.json"))
    }
}

impl Manifest {
    /// Parses a manifest whose bytes are authenticated (or will be shown as not authenticated).
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`]: not JSON, another format, an unknown feature, a
    /// member that is unknown or out of bounds, bytes that are not the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_ends(bytes)?;
        let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if head.format != FORMAT {
            let found = shorten(&head.format);
            return Err(wrong(differs("", format_args!("format {FORMAT:?}"), format_args!("{found:?}"))));
        }
        let needs = head.requires.0;
        if !needs.is_empty() {
            return Err(wrong(format!("needs {}, written by {}", needs.join(", "), shorten(&head.tool)))
                .help("read it with a newer packmule"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !manifest.is_written_as(bytes) {
            return Err(wrong(differs("", "canonical JSON (RFC 8785)", "another form of it")));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether its canonical bytes are `bytes`. Compares while serialising.
    fn is_written_as(&self, bytes: &[u8]) -> bool {
        let mut same = Same(bytes);
        serde_json::to_writer(&mut same, self).is_ok() && same.0.is_empty()
    }
}
