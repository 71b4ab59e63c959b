//! Who a client certificate says its holder is: the common name is the user, the organisations are the groups.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

use super::{CREDENTIAL_ID, User};

/// A subject's attribute that carries a user's uid; the number is registered to Kubernetes.
const UID: &str = "1.3.6.1.4.1.57683.2";

/// Reads who the certificate (in DER) is for; `None` when it has no common name. Whether it was signed by anybody
/// that is trusted is another question.
///
/// # Errors
/// What is wrong with the certificate.
pub fn user(der: &[u8]) -> Result<Option<User>, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
    let subject = certificate.subject();
    // Go keeps the last of several common names.
    let Some(name) = subject.iter_common_name().last() else { return Ok(None) };
    let name = text(name)?;
    if name.is_empty() {
        return Ok(None);
    }
    let groups = subject.iter_organization().map(text).collect::<Result<_, _>>()?;
    let uids = subject.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == UID);
    let uids = uids.map(text).collect::<Result<Vec<_>, _>>()?;
    let uid = match &uids[..] {
        [] => String::new(),
        [uid] if uid.is_empty() => return Err("UID cannot be an empty string".to_owned()),
        [uid] => uid.clone(),
        more => return Err(format!("expected 1 UID, but found multiple: {more:?}")),
    };
    let id = format!("X509SHA256={}", hex::encode(digest(&SHA256, der)));
    let extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![id])]);
    Ok(Some(User { name, uid, groups, extra }))
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> Result<String, String> {
    let name = attribute.attr_type().to_id_string();
    attribute
        .as_str()
        .map(ToOwned::to_owned)
        .map_err(|_| format!("attribute {name} of the subject is no text"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(subject: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_subject_says_who() {
        let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
        let der = certificate(&[
            (DnType::CommonName, "jane"),
            (DnType::OrganizationName, "dev"),
            (uid.clone(), "7"),
        ]);
        let jane = user(&der).unwrap().unwrap();
        assert_eq!((&jane.name[..], &jane.uid[..], &jane.groups[..]), ("jane", "7", &["dev".to_owned()][..]));
        let id = &jane.extra[CREDENTIAL_ID][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
        assert_eq!(user(&certificate(&[(DnType::OrganizationName, "dev")])), Ok(None));
        assert!(user(&certificate(&[(DnType::CommonName, "jane"), (uid, "")])).is_err());
        assert!(user(b"nothing").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0_usize..2_000, to in any::<u8>(), cut in 0_usize..2_000) {
            let mut der = certificate(&[(DnType::CommonName, "jane"), (DnType::OrganizationName, "dev")]);
            let length = der.len();
            der[at % length] = to;
            der.truncate(cut.max(1));
            let _ = user(&der);
        }
    }
}
