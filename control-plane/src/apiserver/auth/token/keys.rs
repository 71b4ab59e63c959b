//! The keys of service-account tokens: ours signs with ES256; others verify ES256, ES384 and RS256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey as Parsed;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no PEM, or not what its label says.
    #[error("not a PEM-encoded {0}")]
    Malformed(&'static str),
    /// It is of another kind than P-256, P-384 or RSA.
    #[error("a key of this kind is not supported: P-256, P-384 and RSA are")]
    Unsupported,
    /// The private key is not an ECDSA key on P-256.
    #[error("the signing key is no PKCS#8 key on P-256")]
    NoSigningKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Es384,
    Rs256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
        }
    }

    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A key that tokens are verified with.
#[derive(Clone, Debug)]
pub struct PublicKey {
    id: String,
    algorithm: Algorithm,
    /// As ring wants it: an uncompressed point, or an RSAPublicKey in DER.
    raw: Vec<u8>,
    /// The parameters of its JWK: `x` and `y`, or `n` and `e`.
    parameters: [(&'static str, String); 2],
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not supported.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("public key");
        let Ok((rest, info)) = SubjectPublicKeyInfo::from_der(der) else { return Err(malformed) };
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let raw = info.subject_public_key.data.to_vec();
        let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let curve = curve.map(|oid| oid.to_id_string());
        let (algorithm, parameters) = match info.parsed() {
            Ok(Parsed::EC(_)) => {
                let (algorithm, size) = match curve.as_deref() {
                    Some("1.2.840.10045.3.1.7") => (Algorithm::Es256, 32),
                    Some("1.3.132.0.34") => (Algorithm::Es384, 48),
                    _ => return Err(KeyError::Unsupported),
                };
                if raw.len() != 1 + 2 * size || raw[0] != 4 {
                    return Err(malformed);
                }
                let (x, y) = raw[1..].split_at(size);
                (algorithm, [("x", encoded(x)), ("y", encoded(y))])
            }
            Ok(Parsed::RSA(key)) => {
                let unsigned = |bytes: &[u8]| {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    encoded(&bytes[zeros..])
                };
                (Algorithm::Rs256, [("n", unsigned(key.modulus)), ("e", unsigned(key.exponent))])
            }
            _ => return Err(KeyError::Unsupported),
        };
        if !rest.is_empty() {
            return Err(malformed);
        }
        Ok(Self { id: encoded(digest(&SHA256, der).as_ref()), algorithm, raw, parameters })
    }

    /// Reads `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not supported.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match x509_parser::pem::parse_x509_pem(pem.as_bytes()) {
            Ok((_, block)) if block.label == "PUBLIC KEY" => Self::from_der(&block.contents),
            _ => Err(KeyError::Malformed("public key")),
        }
    }

    /// What tokens that are signed with it name it by: a hash of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Is that the signature of `message` under this key and the algorithm of that name?
    pub(super) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        algorithm == self.algorithm.name()
            && UnparsedPublicKey::new(self.algorithm.verifier(), &self.raw).verify(message, signature).is_ok()
    }

    /// As a JSON Web Key.
    fn jwk(&self) -> Value {
        let mut key = json!({"use": "sig", "kid": self.id, "alg": self.algorithm.name()});
        match self.algorithm {
            Algorithm::Es256 => (key["kty"], key["crv"]) = ("EC".into(), "P-256".into()),
            Algorithm::Es384 => (key["kty"], key["crv"]) = ("EC".into(), "P-384".into()),
            Algorithm::Rs256 => key["kty"] = "RSA".into(),
        }
        for (name, value) in &self.parameters {
            key[*name] = json!(value);
        }
        key
    }
}

/// What `/openid/v1/jwks` answers.
pub fn jwks(keys: &[PublicKey]) -> Value {
    json!({"keys": keys.iter().map(PublicKey::jwk).collect::<Vec<_>>()})
}

/// What `/.well-known/openid-configuration` answers.
pub fn discovery(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Value {
    let mut algorithms: Vec<_> = keys.iter().map(|key| key.algorithm.name()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    json!({
        "issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": algorithms,
    })
}

/// The key that tokens are signed with.
#[derive(Debug)]
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
}

impl SigningKey {
    /// Reads a private key, PKCS#8 in PEM, on P-256.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let key = KeyPair::from_pem(pem).map_err(|_| KeyError::NoSigningKey)?;
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.serialized_der(), &random);
        let pair = pair.map_err(|_| KeyError::NoSigningKey)?;
        Ok(Self { pair, public: PublicKey::from_der(&key.subject_public_key_info())?, random })
    }

    /// The key that verifies its signatures.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims: header, claims and signature, as they travel.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, ring::error::Unspecified> {
        let header = json!({"alg": "ES256", "kid": self.public.id});
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
