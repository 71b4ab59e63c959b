//! The TLS side: the serving certificate, which changes while serving, and who signs clients' certificates.
//!
//! The handshake asks for a client certificate and proves that the client holds its key. Who signed it is looked at
//! afterwards, by [`Authorities::verify`], so that a stranger gets the API's 401 and not a broken connection, and may
//! still use a token.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca::Pair;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is no certificate or key in PEM.
    #[error("{what} cannot be read: {why}")]
    Pem {
        /// Which.
        what: &'static str,
        /// What the parser says.
        why: String,
    },
    /// rustls does not take it.
    #[error("{what} cannot be used: {source}")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why not.
        source: Error,
    },
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match list {
        Ok(list) if list.is_empty() => {
            Err(TlsError::Pem { what, why: "there is no certificate in it".to_owned() })
        }
        Ok(list) => Ok(list),
        Err(error) => Err(TlsError::Pem { what, why: error.to_string() }),
    }
}

/// The certificate that is shown to clients.
#[derive(Debug)]
pub struct Serving(RwLock<Arc<CertifiedKey>>);

impl Serving {
    /// Starts with this pair.
    ///
    /// # Errors
    /// When it cannot be read or does not belong together.
    pub fn new(pair: &Pair) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(certified(pair)?)))
    }

    /// Shows another one from the next handshake on.
    ///
    /// # Errors
    /// When it cannot be read or does not belong together; the earlier one stays.
    pub fn replace(&self, pair: &Pair) -> Result<(), TlsError> {
        let next = certified(pair)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

fn certified(pair: &Pair) -> Result<Arc<CertifiedKey>, TlsError> {
    let what = "the serving certificate";
    let chain = certificates(&pair.certificate, what)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|error| TlsError::Pem { what: "the serving key", why: error.to_string() })?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider());
    key.map(Arc::new).map_err(|source| TlsError::Unusable { what, source })
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Who signs clients' certificates.
#[derive(Clone, Debug)]
pub struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// One or more certificates in PEM.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn new(pem: &str) -> Result<Self, TlsError> {
        let what = "the client authority";
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, what)? {
            roots.add(certificate).map_err(|source| TlsError::Unusable { what, source })?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
        let verifier = verifier.map_err(|error| TlsError::Pem { what, why: error.to_string() })?;
        Ok(Self { verifier })
    }

    /// Is the first of these certificates (in DER) a client's, good now, and signed by one of the authorities,
    /// perhaps through the others?
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, chain: &[Vec<u8>], now: Timestamp) -> Result<(), String> {
        let Some((own, others)) = chain.split_first() else { return Err("no certificate".to_owned()) };
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from_slice(der)).collect();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match self.verifier.verify_client_cert(&CertificateDer::from_slice(own), &others, now) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("verifying certificate {} failed: {error}", identifier(own))),
        }
    }
}

/// What a certificate is called in logs.
fn identifier(der: &[u8]) -> String {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => format!("SN={}", certificate.raw_serial_as_string()),
        Err(_) => "that cannot be read".to_owned(),
    }
}

/// How the API is served: HTTP/2 or 1.1, asking for a client's certificate without demanding one. `hints` are the
/// authorities whose certificates a client may choose among.
///
/// # Errors
/// When the hints cannot be read, or rustls refuses the versions.
pub fn server_config(serving: Arc<Serving>, hints: &str) -> Result<ServerConfig, TlsError> {
    let what = "the client authority";
    let mut subjects = Vec::new();
    for authority in certificates(hints, what)? {
        let (_, authority) = X509Certificate::from_der(&authority)
            .map_err(|error| TlsError::Pem { what, why: error.to_string() })?;
        // With its tag and length, as it travels.
        subjects.push(DistinguishedName::from(authority.subject().as_raw().to_vec()));
    }
    let provider = Arc::new(ring::default_provider());
    let asks = Arc::new(AsksForCertificate { provider: Arc::clone(&provider), subjects });
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Unusable { what: "TLS", source })?;
    let mut config = builder.with_client_cert_verifier(asks).with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Asks for a certificate and takes any whose key the client holds.
#[derive(Debug)]
struct AsksForCertificate {
    provider: Arc<CryptoProvider>,
    subjects: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AsksForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
