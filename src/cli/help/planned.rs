//! Names that the published contract keeps for later versions: refused as such, not as mistakes.

/// Commands.
const COMMANDS: [&str; 4] = ["join", "parity", "repair", "split"];
/// Options, with the command that will have them.
const OPTIONS: [(&str, &str); 2] = [("export", "--kit"), ("unpack", "--select")];

/// Returns whether a later version has this command.
pub fn is_command(name: &str) -> bool {
    COMMANDS.contains(&name)
}

/// Returns whether a later version has this option of a command.
pub fn is_option(command: &str, option: &str) -> bool {
    let option = option.split('=').next().unwrap_or_default();
    OPTIONS.contains(&(command, option))
}
