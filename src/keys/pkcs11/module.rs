//! A PKCS#11 module and signing with an Ed25519 key in it (CKM_EDDSA without parameters: RFC 8032,
//! pure).
//!
//! A PIN is tried only once, because tokens count failed attempts. Errors in the module, token or
//! key are found when the key is opened, before any work.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::uri::Uri;
use crate::base::fault::{Class, Description, Fault, differs, escape, expects};
use crate::signing::PublicKey;
use crate::signing::private::signer::Signer;

/// The loaded modules. Each is loaded once.
#[derive(Debug, Default)]
pub struct Modules(HashMap<PathBuf, Pkcs11>);

/// An opened private key on a token.
pub struct Key {
    name: String,
    public: PublicKey,
    object: ObjectHandle,
    session: Mutex<Session>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(private half of {}, on a token)", self.public.id())
    }
}

/// Returns the error of a module on one line.
fn told(error: &Error) -> String {
    match error {
        Error::Pkcs11(RvError::PinIncorrect, _) => "the PIN is wrong".to_owned(),
        Error::Pkcs11(RvError::PinLocked, _) => "the PIN is locked".to_owned(),
        Error::Pkcs11(RvError::PinLenRange, _) => "the PIN has a wrong length".to_owned(),
        Error::Pkcs11(error, function) => format!("{function} answered {error:?}"),
        Error::LibraryLoading(error) => escape(&error.to_string()),
        error => escape(&error.to_string()),
    }
}

impl Modules {
    /// Opens the key that `uri` names. Calls `pin` for the PIN at most once, with the token's
    /// label, and only if the token exists and requires one.
    ///
    /// # Errors
    /// [`Class::Usage`] if the module cannot be loaded, if there is no such token or key or more
    /// than one, if the PIN is wrong, or if the key is not an Ed25519 key that can sign. Errors of
    /// `pin`.
    pub fn open(
        &mut self,
        uri: &Uri,
        pin: impl FnOnce(&str) -> Result<Zeroizing<String>, Fault>,
    ) -> Result<Key, Fault> {
        let wrong = |found: Description, help: &str| {
            Fault::new(Class::Usage, found.within(format_args!("key {uri}"))).help(help)
        };
        let module = self.load(uri)?;
        let (slot, token) = find(module, uri)?;
        let mechanisms = module.get_mechanism_list(slot).map_err(|error| wrong(told(&error).into(), LOOK))?;
        if !mechanisms.contains(&MechanismType::EDDSA) {
            let help = "use a token that supports it, or sign elsewhere: sign --payload, --attach";
            return Err(wrong(differs("", "a token that signs with Ed25519 (CKM_EDDSA)", "one that does not"), help));
        }
        let session = module.open_ro_session(slot).map_err(|error| wrong(told(&error).into(), LOOK))?;
        if token.login_required() {
            let pin = if token.protected_authentication_path() {
                None
            } else {
                Some(AuthPin::from(pin(token.label())?.as_str()))
            };
            match session.login(UserType::User, pin.as_ref()) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => {
                    return Err(wrong(
                        told(&error).into(),
                        "check the PIN; a token locks itself after a few wrong ones",
                    ));
                }
            }
        }
        let object = one(&session, ObjectClass::PRIVATE_KEY, uri)?;
        let public = public(&session, object, uri)?;
        Ok(Key { name: uri.to_string(), public, object, session: Mutex::new(session) })
    }

    fn load(&mut self, uri: &Uri) -> Result<&Pkcs11, Fault> {
        use std::collections::hash_map::Entry;
        let wrong = |error: &Error| {
            let path = escape(&uri.module.to_string_lossy());
            let told = told(error);
            // The loader's message also names the module.
            let told = told.strip_prefix(&format!("{path}: ")).unwrap_or(&told);
            let what = format!("module {path}: {told}");
            Fault::new(Class::Usage, what).help("give module-path the library that came with the token")
        };
        match self.0.entry(uri.module.clone()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let module = Pkcs11::new(&uri.module).map_err(|error| wrong(&error))?;
                match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                    Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                    Err(error) => return Err(wrong(&error)),
                }
                Ok(entry.insert(module))
            }
        }
    }
}

const LOOK: &str = "inspect the token with its vendor's tools";

