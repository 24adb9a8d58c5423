//! One conversation with the server.

use std::path::Path;
use std::time::Duration;

use cutover_api::{NotifyError, Obstacle, References, unread};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;

use crate::failure::{self, Stage};
use crate::settings::{Login, Protection, Settings};
use crate::wire::Wire;

/// How long a goodbye may take; nothing depends on it.
const GOODBYE: Duration = Duration::from_secs(2);

/// A connection that is protected as configured and logged in.
pub(crate) struct Session {
    connection: AsyncSmtpConnection,
}

impl Session {
    /// Connects, protects, logs in.
    pub(crate) async fn open(settings: &Settings, references: &dyn References) -> Result<Self, NotifyError> {
        // What needs no server is found out first.
        let parameters = match settings.protection {
            Protection::Plain => None,
            Protection::StartTls | Protection::Implicit => Some(parameters(settings).await?),
        };
        let credentials = settings.login.as_ref().map(|login| credentials(login, references)).transpose()?;
        let mut connection = match parameters {
            None => plain(settings).await?,
            Some(parameters) if settings.protection == Protection::StartTls => starttls(settings, parameters).await?,
            Some(parameters) => implicit(settings, parameters).await?,
        };
        if let Some(credentials) = credentials {
            let answer =
                connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| failure::of(Stage::Login, &error))?;
            expect(Stage::Login, &answer, 235)?;
        }
        Ok(Self { connection })
    }

    /// Asks for a sign of life.
    pub(crate) async fn noop(&mut self) -> Result<(), NotifyError> {
        let answer = self.connection.command(Noop).await.map_err(|error| failure::of(Stage::Talk, &error))?;
        expect(Stage::Talk, &answer, 250)
    }

    /// Hands a mail over, to every recipient the server takes; `Ok` after its 250.
    pub(crate) async fn send(&mut self, settings: &Settings, mail: &[u8]) -> Result<(), NotifyError> {
        let from = Mail::new(Some(settings.from.email.clone()), Vec::new());
        let answer = self.connection.command(from).await.map_err(|error| failure::of(Stage::Mail, &error))?;
        expect(Stage::Mail, &answer, 250)?;
        let mut taken = 0_usize;
        let mut refused = None;
        for (n, to) in settings.to.iter().enumerate() {
            match self.connection.command(Rcpt::new(to.email.clone(), Vec::new())).await {
                Ok(_) => taken += 1,
                Err(error) => {
                    let Some(code) = error.status() else { return Err(failure::of(Stage::Mail, &error)) };
                    let code = u16::from(code);
                    tracing::warn!(
                        position = n + 1,
                        of = settings.to.len(),
                        status = code,
                        "the mail server refused a recipient"
                    );
                    // Of several refusals one that may pass counts: the mail is then worth another try.
                    refused = Some(refused.map_or(code, |before: u16| before.min(code)));
                }
            }
        }
        if let (0, Some(code)) = (taken, refused) {
            return Err(failure::status(Stage::Mail, code));
        }
        let answer = self.connection.command(Data).await.map_err(|error| failure::of(Stage::Mail, &error))?;
        expect(Stage::Mail, &answer, 354)?;
        let answer = self.connection.message(mail).await.map_err(|error| failure::of(Stage::Mail, &error))?;
        expect(Stage::Mail, &answer, 250)
    }

    /// Says goodbye; whether that is heard does not matter.
    pub(crate) async fn close(mut self) {
        let goodbye = tokio::time::timeout(GOODBYE, self.connection.quit()).await;
        tracing::trace!(heard = matches!(goodbye, Ok(Ok(_))), "mail session closed");
    }
}

/// A positive answer that is not the one asked for is none.
fn expect(stage: Stage, answer: &Response, wanted: u16) -> Result<(), NotifyError> {
    let code = u16::from(answer.code());
    if code == wanted { Ok(()) } else { Err(failure::status(stage, code)) }
}

async fn parameters(settings: &Settings) -> Result<TlsParameters, NotifyError> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca {
        let unusable = |why: &str| failure::tls(format!("ca {path} {why}"));
        let pem = tokio::fs::read(path).await.map_err(|error| {
            failure::tls(unread(Path::new(path), &error, "put the CA's certificate there, or correct `ca`"))
        })?;
        if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
            return Err(unusable("holds no PEM certificate"));
        }
        let roots = Certificate::from_pem(&pem).map_err(|_| unusable("is not PEM"))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
    }
    builder.build().map_err(|_| failure::tls("no certificates to trust could be loaded; check ca, or install the system's"))
}

fn credentials(login: &Login, references: &dyn References) -> Result<Credentials, NotifyError> {
    let password = references.open(&login.password).map_err(failure::auth)?;
    Ok(Credentials::new(login.username.clone(), password.expose().to_owned()))
}

async fn dial(settings: &Settings) -> Result<TcpStream, NotifyError> {
    let target = (settings.host.as_str(), settings.port);
    TcpStream::connect(target).await.map_err(|error| {
        let why = Obstacle::of(&error).map_or_else(|| error.kind().to_string(), |obstacle| obstacle.to_string());
        failure::connect(format!("{}:{}: {why}; check host and port", settings.host, settings.port))
    })
}

async fn plain(settings: &Settings) -> Result<AsyncSmtpConnection, NotifyError> {
    let stream = dial(settings).await?;
    // A name may resolve to anything.
    if !stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
        return Err(failure::tls(format!("{} is not this machine; nothing was sent without TLS", settings.host)));
    }
    greet(stream).await
}

async fn starttls(settings: &Settings, parameters: TlsParameters) -> Result<AsyncSmtpConnection, NotifyError> {
    let mut connection = greet(dial(settings).await?).await?;
    connection.starttls(parameters, &ClientId::default()).await.map_err(|error| failure::of(Stage::Tls, &error))?;
    if connection.is_encrypted() {
        Ok(connection)
    } else {
        Err(failure::tls("the connection is not encrypted; nothing was sent"))
    }
}

async fn greet(stream: TcpStream) -> Result<AsyncSmtpConnection, NotifyError> {
    let connection = AsyncSmtpConnection::connect_with_transport(Box::new(Wire::new(stream)), &ClientId::default()).await;
    connection.map_err(|error| failure::of(Stage::Greeting, &error))
}

async fn implicit(settings: &Settings, parameters: TlsParameters) -> Result<AsyncSmtpConnection, NotifyError> {
    // Nothing is said in clear here, so the library's own stream will do.
    let target = (settings.host.as_str(), settings.port);
    let connection = AsyncSmtpConnection::connect_tokio1(target, None, &ClientId::default(), Some(parameters), None).await;
    connection.map_err(|error| failure::of(Stage::Greeting, &error))
}
