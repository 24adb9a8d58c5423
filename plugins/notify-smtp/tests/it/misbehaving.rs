//! Servers that break the protocol, hang or attack; scripted here, byte by byte.

use cutover_api::Notifier;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::common::{message, notifier};

/// A server for one connection: what it says and does is `script`; its result is what the client said.
async fn server<F>(script: impl FnOnce(BufReader<TcpStream>) -> F + Send + 'static) -> (u16, JoinHandle<String>)
where
    F: Future<Output = String> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        script(BufReader::new(stream)).await
    });
    (port, served)
}

/// Says `text` and hears one line.
async fn say(stream: &mut BufReader<TcpStream>, heard: &mut String, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).await.expect("a listener");
    stream.read_line(heard).await.expect("text");
}

fn table(port: u16, tls: &str, more: &str) -> String {
    format!(
        "host = \"127.0.0.1\"\nport = {port}\ntls = {tls:?}\nfrom = \"cutover@example.com\"\nto = [\"ops@example.com\"]\n{more}"
    )
}

const LOGIN: &str = "username = \"u\"\npassword = { credential = \"p\" }\n";

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let (port, served) = server(async |mut stream| {
        let mut heard = String::new();
        say(&mut stream, &mut heard, "220 hello\r\n").await;
        say(&mut stream, &mut heard, "250-here\r\n250 AUTH PLAIN\r\n").await;
        stream.read_to_string(&mut heard).await.expect("text");
        heard
    })
    .await;
    let error = notifier(&table(port, "starttls", LOGIN)).tell(&message("s", "t")).await.expect_err("no TLS");
    assert_eq!((error.label, error.permanent), ("tls", false));
    let heard = served.await.expect("served");
    assert!(heard.lines().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{heard}");
}

/// What is sent in clear behind "220 go ahead" must not count as said under TLS.
#[tokio::test]
async fn starttls_response_injection_is_refused() {
    let (port, served) = server(async |mut stream| {
        let mut heard = String::new();
        say(&mut stream, &mut heard, "220 hello\r\n").await;
        say(&mut stream, &mut heard, "250-here\r\n250 STARTTLS\r\n").await;
        stream.get_mut().write_all(b"220 go ahead\r\n250-injected\r\n250 AUTH PLAIN\r\n").await.expect("a listener");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    })
    .await;
    let error = notifier(&table(port, "starttls", LOGIN)).greet().await.expect_err("an attack");
    assert_eq!(error.label, "tls");
    assert!(!served.await.expect("served").contains("AUTH"));
}

#[tokio::test]
async fn a_greeting_that_says_no_is_refused_but_may_pass() {
    let (port, _served) = server(async |mut stream| {
        let mut heard = String::new();
        say(&mut stream, &mut heard, "554 canary-text go away\r\n").await;
        heard
    })
    .await;
    let error = notifier(&table(port, "none", "")).greet().await.expect_err("no");
    assert_eq!((error.label, error.permanent), ("refused", false));
    assert!(error.detail.contains("554") && !error.detail.contains("canary"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let (port, served) = server(async |mut stream| {
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard).await;
        heard
    })
    .await;
    let error = notifier(&table(port, "starttls", "timeout = \"1s\"\n")).greet().await.expect_err("silence");
    assert_eq!((error.label, error.permanent), ("timeout", false));
    assert_eq!(served.await.expect("the connection was closed"), "");
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let (port, served) = server(async |mut stream| {
        let chunk = [b'x'; 65_536];
        let mut sent = 0_usize;
        while sent < 1 << 30 && stream.get_mut().write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent.to_string()
    })
    .await;
    let error = notifier(&table(port, "none", "")).greet().await.expect_err("no SMTP");
    assert_eq!(error.label, "connect");
    let sent: usize = served.await.expect("served").parse().expect("a number");
    assert!(sent < 1 << 28, "{sent} bytes were taken");
}

#[tokio::test]
async fn what_speaks_another_protocol_is_told_so() {
    let (port, _served) = server(async |mut stream| {
        let mut heard = String::new();
        say(&mut stream, &mut heard, "HTTP/1.1 400 Bad Request\r\n\r\n").await;
        heard
    })
    .await;
    assert_eq!(notifier(&table(port, "none", "")).greet().await.expect_err("no SMTP").label, "connect");
}

#[tokio::test]
async fn implicit_tls_to_a_plain_server_is_a_tls_failure() {
    let (port, _served) = server(async |mut stream| {
        let mut heard = Vec::new();
        stream.get_mut().write_all(b"220 hello, in clear\r\n").await.expect("a listener");
        let _ = stream.read_to_end(&mut heard).await;
        String::new()
    })
    .await;
    assert_eq!(notifier(&table(port, "implicit", "")).greet().await.expect_err("no TLS").label, "tls");
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    for tls in ["none", "starttls", "implicit"] {
        let error = notifier(&table(port, tls, "")).greet().await.expect_err("nobody");
        assert_eq!((error.label, error.permanent), ("connect", false), "{tls}");
    }
}

/// A 250 that came is a success whatever follows.
#[tokio::test]
async fn a_server_that_never_says_goodbye_does_not_undo_the_250() {
    let (port, served) = server(async |mut stream| {
        let mut heard = String::new();
        for text in ["220 hello\r\n", "250 here\r\n", "250 sender\r\n", "250 recipient\r\n", "354 go on\r\n"] {
            say(&mut stream, &mut heard, text).await;
        }
        while !heard.ends_with("\r\n.\r\n") {
            stream.read_line(&mut heard).await.expect("text");
        }
        say(&mut stream, &mut heard, "250 taken\r\n").await;
        stream.read_to_string(&mut heard).await.expect("text");
        heard
    })
    .await;
    assert_eq!(notifier(&table(port, "none", "timeout = \"1s\"\n")).tell(&message("s", "t")).await, Ok(()));
    assert!(served.await.expect("served").ends_with("QUIT\r\n"));
}

#[tokio::test]
async fn a_password_that_cannot_be_read_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let world = crate::common::world();
    *world.0.lock().expect("free") = Err("file /run/p cannot be read".to_owned());
    let (notifier, _) = crate::common::read(&table(port, "none", LOGIN), &world);
    let error = notifier.expect("valid").greet().await.expect_err("no password");
    assert_eq!((error.label, error.permanent), ("auth", false));
    assert!(error.detail.contains("/run/p"), "{error}");
}
