//! `KEY=VALUE` of `credential set`: one change of a table.

use toml_edit::{Array, InlineTable, Item, TableLike};

use crate::base::fault::{Class, Fault};

/// Keys whose value is kept elsewhere.
const SECRETS: [&str; 6] =
    ["password", "token", "account_key", "secret_access_key", "session_token", "service_account"];
/// Keys whose value may be kept elsewhere.
const NAMES: [&str; 2] = ["username", "access_key_id"];
/// Keys with a value in the file.
const PLAIN: [&str; 4] = ["host", "identity", "cloud", "profile"];
/// Keys inside `identity`.
const IDENTITY: [&str; 4] = ["client_id", "object_id", "resource_id", "tenant"];
/// Keys inside `cloud`.
const CLOUD: [&str; 3] = ["authority", "storage", "vault"];
/// Sources of a secret with one word.
const SOURCES: [&str; 4] = ["file", "env", "systemd", "keyvault"];

/// `KEY=VALUE`; the value is not shown, since it may be a misplaced secret.
#[derive(Clone)]
pub struct Change {
    key: String,
    kind: Option<String>,
    value: String,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("key", &self.key).finish_non_exhaustive()
    }
}

fn usage(what: impl Into<String>, help: &str) -> Fault {
    Fault::new(Class::Usage, what).help(help)
}

impl Change {
    /// Parses a change. Never fails, since the argument parser would repeat the text; an invalid
    /// key is refused later.
    #[allow(clippy::unnecessary_wraps, reason = "the signature that the parser expects")]
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').unwrap_or(("", text));
        let (key, kind) = key.split_once('.').map_or((key, None), |(key, kind)| (key, Some(kind.to_owned())));
        Ok(Self { key: key.to_owned(), kind, value: value.to_owned() })
    }

    /// Applies the change to a table, and keeps the comments of it.
    ///
    /// # Errors
    /// Class usage: an unknown key, or a secret in place of its source.
    pub fn apply(&self, table: &mut dyn TableLike) -> Result<(), Fault> {
        let key = self.key.as_str();
        let is_secret = SECRETS.contains(&key);
        let may_be_elsewhere = is_secret || NAMES.contains(&key);
        if self.value.is_empty() && (may_be_elsewhere || PLAIN.contains(&key)) {
            table.remove(key);
            return Ok(());
        }
        let value = match (key, self.kind.as_deref()) {
            ("identity", Some(kind)) if IDENTITY.contains(&kind) => inner(table, key, kind, self.value.as_str().into()),
            ("identity", Some(kind)) if kind == "secret" || kind.starts_with("secret.") => {
                let source = self.source(kind.strip_prefix("secret.").unwrap_or_default())?;
                inner(table, key, "secret", source)
            }
            ("cloud", Some(kind)) if CLOUD.contains(&kind) => inner(table, key, kind, self.value.as_str().into()),
            (_, None) if PLAIN.contains(&key) || NAMES.contains(&key) => self.value.as_str().into(),
            (_, None) if is_secret => self.source("")?,
            (_, Some(kind)) if may_be_elsewhere => self.source(kind)?,
            _ => return Err(Self::unknown()),
        };
        // Keeps the space and comments around the old value.
        let decor = table.get(key).and_then(Item::as_value).map(|old| old.decor().clone());
        let mut value = value;
        if let Some(decor) = decor {
            *value.decor_mut() = decor;
        }
        table.insert(key, Item::Value(value));
        Ok(())
    }

    fn unknown() -> Fault {
        let help = "write host=HOST, username=USER, password.env=VAR, password.file=PATH, token.systemd=NAME, identity=system, identity.client_id=ID, identity.secret.file=PATH, cloud=china; KEY= removes";
        usage("credential set: expected KEY=VALUE with a known key, found another", help)
    }

    /// Returns the source of a secret, by its kind.
    fn source(&self, kind: &str) -> Result<toml_edit::Value, Fault> {
        let value = match kind {
            "" => {
                let what = format!("{}: expected the source of the secret, found a value", self.key);
                return Err(usage(
                    what,
                    "if it was the secret, change it, since others may have seen it; then write for example password.file=PATH",
                ));
            }
            "command" => toml_edit::Value::from(self.value.split_whitespace().collect::<Array>()),
            kind if SOURCES.contains(&kind) => self.value.as_str().into(),
            _ => return Err(Self::unknown()),
        };
        let mut table = InlineTable::new();
        table.insert(kind, value);
        Ok(table.into())
    }
}

/// Returns the inline table of `key` with one member changed; an empty text removes it.
fn inner(table: &dyn TableLike, key: &str, member: &str, value: toml_edit::Value) -> toml_edit::Value {
    let mut inner = table.get(key).and_then(Item::as_inline_table).cloned().unwrap_or_default();
    if value.as_str() == Some("") {
        inner.remove(member);
    } else {
        inner.insert(member, value);
    }
    inner.into()
}
