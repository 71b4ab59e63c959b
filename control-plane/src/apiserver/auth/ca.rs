//! Certificates of our own authorities: what is in them, and whether one that was found is still good.
//!
//! A key is made once and kept; a certificate is made anew, for the same key, when two thirds of its life are over
//! or when what it must say has changed. An authority that is made anew keeps name and key, so what it signed stays
//! good, and so do clients that know its earlier certificate until that ends.

use std::net::IpAddr;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// What the clocks of machines may differ by.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// `-----BEGIN CERTIFICATE-----`
    pub certificate: String,
    /// `-----BEGIN PRIVATE KEY-----`
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum Profile<'a> {
    /// It signs others. Lives ten years.
    Authority {
        /// Its common name.
        name: &'a str,
    },
    /// A server shows it. Lives a year, as clients' do.
    Server {
        /// The names that it is called by; the first is its common name.
        names: &'a [String],
        /// The addresses that it is called at.
        addresses: &'a [IpAddr],
    },
    /// A client shows it.
    Client {
        /// Who.
        user: &'a str,
        /// The one group, if any.
        group: Option<&'a str>,
    },
}

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no certificate.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// It is no private key that is supported.
    #[error("the private key cannot be read: {0}")]
    Key(rcgen::Error),
    /// They do not belong together.
    #[error("the private key is not that of the certificate")]
    Mismatch,
    /// It could not be signed.
    #[error("a certificate cannot be signed: {0}")]
    Sign(rcgen::Error),
    /// The machine gives no random numbers.
    #[error("no random numbers")]
    Random,
}

/// What is to be done about a certificate that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is good for longer.
    Good,
    /// It must be made anew, and why.
    Renew(&'static str),
}

/// Makes a key, PKCS#8 in PEM, on P-256.
///
/// # Errors
/// When the machine gives no random numbers.
pub fn new_key() -> Result<String, CertificateError> {
    KeyPair::generate().map(|key| key.serialize_pem()).map_err(|_| CertificateError::Random)
}

/// Makes a certificate for a key, signed by `issuer` or, for an authority, by itself.
///
/// # Errors
/// When a key or the issuer cannot be read.
pub fn issue(
    profile: &Profile<'_>,
    key: &str,
    issuer: Option<&Pair>,
    now: Timestamp,
) -> Result<String, CertificateError> {
    let key = KeyPair::from_pem(key).map_err(CertificateError::Key)?;
    let mut params = params(profile)?;
    let Some(issuer) = issuer else {
        set_life(&mut params, now, profile.life(), None)?;
        return params.self_signed(&key).map(|made| made.pem()).map_err(CertificateError::Sign);
    };
    sign(params, &key, issuer, now, profile.life())
}

/// Signs what `params` say with an authority's key; it ends no later than the authority.
pub(super) fn sign(
    mut params: CertificateParams,
    key: &impl PublicKeyData,
    issuer: &Pair,
    now: Timestamp,
    life: SignedDuration,
) -> Result<String, CertificateError> {
    let block = pem(&issuer.certificate)?;
    let end = parsed(&block)?.validity().not_after.timestamp();
    set_life(&mut params, now, life, Some(end))?;
    params.use_authority_key_identifier_extension = true;
    let signing = KeyPair::from_pem(&issuer.key).map_err(CertificateError::Key)?;
    let issuer = Issuer::from_ca_cert_pem(&issuer.certificate, signing).map_err(CertificateError::Sign)?;
    params.signed_by(key, &issuer).map(|made| made.pem()).map_err(CertificateError::Sign)
}

impl Profile<'_> {
    fn life(&self) -> SignedDuration {
        match self {
            Self::Authority { .. } => DAY * 3650,
            Self::Server { .. } | Self::Client { .. } => DAY * 365,
        }
    }

    fn subject(&self) -> (&str, Option<&str>) {
        match self {
            Self::Authority { name } => (name, None),
            Self::Server { names, .. } => (names.first().map_or("kube-apiserver", |name| name), None),
            Self::Client { user, group } => (user, *group),
        }
    }
}

fn params(profile: &Profile<'_>) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    let (name, group) = profile.subject();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    match profile {
        Profile::Authority { .. } => {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
            ];
        }
        Profile::Server { names, addresses } => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for name in *names {
                let name = name.as_str().try_into().map_err(CertificateError::Sign)?;
                params.subject_alt_names.push(SanType::DnsName(name));
            }
            params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        }
        Profile::Client { .. } => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    Ok(params)
}

