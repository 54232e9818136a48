//! Byte counts as people write them (`700MiB`, `1GB`, `4096`) and read them (`3.1 GiB`). Callers
//! report errors.

/// Parses digits followed by nothing, `B`, or a decimal (`kB MB GB TB`) or binary (`KiB MiB GiB
/// TiB`) unit. Returns `None` for anything else and for values of more than 64 bits.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Formats a byte count for people: `512 B`, `3.1 GiB`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let exponent = (bytes.ilog2() / 10).clamp(1, 6);
    let unit = 1_u64 << (10 * exponent);
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit.max(1));
    format!("{whole}.{tenth} {}", UNITS[exponent as usize - 1])
}
