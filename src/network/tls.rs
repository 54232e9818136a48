//! TLS for runs in which the user gave certificates (`--ca`, `certs.d`): they count as roots, in
//! addition to the system's. A server may also present a given certificate itself, as one that is
//! self-signed and marked as a CA: then its name and dates are checked, and the handshake proves
//! that the server has its key.
//!
//! Makes no connection. Never accepts a certificate that was not given and has no root.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::certificate;
use super::settings::ClientCertificate;

/// Returns the certificates of a PEM file; none if it has none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default()
}

/// Returns the configuration for connections that accept `given` certificates too, and present
/// `client`. With `old`, only HTTP/1.1 is offered.
///
/// # Errors
/// A given certificate cannot be a root; the client certificate and its key do not fit.
pub fn config(
    given: Vec<CertificateDer<'static>>,
    client: Option<&ClientCertificate>,
    old: bool,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Given { inner: Verifier::new_with_extra_roots(given.clone(), Arc::clone(&provider))?, given };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let wrong = |_| Error::General("client certificate: expected a PEM private key".to_owned());
            let key = PrivateKeyDer::from_pem_slice(&client.key).map_err(wrong)?;
            config.with_client_auth_cert(certificates(&client.certificate), key)?
        }
    };
    config.alpn_protocols = if old { vec![b"http/1.1".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
    Ok(config)
}

/// Accepts what the system's rules accept, and the given certificates themselves.
#[derive(Debug)]
struct Given {
    inner: Verifier,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_rules = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if by_rules.is_ok() || !self.given.iter().any(|given| given.as_ref() == end_entity.as_ref()) {
            return by_rules;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let refused = |error| Err(Error::InvalidCertificate(error));
        let Some((first, last)) = certificate::validity(end_entity) else {
            return refused(CertificateError::BadEncoding);
        };
        let at = |unix: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(unix).unwrap_or(0)));
        if now < at(first) {
            return refused(CertificateError::NotValidYetContext { time: now, not_before: at(first) });
        }
        if now > at(last) {
            return refused(CertificateError::ExpiredContext { time: now, not_after: at(last) });
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
