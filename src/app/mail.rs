//! Outgoing mail: what is configured, and the job that sends what is due.

use std::{fs, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    config::Settings,
    jobs::{pause, turn},
};
use crate::{
    domain::mail::MailKind,
    error::Result,
    mail::{Mailer, Post, Relay, Security, Sender, Smtp, SmtpOptions, TIMEOUT, Templates},
    metrics::Metrics,
    secret::MailPassword,
    service::{Delivery, Fate, Kept, Service},
};

/// Mails under way at once, each over a connection of its own.
const AT_ONCE: usize = 4;
/// How often mails are looked for that another process has handed in, or that are to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what lies in the outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long the mails under way may take when the server stops. What is cut off, another process sends
/// once it is no longer held.
const TO_FINISH: Duration = Duration::from_secs(5);

/// What is configured for mail.
#[derive(Debug)]
pub struct Plan {
    /// What sends mails, if anything does.
    pub(super) post: Option<Arc<Post>>,
    /// The mails of a demo without a mail server.
    pub(super) kept: Option<Arc<Kept>>,
    /// What `config show` prints.
    pub(crate) shown: serde_json::Value,
}

impl Plan {
    /// Reads what the settings name; notes every problem.
    pub(super) fn read(settings: &Settings, dev: bool, problems: &mut Vec<String>) -> Self {
        let smtp = smtp(settings, problems);
        let templates = Templates::load(settings.mail_templates.as_deref());
        let templates = templates.map_err(|all| problems.extend(all.iter().map(|p| format!("mail_templates: {p}"))));
        let kept = (dev && settings.mail_smtp.is_none()).then(Arc::<Kept>::default);
        let mailer = smtp.map(|smtp| Mailer::Smtp(Box::new(smtp))).or_else(|| kept.clone().map(Mailer::Kept));
        let post = mailer.zip(templates.ok()).map(|(mailer, templates)| Arc::new(Post { templates, mailer }));
        let shown = shown(settings);
        Self { post, kept, shown }
    }
}

/// The settings as they may be shown.
fn shown(settings: &Settings) -> serde_json::Value {
    serde_json::json!({
        "mail_smtp": settings.mail_smtp, "mail_from": settings.mail_from, "mail_username": settings.mail_username,
        "mail_password": settings.mail_password.as_ref().map(|_| "set"),
        "mail_password_file": settings.mail_password_file, "mail_ca_file": settings.mail_ca_file,
        "mail_templates": settings.mail_templates,
    })
}

/// The mail server that the settings name, if they name one and nothing is wrong.
fn smtp(settings: &Settings, problems: &mut Vec<String>) -> Option<Smtp> {
    let before = problems.len();
    let Some(url) = &settings.mail_smtp else {
        for (key, set) in [
            ("mail_from", settings.mail_from.is_some()),
            ("mail_username", settings.mail_username.is_some()),
            ("mail_password_file", settings.mail_password_file.is_some()),
            ("mail_ca_file", settings.mail_ca_file.is_some()),
        ] {
            if set {
                problems.push(format!("{key}: has no effect without mail_smtp"));
            }
        }
        return None;
    };
    let relay = url.parse::<Relay>().map_err(|problem| problems.push(format!("mail_smtp: {problem}"))).ok();
    let from = match settings.mail_from.as_deref().map(str::parse::<Sender>) {
        Some(Ok(from)) => Some(from),
        Some(Err(problem)) => note(problems, format!("mail_from: {problem}")),
        None => note(problems, "mail_from: is required with mail_smtp".to_owned()),
    };
    let credentials = credentials(settings, relay.as_ref(), problems);
    let ca = settings.mail_ca_file.as_ref().and_then(|path| {
        let bytes = fs::read(path).map_err(|e| problems.push(format!("mail_ca_file: {}: {e}", path.display())));
        bytes.ok()
    });
    let (Some(relay), Some(from), true) = (relay, from, problems.len() == before) else { return None };
    let made = Smtp::new(SmtpOptions { relay, from, credentials, ca, timeout: TIMEOUT });
    made.map_err(|problem| problems.push(format!("mail_ca_file: {problem}"))).ok()
}

