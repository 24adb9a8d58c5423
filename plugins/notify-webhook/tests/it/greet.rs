//! What a greeting proves, and that it says nothing.

use std::path::Path;
use std::sync::Arc;

use cutover_api::Notifier;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use crate::common::{message, nobody, notifier, raw, told};

/// Writes an authority's certificate to `dir/name` and gives a server's settings with a certificate of it for `host`.
fn server(dir: &Path, name: &str, host: &str) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    std::fs::write(dir.join(name), issuer.pem()).expect("writable");
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![host.to_owned()]).expect("a name").signed_by(&key, &issuer).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one TLS connection; gives what the client said inside it, `None` when no handshake came about.
async fn serve(acceptor: TlsAcceptor) -> (u16, tokio::task::JoinHandle<Option<Vec<u8>>>) {
    raw(async move |stream| {
        let mut stream = acceptor.accept(stream).await.ok()?;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        Some(said)
    })
    .await
}

fn table(port: u16, ca: &Path) -> String {
    format!("request = \"POST https://localhost:{port}/hook\"\nca = {ca:?}\ntimeout = \"20s\"\n")
}

#[tokio::test]
async fn a_trusted_server_is_greeted_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let (port, served) = serve(server(dir.path(), "ca.pem", "localhost")).await;
    assert_eq!(notifier(&table(port, &dir.path().join("ca.pem"))).greet().await, Ok(()));
    assert_eq!(served.await.expect("served"), Some(Vec::new()));
}

#[tokio::test]
async fn what_is_not_trusted_is_not_greeted_and_told_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    server(dir.path(), "other.pem", "localhost");
    for (host, ca) in [("localhost", "other.pem"), ("example.com", "ca.pem")] {
        let acceptor = server(dir.path(), "ca.pem", host);
        let (port, served) = serve(acceptor.clone()).await;
        assert_eq!(told(notifier(&table(port, &dir.path().join(ca))).greet().await), ("tls", false), "{host} {ca}");
        assert!(served.await.expect("served").is_none_or(|said| said.is_empty()));
        let (port, served) = serve(acceptor).await;
        assert_eq!(
            told(notifier(&table(port, &dir.path().join(ca))).tell(&message()).await),
            ("connect", false),
            "{host} {ca}"
        );
        assert!(served.await.expect("served").is_none_or(|said| said.is_empty()));
    }
    let (port, _served) = serve(server(dir.path(), "ca.pem", "localhost")).await;
    let system = table(port, Path::new("/x")).replace("ca = \"/x\"\n", "");
    assert_eq!(told(notifier(&system).greet().await), ("tls", false), "the system does not know this authority");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("empty.pem"), "").expect("writable");
    std::fs::write(dir.path().join("bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("writable");
    for name in ["absent.pem", "empty.pem", "bad.pem"] {
        let notifier = notifier(&table(1, &dir.path().join(name)));
        assert_eq!(told(notifier.greet().await), ("tls", false), "{name}");
        assert_eq!(told(notifier.tell(&message()).await), ("tls", false), "{name}");
    }
}

/// The path of a webhook's address is a secret as a rule, and "cannot be reached (other error)" told nobody anything.
#[tokio::test]
async fn what_is_in_the_way_is_told_with_where_and_without_the_path() {
    let dir = tempfile::tempdir().expect("a directory");
    server(dir.path(), "other.pem", "localhost");
    let (port, _served) = serve(server(dir.path(), "ca.pem", "localhost")).await;
    let unknown = notifier(&table(port, &dir.path().join("other.pem"))).greet().await.expect_err("not trusted");
    assert!(unknown.detail.starts_with(&format!("https://localhost:{port}: TLS: ")), "{unknown}");
    assert!(unknown.detail.contains("(unknown issuer)"), "{unknown}");
    let nobody = nobody().await;
    for secret in [format!("http://127.0.0.1:{nobody}/hooks/T0SECRET"), "https://no.invalid/T0SECRET".to_owned()] {
        let deaf = notifier(&format!("request = \"POST {secret}\"\n"));
        for error in [deaf.greet().await.expect_err("nobody"), deaf.tell(&message()).await.expect_err("nobody")] {
            let told = ["connection refused: nothing listens there", "its name has no address (DNS)"];
            assert!(told.iter().any(|words| error.detail.contains(words)), "{error}");
            assert!(!error.detail.contains("T0SECRET") && error.detail.contains("://"), "{error}");
        }
    }
}

#[tokio::test]
async fn nobody_there_no_credential_no_answer() {
    let port = nobody().await;
    assert_eq!(told(notifier(&format!("request = \"POST http://127.0.0.1:{port}/\"\n")).greet().await), ("connect", false));
    let without = "request = \"POST http://127.0.0.1:1/\"\ncredential = { file = \"absent\" }\nauth = { bearer = \"{{ credential }}\" }\n";
    assert_eq!(told(notifier(without).greet().await), ("auth", false));
    let (port, _served) = raw(async |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    })
    .await;
    assert_eq!(
        told(notifier(&format!("request = \"POST https://127.0.0.1:{port}/\"\ntimeout = \"1s\"\n")).greet().await),
        ("timeout", false)
    );
}
