//! Sign-in at a page: the same checks as for an application, and a cookie instead of tokens.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    AtPage, BrowserGoal, Device, Goal, MAX_PASSWORD, PresentSession, Proved, SignInCall, SignIns, Typed,
    opening::OpenedSession, state::SignInState,
};
use crate::{
    domain::{client::Client, session::FormSpending, ticket::TicketKind, user::User},
    error::{Error, Result, Violations},
    id::{SessionId, TicketId},
    keys::{form_id, session_cookie},
    secret::{DeviceToken, Password, SessionCookie, sha256},
    service::{access::RequestContext, people::person::Person},
    store::Tx,
    time::Timestamp,
};

/// A form that is submitted, and the keyed hash of what was typed into it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FormProof {
    /// The form's random id.
    pub id: [u8; 16],
    /// The keyed hash.
    pub proof: [u8; 32],
}

impl fmt::Debug for FormProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormProof(…)")
    }
}

/// A sign-in form that was submitted.
#[derive(Debug)]
pub struct PageSignIn {
    /// User name or email address.
    pub login: String,
    /// The password.
    pub password: Password,
    /// The tokens of earlier sign-ins with this browser, of any account.
    pub devices: Vec<DeviceToken>,
    /// What it leads to.
    pub goal: BrowserGoal,
    /// The hash of the browser's visitor, who alone may take further steps.
    pub holder: [u8; 32],
    /// The form.
    pub form: FormProof,
    /// The session that the browser has already.
    pub present: Option<PresentSession>,
}

/// The cookies of a session that was just opened.
#[derive(Debug)]
pub struct NewCookies {
    /// The session.
    pub session: SessionId,
    /// Its cookie.
    pub cookie: SessionCookie,
    /// When the cookie expires; nothing if that is when the browser is closed.
    pub expires_at: Option<Timestamp>,
    /// The tokens that identify the device from now on, at each account; nothing if they stay as they are.
    pub devices: Option<Vec<DeviceToken>>,
}

/// What became of a sign-in form.
#[derive(Debug)]
pub enum PageSignedIn {
    /// The user is signed in.
    Session(Box<NewCookies>),
    /// The user must take further steps.
    Step(TicketId),
    /// The form had been spent before.
    FormSpent,
    /// The browser has a session of another user, who must sign out first.
    AnotherUser,
}

/// The cookies, as they are kept for a form that is submitted again.
#[derive(Serialize, Deserialize)]
struct KeptCookies {
    session: SessionId,
    cookie: String,
    expires_at: Option<i64>,
    devices: Option<Vec<String>>,
    /// The keyed hash of what was typed.
    proof: [u8; 32],
}

impl SignIns {
    /// Checks what was typed into a form, and opens a session behind a cookie.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`](crate::error::Reason::InvalidCredentials) whatever is wrong with the user or the
    /// password; [`Error::TooManyAttempts`] before the password is checked.
    pub async fn sign_in_at_page(
        &self,
        ctx: &RequestContext,
        client: &Client,
        request: PageSignIn,
    ) -> Result<PageSignedIn> {
        let PageSignIn { login, password, devices, goal, holder, form, present } = request;
        check_typed(&login, &password)?;
        let person = Person::at_browser(ctx);
        let guest = present.as_ref().and_then(|present| present.guest_of(client));
        let call = SignInCall { client, person, device: Device::default(), goal: Goal::Browser(goal), guest };
        let typed = Typed { login: &login, password: &password, devices: &devices };
        let at_page = AtPage { form: Some(&form), present: present.as_ref() };
        Ok(match Box::pin(self.prove(ctx, &call, &typed, at_page)).await? {
            Proved::Session(opened, devices) => {
                PageSignedIn::Session(Box::new(self.cookies(&opened, &call, Some(devices))))
            }
            Proved::Steps(pending) => {
                let (user, state) = *pending;
                PageSignedIn::Step(Box::pin(self.first_page_step(client, (&user, &state), holder, &form)).await?)
            }
            Proved::FormSpent => PageSignedIn::FormSpent,
            Proved::AnotherUser => PageSignedIn::AnotherUser,
        })
    }

    /// Stores a sign-in with steps left, for this browser alone. The same form with the same contents always leads to
    /// the same one, so its id is made of what was submitted; the first to insert it decides.
    async fn first_page_step(
        &self,
        client: &Client,
        (user, state): (&User, &SignInState),
        holder: [u8; 32],
        form: &FormProof,
    ) -> Result<TicketId> {
        let user = Some((&user.id, user.security_version));
        let id = TicketId::of_hash(&sha256(&form.proof));
        let mut issued = self.tickets.issue_as(id, (TicketKind::SignIn, &client.id), user, state)?;
        issued.ticket.holder = Some(holder);
        let mut tx = self.store.write().await?;
        if tx.ticket_insert_once(&issued.ticket).await? {
            tx.commit().await?;
        }
        Ok(issued.ticket.id)
    }

