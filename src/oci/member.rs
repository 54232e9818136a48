//! Optional members of an object: read where they have their type, left out where they have another.

use serde::de::{DeserializeOwned, MapAccess};
use serde_json::value::RawValue;

/// Reads the next member; `None` where it is of another type.
///
/// # Errors
/// Where the text is not JSON.
pub(super) fn optional<'de, T: DeserializeOwned, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    let raw: Box<RawValue> = map.next_value()?;
    Ok(serde_json::from_str(raw.get()).ok())
}
