//! A cloud on this machine: login authority, metadata service, application host, key vault, blob container and a
//! registry that exchanges tokens. Each enforces what the real one does: a token for another service, one that has
//! ended, a missing header or a missing right is refused.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::server::{Reply, Request, Server, reply};
use super::shelf::{Image, Shelf};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const CLIENT: &str = "6f0c0000-0000-0000-0000-000000000000";
/// Object ids of the principals: the application, the workload, the machine, an assigned identity, the user.
pub const APPLICATION: &str = "aaaaaaaa-0000-0000-0000-00000000000a";
pub const WORKLOAD: &str = "aaaaaaaa-0000-0000-0000-00000000000b";
pub const MACHINE: &str = "aaaaaaaa-0000-0000-0000-00000000000c";
pub const ASSIGNED: &str = "aaaaaaaa-0000-0000-0000-00000000000d";
pub const SECRET: &str = "canary-application-secret";
pub const ASSERTION: &str = "canary.federated.token";
pub const HEADER: &str = "canary-identity-header";
const RESOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
const STORAGE: &str = "https://storage.azure.com";
const REGISTRY: &str = "https://containerregistry.azure.net";

/// A token that was given.
struct Issued {
    audience: String,
    principal: String,
    until: Instant,
}

/// State of all services.
pub struct State {
    tokens: HashMap<String, Issued>,
    count: usize,
    /// Seconds that tokens last.
    pub life: u64,
    /// Secrets of the vault: the values that successive reads get; the last one stays.
    pub secrets: HashMap<String, Vec<String>>,
    /// Principals and services (`vault`, `storage`, `registry`) where they have no right.
    pub denied: HashSet<(String, &'static str)>,
    /// Signatures that the container accepts.
    pub signatures: HashSet<String>,
    /// Number of next uses of a token that are refused at the vault although it is good.
    pub refusals: usize,
    refresh: HashMap<String, String>,
    access: HashSet<String>,
}

impl State {
    fn issue(&mut self, audience: &str, principal: &str) -> Value {
        self.count += 1;
        let part = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let head = part(json!({ "typ": "JWT", "alg": "RS256" }));
        let body = part(json!({ "aud": audience, "oid": principal, "tid": TENANT, "n": self.count }));
        let token = format!("{head}.{body}.{}", part(json!(format!("canary-signature-{}", self.count))));
        let until = Instant::now() + Duration::from_secs(self.life);
        let issued = Issued { audience: audience.to_owned(), principal: principal.to_owned(), until };
        self.tokens.insert(token.clone(), issued);
        json!({ "token_type": "Bearer", "expires_in": self.life, "access_token": token })
    }

    /// Returns the principal of a token that is good for `audience`.
    fn principal(&self, token: &str, audience: &str) -> Option<String> {
        let issued = self.tokens.get(token)?;
        (issued.audience == audience && Instant::now() < issued.until).then(|| issued.principal.clone())
    }

    /// Returns every token and secret that must not show.
    pub fn canaries(&self) -> Vec<String> {
        let mut all: Vec<String> = [SECRET, ASSERTION, HEADER].map(str::to_owned).into();
        all.extend(self.tokens.keys().cloned());
        all.extend(self.tokens.keys().filter_map(|token| token.rsplit('.').next().map(str::to_owned)));
        all.extend(self.secrets.values().flatten().cloned());
        all.extend(self.refresh.keys().cloned().chain(self.access.iter().cloned()));
        all
    }

