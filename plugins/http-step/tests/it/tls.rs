use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use cutover_api::{Class, Secret};
use cutover_http_step::{Http, Origins, Sent, Tls, Vars, origin};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::{NOW, step};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

fn leaf(ca: &Ca, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec![name.to_owned()]).expect("params").signed_by(&key, ca).expect("signed");
    (certificate, key)
}

/// Answers one TLS connection; wants a client certificate of this CA where one is given.
fn serve(ca: &Ca, name: &str, clients: Option<&Ca>) -> (String, thread::JoinHandle<bool>) {
    let (certificate, key) = leaf(ca, name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let base = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    let answering = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut tls = StreamOwned::new(ServerConnection::new(config).expect("a session"), stream);
        let mut buffer = [0_u8; 4096];
        let asked = matches!(tls.read(&mut buffer), Ok(n) if n > 0);
        if asked {
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        asked
    });
    (base, answering)
}

async fn get(base: &str, tls: &Tls) -> Sent {
    let origins = Origins { base: Some(origin(base).expect("https")), ..Origins::default() };
    step("[s]\nrequest = \"GET /\"\n").send(&Http::new(tls).expect("a client"), &origins, &Vars::new(), NOW).await
}

fn trusting(ca: &Ca) -> Tls {
    Tls { ca: Some(ca.pem()), client_cert: None }
}

#[tokio::test]
async fn the_configured_ca_is_trusted_and_no_other() {
    let (ours, other) = (ca(), ca());
    let (base, answering) = serve(&ours, "localhost", None);
    assert!(matches!(get(&base, &trusting(&ours)).await, Sent::Reply(reply) if reply.status() == 200));
    assert!(answering.join().expect("ended"));

    for (issuer, name, tls, why) in [
        (&other, "localhost", trusting(&ours), "unknown issuer"),
        (&ours, "localhost", Tls::default(), "unknown issuer"),
        (&ours, "elsewhere", trusting(&ours), "for another host's name"),
    ] {
        let (base, answering) = serve(issuer, name, None);
        let Sent::Unsent(refusal) = get(&base, &tls).await else { panic!("unsent") };
        assert_eq!(refusal.class, Class::Unsent);
        assert!(refusal.to_string().contains(&format!("{base}: TLS: its certificate is ")), "{refusal}");
        assert!(refusal.to_string().contains(why), "{refusal}");
        assert!(!answering.join().expect("ended"), "no request byte");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (servers, clients) = (ca(), ca());
    let (certificate, key) = leaf(&clients, "cutover");
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    let (base, answering) = serve(&servers, "localhost", Some(&clients));
    let tls = Tls { client_cert: Some(Secret::new(pem)), ..trusting(&servers) };
    assert!(matches!(get(&base, &tls).await, Sent::Reply(_)));
    assert!(answering.join().expect("ended"));

    let (base, answering) = serve(&servers, "localhost", Some(&clients));
    assert!(!matches!(get(&base, &trusting(&servers)).await, Sent::Reply(_)));
    assert!(!answering.join().expect("ended"));
}

#[test]
fn what_is_no_certificate_is_said_without_it() {
    for tls in [
        Tls { ca: Some("hunter2".to_owned()), client_cert: None },
        Tls { ca: None, client_cert: Some(Secret::new("hunter2".to_owned())) },
    ] {
        let error = Http::new(&tls).map(|_| ()).expect_err("no certificate");
        assert!(!error.contains("hunter2") && error.contains("PEM") || error.contains("no certificate"), "{error}");
    }
}
