//! Submits mails to a mail server (RFC 5321, RFC 6409).

use std::{fmt, sync::Arc, time::Duration};

use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    Cause, Failure, Letter, Relay, Rendered, Security, Sender,
    message::{address, message},
    tls::{Tls, explained},
};
use crate::secret::MailPassword;

/// Timeout for one mail, from connecting to the server's last reply. The lease on a mail is longer, so that no
/// other process starts to send it meanwhile.
pub const TIMEOUT: Duration = Duration::from_mins(1);
/// Timeout for trying a server out.
const TRY_OUT: Duration = Duration::from_secs(10);
/// Timeout for closing a connection.
const GOOD_BYE: Duration = Duration::from_secs(2);
/// Reply codes that are not about the mail but about this server, which has to authenticate or to protect the
/// connection (RFC 4954 §6).
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];

/// How mails are submitted.
#[derive(Debug)]
pub struct SmtpOptions {
    /// The mail server.
    pub relay: Relay,
    /// The sender.
    pub from: Sender,
    /// User name and password for the mail server.
    pub credentials: Option<(String, MailPassword)>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The timeout for one mail.
    pub timeout: Duration,
}

/// A client for a mail server.
pub struct Smtp {
    relay: Relay,
    from: Sender,
    hello: ClientId,
    tls: Option<Tls>,
    credentials: Option<Credentials>,
    timeout: Duration,
    /// Idle connections, for the next mails.
    open: Arc<Mutex<Vec<AsyncSmtpConnection>>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({})", self.relay)
    }
}

impl Smtp {
    /// Prepares a client. Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub fn new(options: SmtpOptions) -> Result<Self, String> {
        let SmtpOptions { relay, from, credentials, ca, timeout } = options;
        let tls = if relay.security == Security::None { None } else { Some(Tls::new(&relay.host, ca.as_deref())?) };
        let credentials = credentials.map(|(user, password)| Credentials::new(user, password.expose().to_owned()));
        let hello = ClientId::Domain(from.domain().to_owned());
        Ok(Self { relay, from, hello, tls, credentials, timeout, open: Arc::default() })
    }

    pub(super) async fn send(&self, letter: &Letter, rendered: Rendered) -> Result<(), Failure> {
        let bytes = message(&self.from, letter, rendered)?;
        match timeout(self.timeout, Box::pin(self.deliver(letter, &bytes))).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Cause::Timeout, "the mail server took too long")),
        }
    }

    /// The mail server.
    #[must_use]
    pub const fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Connects and authenticates as for a mail, and sends none.
    ///
    /// # Errors
    /// Why that fails.
    pub async fn try_out(&self) -> Result<(), String> {
        let connected = timeout(TRY_OUT, Box::pin(self.connect())).await;
        let mut connection =
            connected.map_err(|_| "it does not answer".to_owned())?.map_err(|failure| failure.detail)?;
        let _ = timeout(GOOD_BYE, connection.quit()).await;
        Ok(())
    }

    /// Closes the idle connections.
    pub(super) async fn close_idle(&self) {
        let open = std::mem::take(&mut *self.open.lock().await);
        for mut connection in open {
            let _ = timeout(GOOD_BYE, connection.quit()).await;
        }
    }

    async fn deliver(&self, letter: &Letter, bytes: &[u8]) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        match self.transfer(&mut connection, letter, bytes).await {
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

    /// An idle connection that is still open, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, Failure> {
        loop {
            let Some(mut kept) = self.open.lock().await.pop() else { return self.connect().await };
            if kept.test_connected().await {
                return Ok(kept);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let strict = self.tls.as_ref().map(|tls| &tls.strict);
        let mut connection = match (self.open_with(strict).await, &self.tls) {
            (Err(refusal), Some(tls)) if tls.may_be_named(&refusal) => self.connect_to_named(tls, &refusal).await?,
            (opened, _) => opened.map_err(|e| session_failure(&e))?,
        };
        if let Some(credentials) = &self.credentials {
            if !connection.is_encrypted() {
                return Err(Failure::new(Cause::Connection, "the password is not sent without TLS"));
            }
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|e| session_failure(&e))?;
        }
        Ok(connection)
    }

    /// Connects to a server that shows a certificate which is named itself. Nothing secret is sent before that is known.
    async fn connect_to_named(&self, tls: &Tls, refusal: &Error) -> Result<AsyncSmtpConnection, Failure> {
        let mut connection = self.open_with(Some(&tls.unsigned)).await.map_err(|e| session_failure(&e))?;
        if tls.is_named(&connection) {
            return Ok(connection);
        }
        let _ = timeout(GOOD_BYE, connection.abort()).await;
        Err(session_failure(refusal))
    }

    /// Opens a connection, with TLS if there are settings for it.
    async fn open_with(&self, tls: Option<&TlsParameters>) -> Result<AsyncSmtpConnection, Error> {
        let server = (self.relay.host.as_str(), self.relay.port);
        let at_once = tls.filter(|_| self.relay.security == Security::Tls).cloned();
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, at_once, None);
        let mut connection = connected.await?;
        if let Some(tls) = tls.filter(|_| self.relay.security == Security::StartTls) {
            // This fails if the server does not offer STARTTLS. Nothing secret was sent before, so that an
            // attacker in between learns nothing.
            connection.starttls(tls.clone(), &self.hello).await?;
        }
        Ok(connection)
    }

    /// Transfers one mail. A reply to the sender's address is about this server, not about the mail.
    async fn transfer(
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
        connection.command(mail).await.map_err(|e| session_failure(&e))?;
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(|e| refusal(&e))?;
        connection.command(Data).await.map_err(|e| refusal(&e))?;
        connection.message(bytes).await.map_err(|e| refusal(&e))?;
        Ok(())
    }
}

/// A failure before the recipient was named. Whatever the reply code, a retry may succeed.
fn session_failure(error: &Error) -> Failure {
    let cause = match error.status() {
        _ if error.is_timeout() => Cause::Timeout,
        Some(code) if !ABOUT_US.contains(&code.into()) => Cause::Temporary,
        _ => Cause::Connection,
    };
    Failure::new(cause, &explained(error))
}

/// A failure at the recipient or the message.
fn refusal(error: &Error) -> Failure {
    let about_us = error.status().is_some_and(|code| ABOUT_US.contains(&code.into()));
    if error.is_permanent() && !about_us {
        return Failure::new(Cause::Refused, &error.to_string());
    }
    session_failure(error)
}