    /// Returns the number of tokens given so far.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The running services.
pub struct Cloud {
    pub state: Arc<Mutex<State>>,
    pub authority: Server,
    pub metadata: Server,
    pub host: Server,
    pub vault: Server,
    pub container: Server,
    pub registry: Shelf,
}

/// Decodes the fields of a form or a query.
fn fields(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            let (byte, left) = match first {
                b'%' => (u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap(), &more[2..]),
                b'+' => (b' ', more),
                other => (*other, more),
            };
            bytes.push(byte);
            rest = left;
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn parts(request: &Request) -> (String, HashMap<String, String>) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    (path.to_owned(), fields(query))
}

fn form(request: &Request) -> HashMap<String, String> {
    if request.header("content-type") != Some("application/x-www-form-urlencoded") {
        return HashMap::new();
    }
    fields(std::str::from_utf8(&request.body).unwrap_or_default())
}

fn told(status: u16, value: &Value) -> Reply {
    reply(status, value.to_string()).with("Content-Type", "application/json")
}

/// Answers like the login authority; what it says repeats what it got.
fn authority(state: &Mutex<State>, vault: &str, request: &Request) -> Reply {
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    let refused = |status: u16, error: &str, code: i64| {
        let description = format!("AADSTS{code}: {} {}", get("client_secret"), get("client_assertion"));
        told(status, &json!({ "error": error, "error_description": description, "error_codes": [code] }))
    };
    if request.method != "POST" || request.path != format!("/{TENANT}/oauth2/v2.0/token") {
        return refused(400, "invalid_request", 90_002);
    }
    let audience = get("scope").strip_suffix("/.default").unwrap_or_default();
    if get("grant_type") != "client_credentials" || get("client_id") != CLIENT {
        return refused(400, "unauthorized_client", 700_016);
    }
    if ![STORAGE, REGISTRY, &format!("https://{vault}")].contains(&audience) {
        return refused(400, "invalid_resource", 500_011);
    }
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), None) if secret == SECRET => told(200, &state.lock().unwrap().issue(audience, APPLICATION)),
        (None, Some(token)) if token == ASSERTION && get("client_assertion_type") == jwt => {
            told(200, &state.lock().unwrap().issue(audience, WORKLOAD))
        }
        (Some(_), None) => refused(401, "invalid_client", 7_000_215),
        _ => refused(401, "invalid_client", 700_211),
    }
}

/// Answers like a metadata service. `hosted`: that of an application's host.
fn metadata(state: &Mutex<State>, vault: &str, request: &Request, hosted: bool) -> Reply {
    let (path, query) = parts(request);
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let (expected, version, header) = if hosted {
        ("/msi/token", "2019-08-01", request.header("x-identity-header") == Some(HEADER))
    } else {
        ("/metadata/identity/oauth2/token", "2018-02-01", request.header("metadata") == Some("true"))
    };
    if path != expected || request.method != "GET" {
        return told(404, &json!({ "error": "not_found" }));
    }
    let resource = get("resource");
    let known = [STORAGE, REGISTRY, &format!("https://{vault}")].contains(&resource);
    if !header || request.header("x-forwarded-for").is_some() || get("api-version") != version || !known {
        return told(400, &json!({ "error": "invalid_request", "error_description": "Required metadata header" }));
    }
    let ids = [
        "client_id",
        if hosted { "principal_id" } else { "object_id" },
        if hosted { "mi_res_id" } else { "msi_res_id" },
    ];
    let principal = match ids.map(|name| query.get(name).map(String::as_str)) {
        [None, None, None] => MACHINE,
        [Some(CLIENT), None, None] | [None, Some(ASSIGNED), None] | [None, None, Some(RESOURCE)] => ASSIGNED,
        _ => return told(400, &json!({ "error": "invalid_request", "error_description": "Identity not found" })),
    };
    let mut answer = state.lock().unwrap().issue(resource, principal);
    // As text, as the real ones.
    answer["expires_in"] = json!(answer["expires_in"].to_string());
    told(200, &answer)
}

