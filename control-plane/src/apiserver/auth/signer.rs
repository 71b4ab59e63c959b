//! What the three signers of client and kubelet certificates sign, and signing it.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::ca::{self, CertificateError, Pair};
use super::{NODE_USER, NODES};

/// The shortest life of a certificate, whatever is asked for.
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);

/// Who signs a request, by the name in its `signerName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`: clients of any name.
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: a kubelet as a client.
    KubeletClient,
    /// `kubernetes.io/kubelet-serving`: a kubelet as a server.
    KubeletServing,
}

impl Signer {
    /// The signer of that name, if it is one of ours.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Self::Client),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::KubeletClient),
            "kubernetes.io/kubelet-serving" => Some(Self::KubeletServing),
            _ => None,
        }
    }

    /// Does it sign this request for these usages?
    ///
    /// # Errors
    /// Why not, as the condition `Failed` of the request tells it.
    pub fn check(self, request: &Request, usages: &[&str]) -> Result<(), String> {
        match self {
            Self::Client => {
                let known = ["digital signature", "key encipherment", "client auth"];
                if let Some(other) = usages.iter().find(|usage| !known.contains(usage)) {
                    return Err(format!("invalid usage for client certificate: {other}"));
                }
                if !usages.contains(&"client auth") {
                    return Err("missing required usage for client certificate: client auth".to_owned());
                }
                Ok(())
            }
            Self::KubeletClient => {
                request.of_node()?;
                for (list, what) in [
                    (request.dns.is_empty(), "DNS"),
                    (request.emails == 0, "Email"),
                    (request.addresses.is_empty(), "IP"),
                    (request.uris == 0, "URI"),
                ] {
                    if !list {
                        return Err(format!("{what} subjectAltNames are not allowed"));
                    }
                }
                request.named_as_node()?;
                exactly(usages, "client auth")
            }
            Self::KubeletServing => {
                request.of_node()?;
                if request.dns.is_empty() && request.addresses.is_empty() {
                    return Err("DNS or IP subjectAltName is required".to_owned());
                }
                if request.emails > 0 {
                    return Err("Email subjectAltNames are not allowed".to_owned());
                }
                if request.uris > 0 {
                    return Err("URI subjectAltNames are not allowed".to_owned());
                }
                exactly(usages, "server auth")?;
                request.named_as_node()
            }
        }
    }
}

/// The usages are these two, and perhaps `key encipherment`, which only RSA needs.
fn exactly(usages: &[&str], purpose: &str) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", purpose];
    let fits = usages.iter().all(|usage| known.contains(usage))
        && usages.contains(&"digital signature")
        && usages.contains(&purpose);
    // The list is sorted, as sets are told.
    let (first, last) = if purpose < "digital signature" {
        (purpose, "digital signature key encipherment")
    } else {
        ("digital signature key encipherment", purpose)
    };
    if fits { Ok(()) } else { Err(format!("usages did not match [{first} {last}]")) }
}

/// What a certificate signing request asks for. Its signature was verified: whoever made it holds the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The user.
    pub common_name: String,
    /// The groups.
    pub organizations: Vec<String>,
    /// Names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    emails: usize,
    uris: usize,
    /// Attributes of the subject that are neither of the two.
    others: usize,
    key: Vec<u8>,
}

impl Request {
    /// Reads `-----BEGIN CERTIFICATE REQUEST-----`.
    ///
    /// # Errors
    /// When it is none, or its signature is not its key's.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let block = match x509_parser::pem::parse_x509_pem(pem) {
            Ok((_, block)) if block.label == "CERTIFICATE REQUEST" => block,
            _ => return Err("PEM block type must be CERTIFICATE REQUEST".to_owned()),
        };
        let (_, parsed) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|error| format!("no request: {error}"))?;
        parsed.verify_signature().map_err(|_| "the signature of the request is not its key's".to_owned())?;
        let info = &parsed.certification_request_info;
        let mut request = Self { key: info.subject_pki.raw.to_vec(), ..Self::default() };
        for attribute in info.subject.iter_attributes() {
            let text = attribute.as_str().map_err(|_| "an attribute of the subject is no text".to_owned())?;
            match &attribute.attr_type().to_id_string()[..] {
                "2.5.4.3" => text.clone_into(&mut request.common_name),
                "2.5.4.10" => request.organizations.push(text.to_owned()),
                _ => request.others += 1,
            }
        }
        for extension in parsed.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(name) => request.dns.push((*name).to_owned()),
                    GeneralName::RFC822Name(_) => request.emails += 1,
                    GeneralName::URI(_) => request.uris += 1,
                    GeneralName::IPAddress(octets) => request.addresses.push(address(octets)?),
                    other => return Err(format!("a subjectAltName of this kind is not supported: {other}")),
                }
            }
        }
        Ok(request)
    }

    fn of_node(&self) -> Result<(), String> {
        if self.organizations == [NODES] {
            Ok(())
        } else {
            Err("subject organization is not system:nodes".to_owned())
        }
    }

    fn named_as_node(&self) -> Result<(), String> {
        match self.common_name.starts_with(NODE_USER) {
            true => Ok(()),
            false => Err("subject common name does not begin with system:node:".to_owned()),
        }
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Ok(four.into());
    }
    <[u8; 16]>::try_from(octets).map(Into::into).map_err(|_| "an address has 4 or 16 bytes".to_owned())
}

/// How long the certificate lives: what is asked for, within bounds.
pub fn lifetime(asked: Option<i64>, longest: SignedDuration) -> SignedDuration {
    asked.map_or(longest, |seconds| SignedDuration::from_secs(seconds).max(SHORTEST).min(longest))
}

/// Signs a request that [`Signer::check`] took.
///
/// # Errors
/// When it asks for what cannot be put into a certificate here, or the authority is damaged.
pub fn sign(
    authority: &Pair,
    request: &Request,
    usages: &[&str],
    life: SignedDuration,
    now: Timestamp,
) -> Result<String, CertificateError> {
    let refuse = |why: &str| CertificateError::Certificate(why.to_owned());
    // rcgen's names hold one value of each attribute; leaving out a group would change who the holder is.
    if request.organizations.len() > 1 {
        return Err(refuse("more than one organization is not supported"));
    }
    if request.others > 0 || request.emails > 0 || request.uris > 0 {
        return Err(refuse("only common name, organization, DNS names and IP addresses are supported"));
    }
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name = DistinguishedName::new();
    for group in &request.organizations {
        params.distinguished_name.push(DnType::OrganizationName, group.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, request.common_name.as_str());
    for name in &request.dns {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.as_str().try_into().map_err(CertificateError::Sign)?));
    }
    params.subject_alt_names.extend(request.addresses.iter().map(|address| SanType::IpAddress(*address)));
    for usage in usages {
        match *usage {
            "digital signature" => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
            "key encipherment" => params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
            "client auth" => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
            "server auth" => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
            other => return Err(refuse(&format!("the usage {other:?} is not supported"))),
        }
    }
    let key = SubjectPublicKeyInfo::from_der(&request.key).map_err(CertificateError::Key)?;
    ca::sign(params, &key, authority, now, life)
}

#[cfg(test)]
mod tests;
