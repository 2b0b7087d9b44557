//! Handing mails to a mail server (RFC 5321, RFC 6409).

use std::{fmt, sync::Arc, time::Duration};

use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    Cause, Failure, Letter, Relay, Rendered, Security, Sender,
    message::{address, message},
};
use crate::secret::MailPassword;

/// How long a mail server may take for one mail, from the connection to its last word. A mail is held for
/// longer than that, so that nobody else begins to send it meanwhile.
pub const TIMEOUT: Duration = Duration::from_mins(1);
/// How long saying good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(2);
/// What a certificate begins with; the library takes a file without any.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Replies to commands about a mail that are in truth about this server: it has to sign in, or to protect
/// the connection (RFC 4954 §6).
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];

/// How mails are handed over.
#[derive(Debug)]
pub struct SmtpOptions {
    /// To which mail server.
    pub relay: Relay,
    /// From whom.
    pub from: Sender,
    /// What proves this server to it.
    pub credentials: Option<(String, MailPassword)>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// How long one mail may take.
    pub timeout: Duration,
}

/// A mail server.
pub struct Smtp {
    relay: Relay,
    from: Sender,
    hello: ClientId,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    timeout: Duration,
    /// Connections that the next mails may use.
    open: Arc<Mutex<Vec<AsyncSmtpConnection>>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({})", self.relay)
    }
}

impl Smtp {
    /// Prepares to use a mail server; nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub fn new(options: SmtpOptions) -> Result<Self, String> {
        let SmtpOptions { relay, from, credentials, ca, timeout } = options;
        let tls = if relay.security == Security::None { None } else { Some(tls(&relay.host, ca.as_deref())?) };
        let credentials = credentials.map(|(user, password)| Credentials::new(user, password.expose().to_owned()));
        let hello = ClientId::Domain(from.domain().to_owned());
        Ok(Self { relay, from, hello, tls, credentials, timeout, open: Arc::default() })
    }

    pub(super) async fn send(&self, letter: &Letter, rendered: Rendered) -> Result<(), Failure> {
        let bytes = message(&self.from, letter, rendered)?;
        match timeout(self.timeout, Box::pin(self.hand_over(letter, &bytes))).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Cause::Timeout, "the mail server took too long")),
        }
    }

    /// Closes the connections that were kept for a next mail.
    pub(super) async fn rest(&self) {
        let open = std::mem::take(&mut *self.open.lock().await);
        for mut connection in open {
            let _ = timeout(GOOD_BYE, connection.quit()).await;
        }
    }

    async fn hand_over(&self, letter: &Letter, bytes: &[u8]) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        match self.converse(&mut connection, letter, bytes).await {
            Ok(()) => {
                self.open.lock().await.push(connection);
                Ok(())
            }
            Err(failure) => {
                let _ = timeout(GOOD_BYE, connection.abort()).await;
                Err(failure)
            }
        }
    }

    /// One that is open still, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, Failure> {
        loop {
            let Some(mut kept) = self.open.lock().await.pop() else { return self.connect().await };
            if kept.test_connected().await {
                return Ok(kept);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let server = (self.relay.host.as_str(), self.relay.port);
        let at_once = self.tls.clone().filter(|_| self.relay.security == Security::Tls);
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, at_once, None);
        let mut connection = connected.await.map_err(|e| without_session(&e))?;
        if let Some(tls) = self.tls.clone().filter(|_| self.relay.security == Security::StartTls) {
            // Without STARTTLS in its answer this fails, and nothing was told to whoever sits between.
            connection.starttls(tls, &self.hello).await.map_err(|e| without_session(&e))?;
        }
        if let Some(credentials) = &self.credentials {
            if !connection.is_encrypted() {
                return Err(Failure::new(Cause::Connection, "the password is not sent without TLS"));
            }
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|e| without_session(&e))?;
        }
        Ok(connection)
    }

    /// One mail. What the server says to its sender is about this server, not about the mail.
    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let to = address(letter)?;
        let mut parameters = Vec::new();
        if !letter.to.as_str().is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                let why = "the mail server does not accept non-ASCII addresses (SMTPUTF8)";
                return Err(Failure::new(Cause::Refused, why));
            }
            parameters.push(MailParameter::SmtpUtfEight);
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let mail = Mail::new(Some(self.from.address().clone()), parameters);
        connection.command(mail).await.map_err(|e| without_session(&e))?;
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(|e| refusal(&e))?;
        connection.command(Data).await.map_err(|e| refusal(&e))?;
        connection.message(bytes).await.map_err(|e| refusal(&e))?;
        Ok(())
    }
}

fn tls(host: &str, ca: Option<&[u8]>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        let none = || "contains no PEM certificates".to_owned();
        if !pem.windows(PEM.len()).any(|w| w == PEM) {
            return Err(none());
        }
        let certificates = Certificate::from_pem(pem).map_err(|_| none())?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build_rustls().map_err(|e| e.to_string())
}

/// A failure before the mail itself was spoken of: whatever the server says, another time may be better.
fn without_session(error: &Error) -> Failure {
    let cause = match error.status() {
        _ if error.is_timeout() => Cause::Timeout,
        Some(code) if !ABOUT_US.contains(&code.into()) => Cause::Temporary,
        _ => Cause::Connection,
    };
    Failure::new(cause, &error.to_string())
}

/// What the server says to the recipient or to the message.
fn refusal(error: &Error) -> Failure {
    let about_us = error.status().is_some_and(|code| ABOUT_US.contains(&code.into()));
    if error.is_permanent() && !about_us {
        return Failure::new(Cause::Refused, &error.to_string());
    }
    without_session(error)
}