fn bearer(request: &Request) -> &str {
    request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

/// Answers like a key vault; a refusal repeats the token.
fn vault(state: &Mutex<State>, host: &str, request: &Request) -> Reply {
    let mut state = state.lock().unwrap();
    let (path, query) = parts(request);
    let error = |status: u16, code: &str| {
        told(status, &json!({ "error": { "code": code, "message": format!("{code}: {}", bearer(request)) } }))
    };
    let principal = state.principal(bearer(request), &format!("https://{host}"));
    let revoked = state.refusals > 0;
    state.refusals = state.refusals.saturating_sub(1);
    let Some(principal) = principal.filter(|_| !revoked) else {
        return error(401, "Unauthorized").with("WWW-Authenticate", format!("Bearer resource=\"https://{host}\""));
    };
    if query.get("api-version").is_none_or(|version| version != "7.4") {
        return error(400, "BadParameter");
    }
    if state.denied.contains(&(principal, "vault")) {
        return error(403, "Forbidden");
    }
    let name = path.strip_prefix("/secrets/").unwrap_or_default().to_owned();
    match state.secrets.get_mut(&name) {
        None => error(404, "SecretNotFound"),
        Some(values) => {
            let value = if values.len() > 1 { values.remove(0) } else { values[0].clone() };
            told(
                200,
                &json!({ "value": value, "id": format!("https://{host}/secrets/{name}/1"), "attributes": { "enabled": true } }),
            )
        }
    }
}

/// Answers like a blob container that is listed.
fn container(state: &Mutex<State>, request: &Request) -> Reply {
    let state = state.lock().unwrap();
    let (path, query) = parts(request);
    let error = |status: u16, code: &'static str| {
        reply(status, format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", request.path))
            .with("x-ms-error-code", code)
    };
    let signed = query.get("sig").is_some_and(|sig| state.signatures.contains(sig));
    if !signed {
        match state.principal(bearer(request), STORAGE) {
            None => return error(403, "AuthenticationFailed"),
            Some(principal) if state.denied.contains(&(principal.clone(), "storage")) => {
                return error(403, "AuthorizationPermissionMismatch");
            }
            Some(_) => {}
        }
    }
    if path != "/account/transfer" {
        return error(404, "ContainerNotFound");
    }
    let asked = [("restype", "container"), ("comp", "list")]
        .iter()
        .all(|(name, value)| query.get(*name).map(String::as_str) == Some(value));
    if !asked || request.header("x-ms-version").is_none() {
        return error(400, "InvalidQueryParameterValue");
    }
    reply(200, "<?xml version=\"1.0\"?><EnumerationResults><Blobs/></EnumerationResults>")
}

/// Answers for a registry that exchanges tokens, where it does not hold content.
fn registry(state: &Mutex<State>, request: &Request) -> Option<Reply> {
    let mut state = state.lock().unwrap();
    let host = request.header("host").unwrap_or_default().to_owned();
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    let denied = |what: &str| {
        told(
            401,
            &json!({ "errors": [{ "code": "UNAUTHORIZED", "message": format!("{what} {}", get("access_token")) }] }),
        )
    };
    match (request.method.as_str(), request.path.split('?').next().unwrap_or_default()) {
        ("POST", "/oauth2/exchange") => {
            if get("grant_type") != "access_token" || get("service") != host {
                return Some(denied("bad exchange"));
            }
            let principal = state.principal(get("access_token"), REGISTRY);
            let principal = principal.filter(|principal| !state.denied.contains(&(principal.clone(), "registry")));
            let Some(principal) = principal else { return Some(denied("token not accepted")) };
            let token = format!("canary-refresh-{}-{}", state.refresh.len(), host.replace(':', "-"));
            state.refresh.insert(token.clone(), principal);
            Some(told(200, &json!({ "refresh_token": token })))
        }
        ("POST", "/oauth2/token") => {
            let good = get("grant_type") == "refresh_token" && get("service") == host;
            if !good || !state.refresh.contains_key(get("refresh_token")) || get("scope").contains("canary") {
                return Some(denied("bad refresh"));
            }
            let token = format!("canary-access-{}-{}", state.access.len(), host.replace(':', "-"));
            state.access.insert(token.clone());
            Some(told(200, &json!({ "access_token": token })))
        }
        (_, path) if path.starts_with("/v2/") => {
            if !state.access.contains(bearer(request)) {
                let realm = format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"{host}\"");
                return Some(denied("no token").with("WWW-Authenticate", realm));
            }
            (path == "/v2/_catalog").then(|| told(200, &json!({ "repositories": ["a/b"] })))
        }
        _ => Some(reply(404, "")),
    }
}

