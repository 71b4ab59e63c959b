use rcgen::KeyPair;

use super::super::ca::Profile;
use super::super::{certificate, tls};
use super::*;

fn request(name: &str, organizations: &[&str], dns: &[&str]) -> Request {
    let organizations = organizations.iter().map(|one| (*one).to_owned()).collect();
    let dns = dns.iter().map(|one| (*one).to_owned()).collect();
    Request { common_name: name.to_owned(), organizations, dns, ..Request::default() }
}

#[test]
fn each_signer_signs_what_it_is_for() {
    let client = ["digital signature", "key encipherment", "client auth"];
    let server = ["digital signature", "server auth"];
    let node = request("system:node:n", &["system:nodes"], &[]);
    let serving = request("system:node:n", &["system:nodes"], &["n"]);
    let with = |change: fn(&mut Request)| {
        let mut request = serving.clone();
        change(&mut request);
        request
    };
    use Signer::{Client, KubeletClient, KubeletServing};
    for (signer, request, usages, refusal) in [
        (Client, &request("jane", &["dev"], &[]), &client[..], ""),
        (Client, &serving, &client[2..], ""),
        (Client, &node, &client[..2], "missing required usage for client certificate: client auth"),
        (Client, &node, &server, "invalid usage for client certificate: server auth"),
        (KubeletClient, &node, &client, ""),
        (KubeletClient, &node, &["client auth", "digital signature"], ""),
        (
            KubeletClient,
            &node,
            &client[2..],
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            KubeletClient,
            &node,
            &server,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (KubeletClient, &serving, &client, "DNS subjectAltNames are not allowed"),
        (
            KubeletClient,
            &request("n", &["system:nodes"], &[]),
            &client,
            "subject common name does not begin with system:node:",
        ),
        (
            KubeletClient,
            &request("system:node:n", &["system:nodes", "x"], &[]),
            &client,
            "subject organization is not system:nodes",
        ),
        (KubeletServing, &serving, &server, ""),
        (KubeletServing, &with(|r| (r.dns.clear(), r.addresses.push("::1".parse().unwrap())).1), &server, ""),
        (KubeletServing, &node, &server, "DNS or IP subjectAltName is required"),
        (
            KubeletServing,
            &serving,
            &client,
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (KubeletServing, &with(|r| r.emails = 1), &server, "Email subjectAltNames are not allowed"),
        (KubeletServing, &with(|r| r.uris = 1), &server, "URI subjectAltNames are not allowed"),
        (
            KubeletServing,
            &with(|r| r.organizations.clear()),
            &server,
            "subject organization is not system:nodes",
        ),
    ] {
        assert_eq!(
            signer.check(request, usages).err().unwrap_or_default(),
            refusal,
            "{signer:?} {request:?}"
        );
    }
    assert_eq!(Signer::named("kubernetes.io/kubelet-serving"), Some(KubeletServing));
    assert_eq!(Signer::named("kubernetes.io/legacy-unknown"), None);
}

#[test]
fn a_life_is_what_is_asked_for_within_bounds() {
    let year = SignedDuration::from_hours(365 * 24);
    for (asked, seconds) in
        [(None, 31_536_000), (Some(3600), 3600), (Some(1), 600), (Some(i64::MAX), 31_536_000)]
    {
        assert_eq!(lifetime(asked, year).as_secs(), seconds);
    }
}

#[test]
fn a_signed_request_is_a_certificate_of_the_authority_for_its_key() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let key = ca::new_key().unwrap();
    let profile = Profile::Authority { name: "ca" };
    let authority = Pair { certificate: ca::issue(&profile, &key, None, now).unwrap(), key };
    let mut params = CertificateParams::new(["n".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "jane");
    params.distinguished_name.push(DnType::OrganizationName, "dev");
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let request = Request::from_pem(pem.as_bytes()).unwrap();
    assert_eq!((&request.common_name[..], &request.organizations[..]), ("jane", &["dev".to_owned()][..]));
    assert_eq!(
        (&request.dns[..], &request.addresses[..]),
        (&["n".to_owned()][..], &["10.0.0.1".parse().unwrap()][..])
    );
    let signed = sign(&authority, &request, &["digital signature", "client auth"], SHORTEST, now).unwrap();
    let der = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap().1.contents;
    let authorities = tls::Authorities::new(&authority.certificate).unwrap();
    assert_eq!(authorities.verify(std::slice::from_ref(&der), now), Ok(()));
    let after = Timestamp::from_second(now.as_second() + 601).unwrap();
    assert!(authorities.verify(std::slice::from_ref(&der), after).is_err());
    assert_eq!(certificate::user(&der).unwrap().unwrap().groups, ["dev"]);

    let two = Request { organizations: vec!["a".into(), "b".into()], ..request };
    assert!(
        sign(&authority, &two, &["client auth"], SHORTEST, now).is_err(),
        "no group is left out in silence"
    );
}

#[test]
fn what_is_no_request_or_is_not_signed_by_its_key_is_refused() {
    let pem = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let mut der = pem.der().to_vec();
    assert!(Request::from_pem(b"nothing").is_err());
    *der.last_mut().unwrap() ^= 1;
    let forged = ::base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{forged}\n-----END CERTIFICATE REQUEST-----\n");
    assert!(Request::from_pem(forged.as_bytes()).unwrap_err().contains("signature"));
}
