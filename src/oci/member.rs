//! Optional members of an object: read if they have the expected type, otherwise ignored.

use serde::de::{DeserializeOwned, MapAccess};
use serde_json::value::RawValue;

/// Reads the next member. Returns `None` if it has another type.
///
/// # Errors
/// If the text is not JSON.
pub(super) fn optional<'de, T: DeserializeOwned, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    let raw: Box<RawValue> = map.next_value()?;
    Ok(serde_json::from_str(raw.get()).ok())
}