/// User name and password. They go over TLS only, so that nobody reads them on the way.
fn credentials(
    settings: &Settings,
    relay: Option<&Relay>,
    problems: &mut Vec<String>,
) -> Option<(String, MailPassword)> {
    let from_file = settings.mail_password_file.as_ref().map(|path| {
        let text = fs::read_to_string(path).map_err(|e| format!("mail_password_file: {}: {e}", path.display()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    });
    let given = settings.mail_password.clone().map(Ok::<_, String>);
    let password = match (from_file, given) {
        (Some(_), Some(_)) => {
            return note(
                problems,
                "mail_password_file: conflicts with CHANCERY_MAIL_PASSWORD; set only one of them".to_owned(),
            );
        }
        (Some(found), None) | (None, Some(found)) => Some(found),
        (None, None) => None,
    };
    match (settings.mail_username.clone(), password) {
        (None, None) => None,
        (Some(_), None) => note(
            problems,
            "mail_username: needs a password, in mail_password_file or CHANCERY_MAIL_PASSWORD".to_owned(),
        ),
        (None, Some(_)) => note(problems, "mail_username: is required with a password".to_owned()),
        (Some(_), Some(Err(problem))) => note(problems, problem),
        (Some(_), Some(Ok(_))) if relay.is_some_and(|r| r.security == Security::None) => {
            note(problems, "mail_username: needs TLS to send the password; smtp+plain:// has none".to_owned())
        }
        (Some(user), Some(Ok(password))) => {
            let plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
            if plain(&user) && plain(&password) {
                Some((user, MailPassword::new(password)))
            } else {
                note(problems, "mail_username: user name and password must each be one line of text".to_owned())
            }
        }
    }
}

fn note<T>(problems: &mut Vec<String>, problem: String) -> Option<T> {
    problems.push(problem);
    None
}

/// Sends what is due until the server ends.
pub(super) async fn send(service: Service, post: Arc<Post>, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    loop {
        match service.mails_take(AT_ONCE.saturating_sub(under_way.len())).await {
            Ok(taken) => {
                for mail in taken {
                    let (service, post) = (service.clone(), post.clone());
                    under_way.spawn(async move { service.mail_deliver(&post, mail).await });
                }
            }
            Err(error) => tracing::warn!(cause = ?error, "cannot look for due mails"),
        }
        if under_way.is_empty() {
            post.rest().await;
        }
        tokio::select! {
            biased;
            _ = ended.wait_for(|end| *end) => break,
            Some(done) = under_way.join_next() => count(&metrics, done.ok()),
            () = service.store().mail_handed_in() => {}
            () = pause(LOOK_EVERY) => {}
        }
    }
    let rest = async {
        while let Some(done) = under_way.join_next().await {
            count(&metrics, done.ok());
        }
        post.rest().await;
    };
    if tokio::time::timeout(TO_FINISH, rest).await.is_err() {
        tracing::warn!("stopped with mails in flight; they will be retried");
    }
}

fn count(metrics: &Metrics, done: Option<Delivery>) {
    let Some(Delivery { kind, fate }) = done else { return };
    match fate {
        Fate::Sent => metrics.mails().sent(kind.map_or("", MailKind::as_str)),
        Fate::Later(cause) => metrics.mails().failed(cause.as_str()),
        Fate::GivenUp(cause) => {
            metrics.mails().failed(cause.as_str());
            metrics.mails().dropped(cause.as_str(), 1);
        }
    }
}

/// Counts what lies in the outbox, and drops what is not worth sending any more, with or without a mail server.
pub(super) async fn keep_count(service: Service, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    loop {
        if let Err(error) = count_once(&service, &metrics).await {
            tracing::warn!(cause = ?error, "cannot count the outbox");
        }
        if !turn(COUNT_EVERY, &mut ended).await {
            return;
        }
    }
}

async fn count_once(service: &Service, metrics: &Metrics) -> Result<()> {
    let waiting = service.mails_waiting().await?;
    let now = service.now();
    let oldest = waiting.oldest.map_or(Duration::ZERO, |at| now.since(at).duration());
    metrics.mails().set_waiting(waiting.all, oldest);
    if waiting.expired > 0 {
        let dropped = service.mails_forget().await?;
        metrics.mails().dropped("expired", dropped);
        tracing::warn!(mails = dropped, "dropped mails that expired before they were sent");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