impl Cloud {
    /// Starts all services; the registry holds `images`.
    pub fn start(images: &[(&str, &str, &Image)]) -> Self {
        let state = Arc::new(Mutex::new(State {
            tokens: HashMap::new(),
            count: 0,
            life: 3600,
            secrets: HashMap::new(),
            denied: HashSet::new(),
            signatures: HashSet::new(),
            refusals: 0,
            refresh: HashMap::new(),
            access: HashSet::new(),
        }));
        let own = |state: &Arc<Mutex<State>>| Arc::clone(state);
        let kept = own(&state);
        let vault = Server::start(move |request, _| {
            let host = request.header("host").unwrap_or_default().to_owned();
            vault(&kept, &host, request)
        });
        let (kept, name) = (own(&state), vault.host.clone());
        let authority = Server::start(move |request, _| authority(&kept, &name, request));
        let (kept, name) = (own(&state), vault.host.clone());
        let machine = Server::start(move |request, _| metadata(&kept, &name, request, false));
        let (kept, name) = (own(&state), vault.host.clone());
        let host = Server::start(move |request, _| metadata(&kept, &name, request, true));
        let kept = own(&state);
        let container = Server::start(move |request, _| container(&kept, request));
        let kept = own(&state);
        let registry = Shelf::start(images, Box::new(move |request| registry(&kept, request)));
        Self { state, authority, metadata: machine, host, vault, container, registry }
    }

    /// Returns the value of `cloud` in a configuration.
    pub fn table(&self) -> String {
        let Self { authority, container, vault, .. } = self;
        format!(
            "{{ authority = \"http://{}\", storage = \"{}\", vault = \"{}\" }}",
            authority.host, container.host, vault.host
        )
    }

    /// Returns the value of `identity` for the application with a secret in the variable `APP`.
    pub fn application() -> String {
        format!("{{ tenant = \"{TENANT}\", client_id = \"{CLIENT}\", secret = {{ env = \"APP\" }} }}")
    }

    /// Returns the address of a secret.
    pub fn secret(&self, name: &str) -> String {
        format!("http://{}/secrets/{name}", self.vault.host)
    }

    /// Returns the address of the container.
    pub fn url(&self) -> String {
        format!("http://{}/account/transfer", self.container.host)
    }

    /// Returns the variables of a machine with all kinds of identities.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![
            ("APP".to_owned(), SECRET.to_owned()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), format!("http://{}", self.metadata.host)),
        ]
    }

    /// Returns the variables of an application's host.
    pub fn hosted(&self) -> Vec<(String, String)> {
        vec![
            ("IDENTITY_ENDPOINT".to_owned(), format!("http://{}/msi/token", self.host.host)),
            ("IDENTITY_HEADER".to_owned(), HEADER.to_owned()),
        ]
    }

    /// Returns the variables of a workload, with the token in `file`.
    pub fn workload(&self, file: &str) -> Vec<(String, String)> {
        vec![
            ("AZURE_TENANT_ID".to_owned(), TENANT.to_owned()),
            ("AZURE_CLIENT_ID".to_owned(), CLIENT.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), file.to_owned()),
            ("AZURE_AUTHORITY_HOST".to_owned(), format!("http://{}/", self.authority.host)),
        ]
    }

    /// Returns the resource id of the assigned identity.
    pub fn resource_id() -> &'static str {
        RESOURCE
    }
}
