//! Names of objects and the keys under which a store keeps them.

use object_store::path::Path;

use crate::base::fault::escape;
use crate::content::{Error, Kind};

/// The part of a bucket below a prefix.
pub struct Names {
    /// Empty, or ends in `/`.
    prefix: String,
    /// Address of the container for messages; ends in `/`.
    shown: String,
}

impl Names {
    /// Makes the names below `prefix` of the bucket that `address` (`s3://BUCKET`) shows.
    pub fn new(address: &str, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { shown: format!("{}/{prefix}", address.trim_end_matches('/')), prefix }
    }

    /// Returns the address of an object for messages.
    pub fn shown(&self, name: &str) -> String {
        let whole = format!("{}{}", self.shown, escape(name));
        if name.is_empty() { whole.trim_end_matches('/').to_owned() } else { whole }
    }

    /// Returns the key of a name.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the name of a key; `None` outside the prefix.
    pub fn name(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.prefix).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Returns the key of a name as object_store takes it.
    pub fn path(&self, name: &str) -> Result<Path, Error> {
        let key = self.key(name);
        match Path::parse(&key) {
            Ok(path) if path.as_ref() == key && !name.is_empty() => Ok(path),
            Ok(_) | Err(_) => {
                let what = format!("{}: expected a name without empty and dotted parts", self.shown(name));
                Err(Error::new(Kind::Refused, what))
            }
        }
    }
}

/// Returns a key as it stands in an address, as signatures require it.
pub fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_below_the_prefix() {
        for (prefix, key) in [("", "n"), ("a", "a/n"), ("/a/b/", "a/b/n")] {
            let names = Names::new("s3://bucket", prefix);
            assert_eq!(names.key("n"), key);
            assert_eq!(names.name(key).as_deref(), Some("n"));
            assert_eq!(names.shown("n"), format!("s3://bucket/{key}"));
        }
        let names = Names::new("s3://bucket", "a");
        assert_eq!(names.shown(""), "s3://bucket/a");
        for other in ["n", "ab/n", "a/", "a"] {
            assert_eq!(names.name(other), None, "{other}");
        }
        for bad in ["", "x//y", "/x", "x/", "../x", "x/./y"] {
            assert!(names.path(bad).is_err(), "{bad}");
        }
        assert_eq!(names.path("a b+c%20/\u{e4}").unwrap().as_ref(), "a/a b+c%20/\u{e4}");
        assert_eq!(encoded("a b+c%20/\u{e4}"), "a%20b%2Bc%2520/%C3%A4");
    }
}
