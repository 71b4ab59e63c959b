use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::ca::{self, Profile};
use super::super::token::SigningKey;
use super::*;

struct Objects;

impl Lookup for Objects {
    fn live(&self, _: Bound, _: &str, name: &str) -> Option<Live> {
        Some(Live { uid: format!("u-{name}"), deletion: None })
    }

    fn bootstrap_secret(&self, name: &str) -> Option<Value> {
        let data = json!({
            "token-id": STANDARD.encode("abcdef"), "token-secret": STANDARD.encode("0123456789abcdef"),
            "usage-bootstrap-authentication": STANDARD.encode("true"),
        });
        let secret = json!({"type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": data});
        (name == "bootstrap-token-abcdef").then_some(secret)
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn pair(profile: &Profile<'_>, issuer: Option<&ca::Pair>) -> ca::Pair {
    let key = ca::new_key().unwrap();
    ca::Pair { certificate: ca::issue(profile, &key, issuer, now()).unwrap(), key }
}

fn der(pair: &ca::Pair) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pair.certificate.as_bytes()).unwrap().1.contents
}

#[test]
fn the_first_good_credential_decides() {
    let authority = pair(&Profile::Authority { name: "ca" }, None);
    let other = pair(&Profile::Authority { name: "ca" }, None);
    let jane = |ca| vec![der(&pair(&Profile::Client { user: "jane", group: Some("dev") }, Some(ca)))];
    let (good, bad) = (jane(&authority), jane(&other));
    let server =
        vec![der(&pair(&Profile::Server { names: &["a".into()], addresses: &[] }, Some(&authority)))];
    let key = SigningKey::from_pem(&ca::new_key().unwrap()).unwrap();
    let authenticator = Authenticator {
        clients: tls::Authorities::new(&authority.certificate).unwrap(),
        tokens: Verifier {
            issuers: vec!["https://i".into()],
            keys: vec![key.public().clone()],
            audiences: vec!["api".into()],
        },
        anonymous: true,
    };
    let bootstrap = "Bearer abcdef.0123456789abcdef";
    for (certificates, authorization, expected) in [
        (&[][..], None, Ok("system:anonymous [\"system:unauthenticated\"]")),
        (&good, None, Ok("jane [\"dev\", \"system:authenticated\"]")),
        (&good, Some("Bearer zz"), Ok("jane [\"dev\", \"system:authenticated\"]")),
        (&bad, None, Err("verifying certificate")),
        (&server, None, Err("verifying certificate")),
        (
            &bad,
            Some(bootstrap),
            Ok("system:bootstrap:abcdef [\"system:bootstrappers\", \"system:authenticated\"]"),
        ),
        (
            &[],
            Some(bootstrap),
            Ok("system:bootstrap:abcdef [\"system:bootstrappers\", \"system:authenticated\"]"),
        ),
        (
            &[],
            Some("bearer abcdef.0123456789abcdef x"),
            Ok("system:bootstrap:abcdef [\"system:bootstrappers\", \"system:authenticated\"]"),
        ),
        (&[], Some("Bearer abcdef.0123456789abcdeg"), Err("invalid bearer token")),
        (&[], Some("Bearer zz"), Err("invalid bearer token")),
        (&[], Some("Basic zz"), Ok("system:anonymous [\"system:unauthenticated\"]")),
        (&[], Some("Bearer  "), Ok("system:anonymous [\"system:unauthenticated\"]")),
    ] {
        let presented = Presented { certificates, authorization };
        let found = authenticator.authenticate(&presented, &Objects, now());
        let found = found.map(|user| format!("{} {:?}", user.name, user.groups));
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{authorization:?}"),
            Err(why) => {
                assert!(found.clone().is_err_and(|e| e.0.starts_with(why)), "{authorization:?} {found:?}")
            }
        }
    }
    let closed = Authenticator { anonymous: false, ..authenticator };
    assert!(closed.authenticate(&Presented::default(), &Objects, now()).is_err());
    let wanted = ["other".to_owned()];
    assert!(closed.token("abcdef.0123456789abcdef", &wanted, &Objects, now()).is_err(), "for us alone");
}