/// Sets when a certificate is good, and its number: a certificate that is made anew for a key is another one.
fn set_life(
    params: &mut CertificateParams,
    now: Timestamp,
    life: SignedDuration,
    latest: Option<i64>,
) -> Result<(), CertificateError> {
    let mut number = [0_u8; 16];
    SystemRandom::new().fill(&mut number).map_err(|_| CertificateError::Random)?;
    number[0] = number[0] & 0x7f | 0x40; // positive, and always of one length
    params.serial_number = Some(SerialNumber::from_slice(&number));
    let end = now.as_second() + life.as_secs();
    let end = latest.map_or(end, |latest| end.min(latest));
    let at = |second| Timestamp::from_second(second).map(SystemTime::from);
    let wrong = |_| CertificateError::Certificate("its end is out of range".to_owned());
    params.not_before = at(now.as_second() - BACKDATED.as_secs()).map_err(wrong)?.into();
    params.not_after = at(end).map_err(wrong)?.into();
    Ok(())
}

fn pem(text: &str) -> Result<Pem, CertificateError> {
    match x509_parser::pem::parse_x509_pem(text.as_bytes()) {
        Ok((_, block)) if block.label == "CERTIFICATE" => Ok(block),
        Ok((_, block)) => Err(CertificateError::Certificate(format!("it is a {}", block.label))),
        Err(error) => Err(CertificateError::Certificate(error.to_string())),
    }
}

fn parsed(block: &Pem) -> Result<X509Certificate<'_>, CertificateError> {
    block.parse_x509().map_err(|error| CertificateError::Certificate(error.to_string()))
}

/// Is a pair that was found good for what it is meant for?
///
/// # Errors
/// When it cannot be read, or key and certificate do not belong together.
pub fn examine(
    pair: &Pair,
    profile: &Profile<'_>,
    issuer: Option<&Pair>,
    now: Timestamp,
) -> Result<Standing, CertificateError> {
    let block = pem(&pair.certificate)?;
    let found = parsed(&block)?;
    let key = KeyPair::from_pem(&pair.key).map_err(CertificateError::Key)?;
    if found.public_key().raw != key.subject_public_key_info() {
        return Err(CertificateError::Mismatch);
    }
    let authority = issuer.map(|issuer| pem(&issuer.certificate)).transpose()?;
    let authority = authority.as_ref().map(parsed).transpose()?;
    let signer = authority.as_ref().map(|authority| authority.public_key());
    if found.verify_signature(signer).is_err() {
        return Ok(Standing::Renew("another authority signed it"));
    }
    let text = |name: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        name.and_then(|name| name.as_str().ok().map(ToOwned::to_owned))
    };
    let subject = found.subject();
    let named = (text(subject.iter_common_name().next()), text(subject.iter_organization().next()));
    let (name, group) = profile.subject();
    if named != (Some(name.to_owned()), group.map(ToOwned::to_owned))
        || found.is_ca() != profile.is_authority()
    {
        return Ok(Standing::Renew("it is for somebody else"));
    }
    if let Profile::Server { names, addresses } = profile
        && !answers_to(&found, names, addresses)
    {
        return Ok(Standing::Renew("it lacks a name or an address of the server"));
    }
    let (from, until) = (found.validity().not_before.timestamp(), found.validity().not_after.timestamp());
    // A clock that was set back makes it young again; that is not for us to judge.
    if now.as_second() - from >= (until - from) / 3 * 2 {
        return Ok(Standing::Renew("two thirds of its life are over"));
    }
    Ok(Standing::Good)
}

impl Profile<'_> {
    fn is_authority(&self) -> bool {
        matches!(self, Self::Authority { .. })
    }
}

