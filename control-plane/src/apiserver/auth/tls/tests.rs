use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};

use super::super::ca::{Profile, issue, new_key};
use super::*;

fn pair(profile: &Profile<'_>, issuer: Option<&Pair>) -> Pair {
    let key = new_key().unwrap();
    Pair { certificate: issue(profile, &key, issuer, Timestamp::now()).unwrap(), key }
}

fn server_pair(ca: &Pair) -> Pair {
    pair(&Profile::Server { names: &["kubernetes".into()], addresses: &[] }, Some(ca))
}

/// Shakes hands in memory; the client's certificates as the server sees them, and the server's as the client does.
fn shake(
    config: &Arc<ServerConfig>,
    ca: &Pair,
    client: Option<&Pair>,
) -> Result<(Vec<Vec<u8>>, Vec<u8>), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificates(&ca.certificate, "ca").unwrap().remove(0)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let client = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(certificates(&pair.certificate, "client").unwrap(), key).unwrap()
        }
    };
    let name = ServerName::try_from("kubernetes").unwrap();
    let mut client = ClientConnection::new(client.into(), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    let seen = server.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
    Ok((seen, client.peer_certificates().unwrap()[0].to_vec()))
}

#[test]
fn any_client_may_shake_hands_and_its_authority_is_looked_at_afterwards() {
    let [ca, stranger] = [(); 2].map(|()| pair(&Profile::Authority { name: "ca" }, None));
    let serving = Arc::new(Serving::new(&server_pair(&ca)).unwrap());
    let config = Arc::new(server_config(serving, &ca.certificate).unwrap());
    let authorities = Authorities::new(&ca.certificate).unwrap();
    let jane = Profile::Client { user: "jane", group: None };
    let (seen, _) = shake(&config, &ca, None).unwrap();
    assert!(seen.is_empty());
    let (seen, _) = shake(&config, &ca, Some(&pair(&jane, Some(&ca)))).unwrap();
    assert_eq!(authorities.verify(&seen, Timestamp::now()), Ok(()));
    let year: Timestamp = Timestamp::from_second(Timestamp::now().as_second() + 366 * 86_400).unwrap();
    assert!(authorities.verify(&seen, year).unwrap_err().contains("xpired"));
    let (seen, _) = shake(&config, &ca, Some(&pair(&jane, Some(&stranger)))).unwrap();
    assert!(
        authorities.verify(&seen, Timestamp::now()).unwrap_err().starts_with("verifying certificate SN=")
    );
    assert!(shake(&config, &stranger, None).is_err(), "the client looks at the server's");
}

#[test]
fn a_client_must_hold_the_key_of_its_certificate() {
    let ca = pair(&Profile::Authority { name: "ca" }, None);
    let serving = Arc::new(Serving::new(&server_pair(&ca)).unwrap());
    let config = Arc::new(server_config(serving, &ca.certificate).unwrap());
    let jane = pair(&Profile::Client { user: "jane", group: None }, Some(&ca));
    // rustls' client refuses such a pair by itself: sign with another key behind its back.
    let other = PrivateKeyDer::from_pem_slice(new_key().unwrap().as_bytes()).unwrap();
    let other = ring::default_provider().key_provider.load_private_key(other).unwrap();
    let stolen = Arc::new(CertifiedKey::new(certificates(&jane.certificate, "client").unwrap(), other));
    let mut roots = RootCertStore::empty();
    roots.add(certificates(&ca.certificate, "ca").unwrap().remove(0)).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from((*stolen).clone())));
    let mut client =
        ClientConnection::new(client.into(), ServerName::try_from("kubernetes").unwrap()).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    let refused = (0..4).any(|_| {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        let refused = server.process_new_packets().is_err();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        let _ = client.process_new_packets();
        refused
    });
    assert!(refused);
}

#[test]
fn the_serving_certificate_changes_while_serving() {
    let ca = pair(&Profile::Authority { name: "ca" }, None);
    let serving = Arc::new(Serving::new(&server_pair(&ca)).unwrap());
    let config = Arc::new(server_config(Arc::clone(&serving), &ca.certificate).unwrap());
    let (_, before) = shake(&config, &ca, None).unwrap();
    serving.replace(&server_pair(&ca)).unwrap();
    let (_, after) = shake(&config, &ca, None).unwrap();
    assert_ne!(before, after);
    let mixed = Pair { key: new_key().unwrap(), ..server_pair(&ca) };
    assert!(serving.replace(&mixed).is_err());
    assert_eq!(shake(&config, &ca, None).unwrap().1, after);
}
