//! Times as they are typed: `90s`, `15m`, `2h`.

use std::time::Duration;

/// Parses a T: a number of seconds, minutes or hours.
///
/// # Errors
/// The form that is expected.
pub fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90s, 15m or 2h".to_owned();
    let factor = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let number = text[..text.len() - 1].parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u4_times_are_read() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "15", "0s", "-1m", "m", "1d", "1.5h", "é"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