/// Returns the only token that matches `uri`.
fn find(module: &Pkcs11, uri: &Uri) -> Result<(Slot, TokenInfo), Fault> {
    let wrong =
        |found: Description, help: &str| Fault::new(Class::Usage, found.within(format_args!("key {uri}"))).help(help);
    let slots = module.get_slots_with_token().map_err(|error| wrong(told(&error).into(), LOOK))?;
    let mut found = Vec::new();
    for slot in slots {
        // Skip tokens that are being removed.
        let Ok(token) = module.get_token_info(slot) else { continue };
        let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        if same(&uri.token, token.label())
            && same(&uri.serial, token.serial_number())
            && same(&uri.manufacturer, token.manufacturer_id())
            && same(&uri.model, token.model())
            && uri.slot.is_none_or(|wanted| wanted == slot.id())
            && token.token_initialized()
        {
            found.push((slot, token));
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(found)) => Ok(found),
        (0, _) => Err(wrong(differs("", "such a token", "none"), "insert it, or start its service")),
        (count, _) => Err(wrong(differs("", "one such token", count), "add token= or serial=")),
    }
}

/// Returns the only object of a class that matches `uri`.
fn one(session: &Session, class: ObjectClass, uri: &Uri) -> Result<ObjectHandle, Fault> {
    let wrong =
        |found: Description, help: &str| Fault::new(Class::Usage, found.within(format_args!("key {uri}"))).help(help);
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    let mut found = session.find_objects(&template).map_err(|error| wrong(told(&error).into(), LOOK))?;
    match (found.len(), found.pop()) {
        (1, Some(object)) => Ok(object),
        (0, _) => Err(wrong(differs("", "such a private key on the token", "none"), "check object= and id=")),
        (count, _) => Err(wrong(differs("", "one such key", count), "add id=")),
    }
}

/// Returns the public key: from the private object if it states one, otherwise from the public
/// object with the same id and label.
fn public(session: &Session, private: ObjectHandle, uri: &Uri) -> Result<PublicKey, Fault> {
    let wrong =
        |found: Description, help: &str| Fault::new(Class::Usage, found.within(format_args!("key {uri}"))).help(help);
    let of = |object: ObjectHandle, kind: AttributeType| {
        session.get_attributes(object, &[kind]).ok().and_then(|mut found| found.pop())
    };
    match of(private, AttributeType::KeyType) {
        Some(Attribute::KeyType(KeyType::EC_EDWARDS)) => {}
        _ => {
            return Err(wrong(differs("", "an Ed25519 key", "another kind"), "make one on the token (CKK_EC_EDWARDS)"));
        }
    }
    if let Some(Attribute::AlwaysAuthenticate(true)) = of(private, AttributeType::AlwaysAuthenticate) {
        let help = "sign with the token's own tools: sign --payload, --attach";
        return Err(wrong("requires its PIN for each signature, which is not supported".into(), help));
    }
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    template.extend([AttributeType::Id, AttributeType::Label].into_iter().filter_map(|kind| of(private, kind)).filter(
        |found| match found {
            Attribute::Id(bytes) | Attribute::Label(bytes) => !bytes.is_empty(),
            _ => false,
        },
    ));
    let beside = session.find_objects(&template).unwrap_or_default();
    for object in beside.into_iter().chain([private]) {
        if let Some(Attribute::PublicKeyInfo(der)) = of(object, AttributeType::PublicKeyInfo)
            && let Ok(key) = PublicKey::from_der(&der)
        {
            return Ok(key);
        }
        if let Some(Attribute::EcPoint(point)) = of(object, AttributeType::EcPoint) {
            // Some modules wrap the bytes in an OCTET STRING, others do not.
            let bytes = point.strip_prefix(&[0x04, 0x20]).unwrap_or(&point);
            let bytes: Result<[u8; 32], _> = bytes.try_into();
            let Ok(bytes) = bytes else {
                return Err(wrong(differs("", "an Ed25519 key", "one of another curve"), "make one on the token"));
            };
            return PublicKey::from_bytes(&bytes).map_err(|error| wrong(error.to_string().into(), error.help()));
        }
    }
    Err(wrong(differs("", "its public key on the token too", "none"), "put it there, under the same id and label"))
}

impl Signer for Key {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let how = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        session.sign(&how, self.object, message).map_err(|error| {
            let what = expects(format_args!("key {}", self.name), format_args!("a signature, found: {}", told(&error)));
            Fault::new(Class::Io, what).help("insert the token and run the same command again")
        })
    }
}
