//! Certificates of a real mail server: which of them are trusted, and what is said of the others.

use std::time::Duration;

use chancery::{
    domain::mail::{Content, MailKind},
    entropy::SeededEntropy,
    id::MailId,
    mail::{Cause, Failure, Letter, Mailer, Post, Smtp, SmtpOptions, Templates},
    secret::MailPassword,
    time::{Clock, SystemClock, Ttl},
};

use crate::mail_server::MailServer;

const PASSWORD: &str = "canary of the mail server";

fn letter() -> Letter {
    let now = SystemClock.now();
    Letter {
        id: MailId::new(now, &SeededEntropy::new(1)),
        to: "ada@example.org".parse().unwrap(),
        kind: MailKind::PasswordChanged,
        language: "en".parse().unwrap(),
        params: Content::PasswordChanged { at: now }.params("Example"),
        now,
        expires_at: now.plus(Ttl::from_secs(60)),
    }
}

/// Sends a mail to a server with this kind of certificate, for which `ca` is named, or the one that vouches for it.
async fn sent(tls: &str, certificate: &str, ca: Option<String>) -> Result<(), Failure> {
    let flags = ["--tls", tls, "--certificate", certificate, "--user", "chancery", "--password", PASSWORD];
    let mails = MailServer::with(&flags).await;
    let scheme = if tls == "implicit" { "smtps" } else { "smtp" };
    let smtp = Smtp::new(SmtpOptions {
        relay: format!("{scheme}://127.0.0.1:{}", mails.port).parse().unwrap(),
        from: "no-reply@id.example.org".parse().unwrap(),
        credentials: Some(("chancery".to_owned(), MailPassword::new(PASSWORD.to_owned()))),
        ca: ca.or_else(|| mails.authority.clone()).map(String::into_bytes),
        timeout: Duration::from_secs(30),
    });
    let post = Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Smtp(Box::new(smtp.unwrap())) };
    let sent = post.send(&letter()).await;
    let reports = mails.stop().await;
    assert_eq!(reports.len(), usize::from(sent.is_ok()), "{certificate}: {reports:?}");
    sent
}

#[tokio::test]
async fn a_certificate_that_the_server_signed_itself_is_trusted_where_it_is_named() {
    for tls in ["implicit", "starttls"] {
        for certificate in ["signed", "own", "own-authority"] {
            assert_eq!(sent(tls, certificate, None).await, Ok(()), "{tls} {certificate}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_named_gets_no_password_and_the_failure_says_what_to_do() {
    let other = MailServer::with(&["--tls", "implicit", "--certificate", "own-authority"]).await;
    let other = other.authority.clone();
    for tls in ["implicit", "starttls"] {
        for (certificate, ca, says) in [
            ("own", other.clone(), &["BadSignature", "mail_ca_file"][..]),
            ("own-authority", other.clone(), &["name exactly this one in mail_ca_file"]),
            ("signed", other.clone(), &["UnknownIssuer", "mail_ca_file"]),
            // Named, but not right.
            ("expired", None, &["expired"]),
            ("elsewhere", None, &["subjectAltName must have the host of mail_smtp"]),
        ] {
            let Failure { cause, detail } = sent(tls, certificate, ca).await.unwrap_err();
            assert_eq!(cause, Cause::Connection, "{certificate}: {detail}");
            assert!(says.iter().all(|text| detail.contains(text)), "{tls} {certificate}: {detail}");
        }
    }
}
