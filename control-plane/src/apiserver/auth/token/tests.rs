use proptest::prelude::*;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::*;
use crate::apiserver::auth::Status;

const URL: &str = "https://kubernetes.default.svc";
/// An RSA key of openssl, and a token without times that it signed.
const RSA: &str = "\
    -----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0XohfPdVe9rQTGx6aGi5\n\
    7Z151kljLbKolQNmYMWGZc8eNmjdbtBG3wosXHLwVJ6AI5XoWyIzKHr2fJdxtssJ\n\
    +Ze3/t1n4Iwm5aeWqU7oprR+gpIRoeVp89hhRFs1OjJepJUdWQ24EI7JsOIAUdgJ\n\
    VneOGoaoseofgbXfFS6E7IdvT8p4V75+py47kUeLFQJTbZKbpm4WYFHU1SXkKcBR\n\
    q4L+3B8Nl6651XiNHyldCL+M8BWxHeeTQWHkiMZIteLb9UE1EeoXqWPCmt2W1oan\n\
    z9sr2saggqQv0DYEq4UD/zOfTJYhSpV5QOKvfZNJymOABrIhNQ2lewGXoZYbiegZ\n\
    twIDAQAB\n\
    -----END PUBLIC KEY-----\n\
";
const RSA_TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMiLCJhdWQiOiJhcGkiL\
    CJrdWJlcm5ldGVzLmlvIjp7Im5hbWVzcGFjZSI6Im5zIiwic2VydmljZWFjY291bnQiOnsibmFtZSI6InNhIiwidWl\
    kIjoidS1zYSJ9fX0.wWmc2Y0nIjtvC-1UHWxjsBYjY_BcVX6r-qeEe3KQuIPzqAs3P3KTYF6hQCDqZaeSeAEIsYcU2\
    U9IOjqQVV10nuh-43lpzDo5NedDSOZwQDJYPwYxRlCg9r-JNCeNaB77KKzdZtobIOCAteRTIPk3YBaAiQAQfTR8Tv-\
    VmRRBJaDmAo1ZSKsFKZXdiNvF4J_ezYpv7wVi7PU80xcYSL7dra6F-lNn-ccdPu1PHl10-T2ru1vRhnRGN6wObXb4o\
    6ILM4pyc6LMSCRPWa0WgZCeKHKUg_bS95RZtuAbO9H2ppwrsPCTrl4l3Cqwa-u5oALycMhgXhfQ_9sUI53WQRtUgA\
";

fn issuer() -> Issuer {
    let key = SigningKey::from_pem(&KeyPair::generate().unwrap().serialize_pem()).unwrap();
    Issuer { url: URL.into(), audiences: vec!["api".into()], longest: None, extend: true, key }
}

fn verifier(issuer: &Issuer) -> Verifier {
    let keys = vec![issuer.key.public().clone()];
    Verifier { issuers: vec![URL.into()], keys, audiences: vec!["api".into()] }
}

fn account() -> Value {
    json!({"metadata": {"name": "sa", "namespace": "ns", "uid": "u-sa"}})
}

fn object(name: &str) -> Value {
    json!({"metadata": {"name": name, "uid": format!("u-{name}")},
           "spec": {"serviceAccountName": "sa", "nodeName": "n"}})
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

/// Everything is there, under a uid made of its name.
fn all(_: Bound, _: &str, name: &str) -> Option<Live> {
    Some(Live { uid: format!("u-{name}"), deletion: None })
}

fn issue(issuer: &Issuer, spec: Value, bound: Option<&Value>) -> Result<(Value, Vec<String>), Status> {
    issuer.issue(&json!({"spec": spec}), &account(), bound, Some(&object("n")), "id", now())
}

fn token(issuer: &Issuer, spec: Value, bound: Option<&Value>) -> String {
    issue(issuer, spec, bound).unwrap().0["status"]["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_stands_for_its_account() {
    let issuer = issuer();
    let verified =
        verifier(&issuer).verify(&token(&issuer, json!({}), None), &[], all, now()).unwrap().unwrap();
    assert_eq!(verified.audiences, ["api"]);
    assert_eq!(verified.user.name, "system:serviceaccount:ns:sa");
    assert_eq!(verified.user.uid, "u-sa");
    assert_eq!(verified.user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
    assert_eq!(verified.user.extra, [(CREDENTIAL_ID.to_owned(), vec!["JTI=id".to_owned()])].into());
}

#[test]
fn a_pods_token_tells_pod_and_node() {
    let issuer = issuer();
    let spec = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}});
    let token = token(&issuer, spec, Some(&object("p")));
    // The node may be gone or another one: the token is bound to the pod.
    let find = |kind, namespace: &str, name: &str| all(kind, namespace, name).filter(|_| kind != Bound::Node);
    let user = verifier(&issuer).verify(&token, &[], find, now()).unwrap().unwrap().user;
    let told: Vec<_> =
        [POD_NAME, POD_UID, NODE_NAME, NODE_UID].iter().map(|key| &user.extra[*key][0][..]).collect();
    assert_eq!(told, ["p", "u-p", "n", "u-n"]);
}

