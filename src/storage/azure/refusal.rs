//! Meaning of a refusal of the service: tells by its code what is missing, and what to do.
//!
//! Pure. Codes are those of `x-ms-error-code`.

use super::sas::Sas;
use crate::base::fault::escape;
use crate::base::time::Moment;
use crate::content::{Error, Kind};

/// How requests are signed, for advice.
pub(super) enum Login<'a> {
    /// Not at all.
    Nobody,
    /// By a shared access signature.
    Sas(&'a Sas),
    /// By the account's key.
    Key,
    /// By a token of an identity.
    Token,
}

/// A refused request.
pub(super) struct Refusal<'a> {
    /// Account and container.
    pub place: &'a str,
    /// Subject of the request.
    pub subject: &'a str,
    /// Status of the answer.
    pub status: u16,
    /// Code of the answer; empty if it has none.
    pub code: &'a str,
    /// How it was signed.
    pub login: Login<'a>,
    /// Seconds since 1970.
    pub now: i64,
}

impl Refusal<'_> {
    /// Returns the error.
    pub fn error(&self) -> Error {
        let (kind, found, help) = self.meaning();
        let code = if self.code.is_empty() { String::new() } else { format!(" {}", escape(self.code)) };
        let what = format!("storage {}: {}: {found}, status {}{code}", self.place, self.subject, self.status);
        let error = Error::new(kind, what);
        if help.is_empty() { error } else { error.help(help) }
    }

    fn meaning(&self) -> (Kind, String, String) {
        let place = self.place;
        let (account, container) = place.split_once('/').unwrap_or((place, ""));
        let plain = |kind, found: &str, help: String| (kind, found.to_owned(), help);
        match self.code {
            "ContainerNotFound" => plain(
                Kind::Absent,
                "the container does not exist",
                format!("create {container} in {account}, or correct the address"),
            ),
            "ContainerBeingDeleted" | "ContainerDisabled" | "ResourceTypeMismatch" => plain(
                Kind::Refused,
                "the container cannot be used",
                format!("see the state of {container} in {account}"),
            ),
            "BlobNotFound" => plain(Kind::Absent, "no such object", String::new()),
            "ResourceNotFound" if matches!(self.login, Login::Nobody) => {
                plain(Kind::Denied, "not found, or not open to the public", self.for_login())
            }
            "PublicAccessNotPermitted" | "NoAuthenticationInformation" => {
                plain(Kind::Denied, "the account has public access off, and the request has no login", self.for_login())
            }
            "AuthorizationSourceIPMismatch" => self.address_of_sas(),
            "AuthorizationFailure" if self.has_ended() => self.login_refused(),
            "AuthorizationFailure" => plain(
                Kind::Denied,
                "the account does not allow this machine's network, or does not accept the login for this",
                format!("allow this machine in the network rules of {account}, or use a private endpoint"),
            ),
            "AuthorizationPermissionMismatch"
            | "AuthorizationServiceMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "InsufficientAccountPermissions" => self.right_missing(),
            "AuthorizationProtocolMismatch" => {
                plain(Kind::Denied, "the signature is only for https (spr)", "use the https address".to_owned())
            }
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => self.login_refused(),
            "KeyBasedAuthenticationNotPermitted" => plain(
                Kind::Denied,
                "the account takes no keys, nor signatures made with its key",
                "use an identity, or a user delegation signature".to_owned(),
            ),
            "AccountIsDisabled" => plain(Kind::Denied, "the account is disabled", String::new()),
            "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" | "LeaseAlreadyPresent" | "LeaseLost" => plain(
                Kind::Refused,
                "somebody holds a lease on it",
                "break the lease, or wait until it ends".to_owned(),
            ),
            "BlobImmutableDueToPolicy" => plain(
                Kind::Refused,
                "it is immutable by the container's policy",
                "choose another name, or a container without such a policy".to_owned(),
            ),
            "BlobArchived" | "BlobBeingRehydrated" => {
                plain(Kind::Refused, "it is in the archive tier", "rehydrate it, then try again".to_owned())
            }
            "BlobAlreadyExists" => plain(Kind::Refused, "an object of this name exists", String::new()),
            "ConditionNotMet" | "TargetConditionNotMet" => {
                plain(Kind::Refused, "it was changed by somebody else", String::new())
            }
            "InvalidBlockList" => plain(
                Kind::Failed,
                "blocks that were sent are gone",
                "run the command again; it sends what is missing".to_owned(),
            ),
            "InvalidBlobType" => plain(
                Kind::Refused,
                "an object of this name has another type",
                "remove it, or choose another name".to_owned(),
            ),
            "Md5Mismatch" => plain(Kind::Failed, "the service received other bytes than were sent", String::new()),
            _ => self.by_status(),
        }
    }

    fn by_status(&self) -> (Kind, String, String) {
        let (kind, found) = match self.status {
            401 | 403 => (Kind::Denied, "not permitted"),
            404 | 410 => (Kind::Absent, "not found"),
            408 | 429 => (Kind::Failed, "asks to slow down"),
            300..=499 => (Kind::Refused, "refused"),
            _ => (Kind::Failed, "expected success"),
        };
        let help = if kind == Kind::Denied { self.for_login() } else { String::new() };
        (kind, found.to_owned(), help)
    }

    /// Returns advice about the login.
    fn for_login(&self) -> String {
        match self.login {
            Login::Nobody => "give the container's table sas or credential".to_owned(),
            Login::Sas(_) => "make a new signature for this container".to_owned(),
            Login::Key => "check the account's key".to_owned(),
            Login::Token => "give the identity the role Storage Blob Data Contributor, or Reader to read".to_owned(),
        }
    }

    fn right_missing(&self) -> (Kind, String, String) {
        let found = match self.login {
            Login::Sas(_) => "the signature has no right to this",
            _ => "the login has no right to this",
        };
        let help = match self.login {
            Login::Sas(_) => "make a signature with r, w, l and a to write, or with r and l to read".to_owned(),
            _ => self.for_login(),
        };
        (Kind::Denied, found.to_owned(), help)
    }

    fn address_of_sas(&self) -> (Kind, String, String) {
        let from = match self.login {
            Login::Sas(Sas { addresses: Some(addresses), .. }) => format!(", only {}", escape(addresses)),
            _ => String::new(),
        };
        let found = format!("the signature does not allow this machine's address{from} (sip)");
        (Kind::Denied, found, "make a signature for the address that this machine has outside".to_owned())
    }

    fn has_ended(&self) -> bool {
        matches!(self.login, Login::Sas(Sas { ends: Some(ends), .. }) if *ends <= self.now)
    }

    fn login_refused(&self) -> (Kind, String, String) {
        let shown = |time: i64| Moment::from_unix(time).map_or_else(String::new, |moment| moment.to_string());
        let found = match self.login {
            Login::Sas(Sas { ends: Some(ends), .. }) if *ends <= self.now => {
                format!("the signature ended at {}", shown(*ends))
            }
            Login::Sas(_) => {
                "the signature is not accepted: changed, revoked, or not valid by the service's clock".to_owned()
            }
            Login::Key => "the account's key is not accepted, or this machine's clock is wrong".to_owned(),
            Login::Token => "the token is not accepted".to_owned(),
            Login::Nobody => "a login is wanted".to_owned(),
        };
        (Kind::Denied, found, self.for_login())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str, login: Login<'_>) -> Error {
        let now = 1_800_000_000;
        Refusal { place: "lowsa/transfer", subject: "object a.json", status, code, login, now }.error()
    }

    #[test]
    fn t21_each_refusal_has_its_own_text_and_kind() {
        let sas = Sas::parse("sr=c&sp=r&se=2030-01-01&sip=192.0.2.1&sig=canary").unwrap();
        let old = Sas::parse("sr=c&sp=r&se=2020-01-01&sig=canary").unwrap();
        let mut texts = std::collections::HashSet::new();
        for (status, code, login, kind, part) in [
            (404, "ContainerNotFound", Login::Sas(&sas), Kind::Absent, "container does not exist"),
            (404, "BlobNotFound", Login::Sas(&sas), Kind::Absent, "no such object"),
            (403, "AuthorizationPermissionMismatch", Login::Sas(&sas), Kind::Denied, "signature has no right"),
            (403, "AuthorizationPermissionMismatch", Login::Token, Kind::Denied, "login has no right"),
            (403, "AuthenticationFailed", Login::Sas(&old), Kind::Denied, "ended at 2020-01-01"),
            (403, "AuthenticationFailed", Login::Sas(&sas), Kind::Denied, "not accepted: changed"),
            (403, "AuthenticationFailed", Login::Key, Kind::Denied, "key is not accepted"),
            (401, "InvalidAuthenticationInfo", Login::Token, Kind::Denied, "token is not accepted"),
            (403, "AuthorizationSourceIPMismatch", Login::Sas(&sas), Kind::Denied, "only 192.0.2.1 (sip)"),
            (403, "AuthorizationFailure", Login::Key, Kind::Denied, "not allow this machine's network"),
            (409, "PublicAccessNotPermitted", Login::Nobody, Kind::Denied, "public access off"),
            (412, "LeaseIdMissing", Login::Key, Kind::Refused, "lease"),
            (409, "BlobAlreadyExists", Login::Key, Kind::Refused, "exists"),
            (412, "ConditionNotMet", Login::Key, Kind::Refused, "changed by somebody"),
            (409, "BlobImmutableDueToPolicy", Login::Key, Kind::Refused, "immutable"),
            (400, "InvalidBlockList", Login::Key, Kind::Failed, "blocks that were sent are gone"),
            (503, "ServerBusy", Login::Key, Kind::Failed, "expected success"),
            (418, "", Login::Key, Kind::Refused, "refused"),
        ] {
            let error = error(status, code, login);
            assert!(error.class == kind && error.what.contains(part), "{code}: {error:?}");
            assert!(error.what.starts_with("storage lowsa/transfer: object a.json: "), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
            assert!(kind != Kind::Denied || error.help.is_some(), "{code}");
            assert!(texts.insert(error.what), "{code}");
        }
    }

    #[test]
    fn codes_are_shown_escaped() {
        assert!(error(400, "a\u{1b}[2J", Login::Nobody).what.ends_with("status 400 a\\u{1b}[2J"));
    }
}
