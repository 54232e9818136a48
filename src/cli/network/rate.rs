//! Rates on the command line and in the configuration: `80MiB`, `80MiB/s`.

use crate::base::fault::{Class, Fault, expects};
use crate::cli::args::carry::size;

/// Parses a number of bytes per second: a size, with or without `/s` after it; not zero.
///
/// # Errors
/// Class usage.
pub fn rate(text: &str) -> Result<u64, Fault> {
    let wrong = || {
        Fault::new(Class::Usage, expects(format_args!("rate {text:?}"), "bytes per second"))
            .help("write it as 80MiB or 80MiB/s")
    };
    size::parse(text.strip_suffix("/s").unwrap_or(text)).ok().filter(|rate| *rate > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!((rate("80MiB/s").unwrap(), rate("1kB").unwrap()), (80 << 20, 1000));
        assert!(rate("0").is_err() && rate("/s").is_err() && rate("1MiB/m").is_err());
    }
}