#[test]
fn time_audience_issuer_and_signature_are_checked() {
    let issuer = issuer();
    let verifier = verifier(&issuer);
    let good = token(&issuer, json!({"expirationSeconds": 600}), None);
    let wanted = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let verdict =
        |token: &str, audiences: &[&str], at| match verifier.verify(token, &wanted(audiences), all, at) {
            Ok(Some(_)) => "good".to_owned(),
            Ok(None) => "not ours".to_owned(),
            Err(why) => why,
        };
    for (audiences, at, expected) in [
        (&[][..], now(), "good"),
        (&["other", "api"], now(), "good"),
        (&["other"], now(), r#"token audiences ["api"] is invalid for the target audiences ["other"]"#),
        (&[], after(660), "good"),
        (&[], after(661), "service account token has expired"),
        (&[], after(-60), "good"),
        (&[], after(-61), "service account token is not valid yet"),
    ] {
        assert_eq!(verdict(&good, audiences, at), expected);
    }
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let encoded = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let changed = encoded(json!({"iss": URL, "aud": ["api"], "kubernetes.io": {"namespace": "kube-system"}}));
    assert_eq!(verdict(&format!("{header}.{changed}.{signature}"), &[], now()), "invalid signature");
    for alg in ["none", "HS256", "RS256", "ES384"] {
        let header = encoded(json!({"alg": alg}));
        assert_eq!(verdict(&format!("{header}.{claims}.{signature}"), &[], now()), "invalid signature");
        assert_eq!(verdict(&format!("{header}.{claims}."), &[], now()), "invalid signature");
    }
    let header = encoded(json!({"alg": "ES256", "kid": "another"}));
    assert_eq!(
        verdict(&format!("{header}.{claims}.{signature}"), &[], now()),
        "invalid signature, no keys found"
    );
    let header = encoded(json!({"alg": "ES256", "crit": ["b64"]}));
    assert!(verdict(&format!("{header}.{claims}.{signature}"), &[], now()).contains("extensions"));
    let foreign = Issuer { url: "https://other".into(), ..self::issuer() };
    assert_eq!(verdict(&token(&foreign, json!({}), None), &[], now()), "not ours");
    let forged = self::issuer();
    assert_eq!(verdict(&token(&forged, json!({}), None), &[], now()), "invalid signature, no keys found");
}

#[test]
fn a_token_ends_with_what_it_is_bound_to() {
    let issuer = issuer();
    let verifier = verifier(&issuer);
    let bound = |kind: &str| {
        let spec = json!({"boundObjectRef": {"kind": kind, "name": "o"}});
        token(&issuer, spec, Some(&object("o")))
    };
    let gone = "service account token has been invalidated";
    for (kind, what, noun) in
        [("Pod", Bound::Pod, "pod"), ("Secret", Bound::Secret, "secret"), ("Node", Bound::Node, "node")]
    {
        let token = bound(kind);
        let verdict = |live: Option<Live>| {
            let find =
                |kind, ns: &str, name: &str| if kind == what { live.clone() } else { all(kind, ns, name) };
            verifier.verify(&token, &[], find, now()).map(|verified| verified.is_some())
        };
        let live = |uid: &str, deletion| Some(Live { uid: uid.to_owned(), deletion });
        assert_eq!(verdict(live("u-o", None)), Ok(true));
        assert_eq!(verdict(live("u-o", Some(after(-60)))), Ok(true), "it may still say good-bye");
        assert_eq!(verdict(live("u-o", Some(after(-61)))), Err(gone.to_owned()));
        assert_eq!(verdict(None), Err(gone.to_owned()));
        let other = format!("{noun} UID (x) does not match service account {noun} ref claim (u-o)");
        assert_eq!(verdict(live("x", None)), Err(other));
    }
    let token = token(&issuer, json!({}), None);
    for (live, why) in [
        (None, "serviceaccounts \"sa\" not found"),
        (
            Some(Live { uid: "x".into(), deletion: None }),
            "service account UID (x) does not match claim (u-sa)",
        ),
        (
            Some(Live { uid: "u-sa".into(), deletion: Some(after(-61)) }),
            "service account ns/sa has been deleted",
        ),
    ] {
        assert_eq!(verifier.verify(&token, &[], |_, _, _| live.clone(), now()).unwrap_err(), why);
    }
}

#[test]
fn a_request_is_defaulted_bounded_and_answered() {
    let issuer = Issuer { longest: Some(7200), ..issuer() };
    let (answer, warnings) = issue(&issuer, json!({"audiences": ["x"]}), None).unwrap();
    assert_eq!(
        answer["spec"],
        json!({"audiences": ["x"], "expirationSeconds": 3600, "boundObjectRef": null})
    );
    assert_eq!(answer["status"]["expirationTimestamp"], "2027-01-15T09:00:00Z");
    assert!(warnings.is_empty());
    let (answer, warnings) = issue(&issuer, json!({"expirationSeconds": 7201}), None).unwrap();
    assert_eq!(answer["spec"]["expirationSeconds"], 7200);
    assert_eq!(warnings, ["requested expiration of 7201 seconds shortened to 7200 seconds"]);
    for (seconds, why) in [(599, "less than 10 minutes"), ((1_i64 << 32) + 1, "larger than 2^32 seconds")] {
        let refusal = issue(&issuer, json!({"expirationSeconds": seconds}), None).unwrap_err();
        assert!(refusal.code == 422 && refusal.message.contains(why), "{refusal}");
    }
    for seconds in [600, 1_i64 << 32] {
        assert!(issue(&issuer, json!({"expirationSeconds": seconds}), None).is_ok());
    }
}

#[test]
fn a_pod_that_did_not_ask_gets_a_year_and_a_warning() {
    let issuer = issuer();
    let claims = |spec: Value, pod: bool| {
        let mut spec = spec;
        if pod {
            spec["boundObjectRef"] = json!({"kind": "Pod", "name": "p"});
        }
        let token = token(&issuer, spec, pod.then(|| object("p")).as_ref());
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        (claims["exp"].as_i64().unwrap() - now().as_second(), claims["kubernetes.io"]["warnafter"].as_i64())
    };
    let asked = json!({"expirationSeconds": 3607});
    assert_eq!(claims(asked.clone(), true), (31_536_000, Some(now().as_second() + 3607)));
    assert_eq!(claims(asked.clone(), false), (3607, None));
    assert_eq!(claims(json!({"expirationSeconds": 3607, "audiences": ["x"]}), true), (3607, None));
    assert_eq!(claims(json!({"expirationSeconds": 3600}), true), (3600, None));
}

#[test]
fn a_request_must_be_about_its_account_and_its_object() {
    let issuer = issuer();
    let ask = |request: Value, bound: Option<Value>| {
        issuer
            .issue(&request, &account(), bound.as_ref(), None, "id", now())
            .map_err(|refusal| refusal.code.as_u16())
            .err()
    };
    let pod = |uid: &str| json!({"spec": {"boundObjectRef": {"kind": "Pod", "name": "p", "uid": uid}}});
    let mut other = object("p");
    other["spec"]["serviceAccountName"] = json!("x");
    for (request, bound, code) in [
        (json!({"metadata": {"name": "sa", "namespace": "ns", "uid": "u-sa"}}), None, None),
        (json!({"metadata": {"name": "x"}}), None, Some(422)),
        (json!({"metadata": {"namespace": "x"}}), None, Some(422)),
        (json!({"metadata": {"uid": "x"}}), None, Some(409)),
        (pod("u-p"), Some(object("p")), None),
        (pod("x"), Some(object("p")), Some(409)),
        (pod(""), None, Some(404)),
        (pod(""), Some(other), Some(400)),
        (json!({"spec": {"boundObjectRef": {"kind": "ConfigMap", "name": "c"}}}), None, Some(400)),
        (
            json!({"spec": {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Pod", "name": "c"}}}),
            None,
            Some(400),
        ),
    ] {
        assert_eq!(ask(request.clone(), bound), code, "{request}");
    }
}

#[test]
fn keys_of_others_verify_and_are_published() {
    let rsa = PublicKey::from_pem(RSA).unwrap();
    assert_eq!(jwks(std::slice::from_ref(&rsa))["keys"][0]["e"], "AQAB");
    let verifier = Verifier { issuers: vec![URL.into()], keys: vec![rsa], audiences: vec!["api".into()] };
    assert!(verifier.verify(RSA_TOKEN, &[], all, now()).unwrap().is_some());
    let issuer = issuer();
    let key = issuer.key.public().clone();
    let published = jwks(std::slice::from_ref(&key));
    assert_eq!(published["keys"][0]["kid"], key.id());
    assert_eq!((&published["keys"][0]["kty"], &published["keys"][0]["crv"]), (&json!("EC"), &json!("P-256")));
    assert_eq!(published["keys"][0]["x"].as_str().unwrap().len(), 43);
    let document = discovery(URL, "https://h/openid/v1/jwks", &[key.clone(), key]);
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert!(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
    assert!(SigningKey::from_pem("nothing").is_err());
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "\\PC{0,200}") {
        let issuer = issuer();
        prop_assert!(!matches!(verifier(&issuer).verify(&text, &[], all, now()), Ok(Some(_))));
    }

    #[test]
    fn no_change_of_a_token_passes(at in 0_usize..10_000, to in any::<u8>()) {
        let issuer = issuer();
        let mut token = token(&issuer, json!({}), None).into_bytes();
        let at = at % token.len();
        prop_assume!(token[at] != to && to.is_ascii());
        token[at] = to;
        let token = String::from_utf8(token).unwrap();
        prop_assert!(!matches!(verifier(&issuer).verify(&token, &[], all, now()), Ok(Some(_))), "{token}");
    }
}
