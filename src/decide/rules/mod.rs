//! Rules of the artifact cache: which repository of which upstream a name stands for, and what of it
//! may be fetched.
//!
//! Pure. `pattern` is one side of a rule, `rule` a rule with its filters, `table` all rules together:
//! found by the name that a client asks for, or backwards by the name at the source, which `as_maps` turns
//! into the maps of an import. A look-up takes
//! one step for each part of the name, however many rules there are.

mod as_maps;
mod pattern;
mod rule;
mod table;

pub use self::pattern::Pattern;
pub use self::rule::{Filter, Globs, REFRESH, Rule};
pub use self::table::{Ambiguous, Found, Rules};
