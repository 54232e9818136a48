//! BUNDLE on the command line: finds and opens it.

use super::Session;
use super::place::Bundle;
use crate::bundle::Untrusted;
use crate::fault::{Class, Fault};

/// Opens the bundle that `text` names.
///
/// # Errors
/// As [`crate::bundle::open`]; class usage for the forms that come later.
pub fn open(text: &str, session: &Session<'_>) -> Result<Untrusted, Fault> {
    let place = Bundle::parse(text, |path| session.path(path))?;
    let path = match place {
        Bundle::Named { dir, name } => session.path(&dir).join(name),
        Bundle::In(dir) => session.path(&dir),
        Bundle::Stream(path) => session.path(&path),
        Bundle::Stdin => {
            return Err(Fault::new(Class::Usage, "bundle -: streams are not in this version")
                .help("name the bundle as DIR/NAME"));
        }
    };
    Ok(crate::bundle::open(&path)?)
}
