//! What the account page shows.

use axum::response::Response;
use serde_json::Value;

use super::{
    SignedIn,
    factors::{ShownFactors, section},
};
use crate::{
    domain::{
        mail::known_device,
        password_policy::PasswordPolicy,
        session::{SessionKind, touch_interval},
    },
    error::Result,
    service::{FormPurpose, UserView},
    time::Timestamp,
    web::{
        browser::{
            BrowserRequest,
            account_pages::{WaitingInUrl, Wrong},
            answer::Page,
        },
        pages::{Account, AccountAction, Attribute, Hidden, Notice, PendingEmail, Session, Text, Tone, View},
    },
};

/// How many sessions are listed.
const MAX_SESSIONS: usize = 100;
/// How many attributes are listed.
const MAX_ATTRIBUTES: usize = 50;

/// What a page shows besides the account.
#[derive(Default)]
pub(super) struct Shown {
    /// The form that was sent.
    pub(super) acted: Option<AccountAction>,
    /// The new address that waits for its code.
    pub(super) waiting: Option<WaitingInUrl>,
    /// What was typed as a new address.
    pub(super) email_typed: String,
    /// What was typed as a new user name.
    pub(super) username_typed: Option<String>,
    pub(super) factors: ShownFactors,
    pub(super) wrong: Wrong,
    pub(super) notice: Option<Notice>,
    /// Whether a new address was confirmed.
    pub(super) email_confirmed: bool,
}

/// The page.
pub(super) async fn page(request: &BrowserRequest, who: &SignedIn, mut shown: Shown) -> Response {
    let (status, notice, email_confirmed) = (shown.wrong.status(), shown.notice.take(), shown.email_confirmed);
    match account(request, who, shown).await {
        Ok(account) => {
            let confirmed = account.emails.first().filter(|_| email_confirmed).cloned();
            let confirmed = confirmed.map(|email| Notice::new(Tone::Done, Text::EmailConfirmed { email }));
            let view = View::Account(Box::new(account));
            let page = Page::new(view).with_status(status).with_notice(notice.or(confirmed));
            request.page(page.until(who.session.idle_expires_at()))
        }
        Err(error) => request.failed(&error),
    }
}

async fn account(request: &BrowserRequest, who: &SignedIn, shown: Shown) -> Result<Account> {
    let Shown { acted, waiting, email_typed, username_typed, factors, wrong, .. } = shown;
    let accounts = &request.state.service.accounts;
    let UserView { user, logins, .. } = accounts.me(&who.me).await?;
    let (factors, strict) = section(request, who, factors).await?;
    let all = sessions(request, who).await?;
    let (emails, names): (Vec<String>, Vec<String>) = logins.into_iter().partition(|login| login.contains('@'));
    let username = username_typed.or_else(|| names.first().cloned()).unwrap_or_default();
    let name = names.first().or(emails.first()).cloned().unwrap_or_else(|| user.subject.clone());
    let mut form = crate::web::pages::Form::new(request.form_token(FormPurpose::Profile, Some(&who.session), b""));
    form.errors = wrong.errors;
    Ok(Account {
        form,
        acted,
        name,
        username,
        username_editable: true,
        emails,
        email_typed,
        pending_email: waiting.map(|w| PendingEmail { email: w.waiting.to, form: Hidden::new(w.text) }),
        has_password: accounts.has_password(&who.me).await?,
        min_password: PasswordPolicy::beside(user.second_factors).min_code_points,
        password_needed: !who.me.is_fresh(request.ctx.now),
        factors,
        strict,
        attributes: attributes(&user.attributes),
        more_sessions: all.len() > MAX_SESSIONS,
        sessions: all.into_iter().take(MAX_SESSIONS).collect(),
    })
}

/// The live sessions, the one that reads the page first, then the newest.
async fn sessions(request: &BrowserRequest, who: &SignedIn) -> Result<Vec<Session>> {
    let service = &request.state.service;
    let snapshot = service.live.snapshot();
    let mut all: Vec<Session> = Vec::new();
    for session in service.accounts.sessions(&who.me).await? {
        let (browser, system) = known_device(&session.user_agent);
        let client = snapshot.clients.get(session.client.as_str());
        all.push(Session {
            id: session.id.to_string(),
            browser: browser.unwrap_or_default().to_owned(),
            system: system.unwrap_or_default().to_owned(),
            application: client.map_or(session.client.as_str(), |client| client.display_name()).to_owned(),
            address: session.address.clone(),
            signed_in_at: session.auth_time,
            last_used_at: last_used(&session, request.ctx.now),
            current: session.id == *who.me.session(),
            label: session.device_label,
        });
    }
    all.sort_by_key(|session| (!session.current, std::cmp::Reverse(session.last_used_at)));
    Ok(all)
}

/// When a session was used last, as far as that was noted: uses of a cookie are noted from time to time.
fn last_used(session: &crate::domain::session::Session, now: Timestamp) -> Timestamp {
    let noted = match session.kind {
        SessionKind::Browser => session.idle_expires_at.minus(session.idle_ttl).minus(touch_interval(session.idle_ttl)),
        _ => session.rotated_at,
    };
    noted.max(session.created_at).min(now.max(session.created_at))
}

/// The attributes, one line for each value.
fn attributes(all: &serde_json::Map<String, Value>) -> Vec<Attribute> {
    let mut out = Vec::new();
    for (name, value) in all {
        match value {
            Value::Object(members) => {
                let member =
                    |(key, value): (&String, &Value)| Attribute { name: format!("{name}.{key}"), value: text(value) };
                out.extend(members.iter().map(member));
            }
            value => out.push(Attribute { name: name.clone(), value: text(value) }),
        }
    }
    out.truncate(MAX_ATTRIBUTES);
    out
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