    /// The cookies of a session that was opened at a page.
    pub(super) fn cookies(
        &self,
        opened: &OpenedSession,
        call: &SignInCall<'_>,
        devices: Option<Vec<DeviceToken>>,
    ) -> NewCookies {
        let OpenedSession { session, secret, .. } = opened;
        let shared = matches!(&call.goal, Goal::Browser(goal) if goal.shared);
        NewCookies {
            session: session.id.clone(),
            cookie: session_cookie::mint(&self.sealing, &session.id, secret, !shared),
            expires_at: (!shared).then_some(session.absolute_expires_at),
            devices,
        }
    }

    /// The row of a form that is spent with a session.
    pub(super) fn spending(
        &self,
        form: Option<&FormProof>,
        opened: &OpenedSession,
        call: &SignInCall<'_>,
        devices: Option<&[DeviceToken]>,
    ) -> Result<Option<FormSpending>> {
        let Some(FormProof { id, proof }) = form else { return Ok(None) };
        let result = self.keep_cookies(&form_purpose(id), *proof, opened, call, devices)?;
        Ok(Some(FormSpending { id: *id, proof: *proof, result }))
    }

    /// Seals the cookies for whoever submits the same again.
    pub(super) fn keep_cookies(
        &self,
        purpose: &str,
        proof: [u8; 32],
        opened: &OpenedSession,
        call: &SignInCall<'_>,
        devices: Option<&[DeviceToken]>,
    ) -> Result<Vec<u8>> {
        self.seal_cookies(purpose, proof, &self.cookies(opened, call, None), devices)
    }

    /// What is kept for a browser that has just become a guest: the cookies, for its other requests.
    pub(super) fn kept_for(&self, FormProof { id, proof }: &FormProof, cookies: &NewCookies) -> Result<FormSpending> {
        let result = self.seal_cookies(&form_purpose(id), *proof, cookies, None)?;
        Ok(FormSpending { id: *id, proof: *proof, result })
    }

    fn seal_cookies(
        &self,
        purpose: &str,
        proof: [u8; 32],
        cookies: &NewCookies,
        devices: Option<&[DeviceToken]>,
    ) -> Result<Vec<u8>> {
        let kept = KeptCookies {
            session: cookies.session.clone(),
            cookie: cookies.cookie.expose().to_owned(),
            expires_at: cookies.expires_at.map(Timestamp::millis),
            devices: devices.map(|tokens| tokens.iter().map(|token| token.expose().to_owned()).collect()),
            proof,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&kept).map_err(|e| Error::Internal(Box::new(e)))?);
        Ok(self.sealing.in_use().seal_for_browser(&plain, purpose, &*self.entropy))
    }

    /// The cookies that a form led to, if the same was typed into it a moment ago and the session lives.
    ///
    /// # Errors
    /// The database is unreachable.
    pub(in crate::service) async fn cookies_of_form(&self, form: &FormProof) -> Result<Option<Box<NewCookies>>> {
        let mut tx = self.store.read().await?;
        let sealed = tx.spent_form(&form.id, self.live.now()).await?.and_then(|spent| spent.result);
        self.kept_cookies(&mut tx, (&form_purpose(&form.id), &form.proof), sealed).await
    }

    /// Opens what [`SignIns::keep_cookies`] has sealed, if the same was typed. A browser must not be sent on with the
    /// cookies of a session that has ended.
    pub(super) async fn kept_cookies(
        &self,
        tx: &mut Tx,
        (purpose, proof): (&str, &[u8; 32]),
        sealed: Option<Vec<u8>>,
    ) -> Result<Option<Box<NewCookies>>> {
        let plain = sealed.and_then(|sealed| self.sealing.open_for_browser(&sealed, purpose));
        let kept = plain.and_then(|plain| serde_json::from_slice::<KeptCookies>(&plain).ok());
        let Some(kept) = kept.filter(|kept| form_id::same_proof(&kept.proof, proof)) else { return Ok(None) };
        let session = tx.session_by_id(&kept.session).await?;
        Ok(session.filter(|session| session.revoked.is_none()).map(|_| {
            Box::new(NewCookies {
                session: kept.session,
                cookie: SessionCookie::new(kept.cookie),
                expires_at: kept.expires_at.map(Timestamp::from_millis),
                devices: kept.devices.map(|tokens| tokens.into_iter().map(DeviceToken::new).collect()),
            })
        }))
    }
}

fn form_purpose(id: &[u8; 16]) -> String {
    format!("form result {:032x}", u128::from_be_bytes(*id))
}

fn check_typed(login: &str, password: &Password) -> Result<()> {
    let mut wrong = Violations::default();
    wrong.require(!login.is_empty(), "username", "must not be empty");
    wrong.require(login.len() <= 1024, "username", "must be at most 1024 bytes");
    wrong.require(!password.expose().is_empty(), "password", "must not be empty");
    wrong.require(password.expose().len() <= MAX_PASSWORD, "password", "must be at most 1024 bytes");
    wrong.into_result(())
}