fn answers_to(found: &X509Certificate<'_>, names: &[String], addresses: &[IpAddr]) -> bool {
    let Ok(Some(alternatives)) = found.subject_alternative_name() else { return false };
    let alternatives = &alternatives.value.general_names;
    let octets = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    names
        .iter()
        .all(|name| alternatives.iter().any(|one| matches!(one, GeneralName::DNSName(dns) if dns == name)))
        && addresses.iter().all(|address| {
            let octets = octets(address);
            alternatives.iter().any(|one| matches!(one, GeneralName::IPAddress(ip) if *ip == octets))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
    }

    fn pair(profile: &Profile<'_>, issuer: Option<&Pair>) -> Pair {
        let key = new_key().unwrap();
        Pair { certificate: issue(profile, &key, issuer, at(0)).unwrap(), key }
    }

    const AUTHORITY: Profile<'static> = Profile::Authority { name: "ca" };
    const ADMIN: Profile<'static> = Profile::Client { user: "admin", group: Some("system:masters") };

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let ca = pair(&AUTHORITY, None);
        let admin = pair(&ADMIN, Some(&ca));
        let over = Standing::Renew("two thirds of its life are over");
        for (days, standing) in
            [(0, Standing::Good), (243, Standing::Good), (244, over.clone()), (400, over.clone())]
        {
            assert_eq!(examine(&admin, &ADMIN, Some(&ca), at(days)).unwrap(), standing, "{days}");
        }
        for (days, standing) in [(2432, Standing::Good), (2434, over)] {
            assert_eq!(examine(&ca, &AUTHORITY, None, at(days)).unwrap(), standing, "{days}");
        }
    }

    #[test]
    fn a_certificate_is_renewed_when_it_says_something_else() {
        let ca = pair(&AUTHORITY, None);
        let admin = pair(&ADMIN, Some(&ca));
        let other = Standing::Renew("it is for somebody else");
        let jane = Profile::Client { user: "jane", group: None };
        assert_eq!(examine(&admin, &jane, Some(&ca), at(0)).unwrap(), other);
        assert_eq!(examine(&admin, &Profile::Authority { name: "admin" }, Some(&ca), at(0)).unwrap(), other);
        let stranger = pair(&AUTHORITY, None);
        let foreign = Standing::Renew("another authority signed it");
        assert_eq!(examine(&admin, &ADMIN, Some(&stranger), at(0)).unwrap(), foreign);

        let (names, addresses) =
            (["a".to_owned(), "b.c".to_owned()], ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        let server = Profile::Server { names: &names, addresses: &addresses };
        let serving = pair(&server, Some(&ca));
        assert_eq!(examine(&serving, &server, Some(&ca), at(0)).unwrap(), Standing::Good);
        let fewer = Profile::Server { names: &names[..1], addresses: &addresses[..1] };
        assert_eq!(examine(&serving, &fewer, Some(&ca), at(0)).unwrap(), Standing::Good);
        let lacks = Standing::Renew("it lacks a name or an address of the server");
        let more = Profile::Server { names: &names, addresses: &["10.0.0.2".parse().unwrap()] };
        assert_eq!(examine(&serving, &more, Some(&ca), at(0)).unwrap(), lacks);
        let more = Profile::Server { names: &["a".into(), "x".into()], addresses: &[] };
        assert_eq!(examine(&serving, &more, Some(&ca), at(0)).unwrap(), lacks);
    }

    #[test]
    fn what_does_not_belong_together_is_told_apart_from_what_cannot_be_read() {
        let ca = pair(&AUTHORITY, None);
        let mixed = Pair { key: new_key().unwrap(), ..ca.clone() };
        assert!(matches!(examine(&mixed, &AUTHORITY, None, at(0)), Err(CertificateError::Mismatch)));
        let no_key = Pair { key: "x".into(), ..ca.clone() };
        assert!(matches!(examine(&no_key, &AUTHORITY, None, at(0)), Err(CertificateError::Key(_))));
        let no_certificate = Pair { certificate: ca.key.clone(), ..ca };
        assert!(matches!(
            examine(&no_certificate, &AUTHORITY, None, at(0)),
            Err(CertificateError::Certificate(_))
        ));
    }

    #[test]
    fn what_an_authority_signed_stays_good_when_it_is_made_anew_and_ends_with_it() {
        let ca = pair(&AUTHORITY, None);
        let admin = pair(&ADMIN, Some(&ca));
        let anew = Pair { certificate: issue(&AUTHORITY, &ca.key, None, at(2500)).unwrap(), ..ca.clone() };
        assert_ne!(anew.certificate, ca.certificate);
        assert_eq!(examine(&admin, &ADMIN, Some(&anew), at(1)).unwrap(), Standing::Good);
        let late = issue(&ADMIN, &admin.key, Some(&ca), at(3640)).unwrap();
        let block = pem(&late).unwrap();
        let end = parsed(&block).unwrap().validity().not_after.timestamp();
        assert_eq!(end, at(3650).as_second());
    }
}
