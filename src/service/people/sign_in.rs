//! Sign-in with a password.

mod factor_steps;
mod found_step;
mod goal;
mod guess;
mod guests;
mod opening;
mod own_account;
mod page;
mod page_step;
mod page_steps;
mod passkey;
mod passkey_call;
mod passkey_page;
mod passkey_steps;
mod password;
mod state;
mod step_passkeys;
mod step_up;
mod steps;
mod still_live;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::{
    goal::{BrowserGoal, PresentSession},
    guests::{GuestRequest, NewGuest, UpgradeRequest},
    page::{FormProof, NewCookies, PageSignIn, PageSignedIn},
    page_step::{PageStep, StepAtPage, StepField, StepInput, StepPlace, StepTaken, StepTyped, StepsEnd},
    passkey_call::{PasskeyChallenge, PasskeyLoginRequest},
    passkey_page::PagePasskey,
    state::{Challenge, Continued, NextStep, SignInStep},
    step_up::StepUpRequest,
};
use self::{
    guests::GUEST_JOINED,
    opening::{Opened, OpenedSession, Spend},
    state::{Basis, SignInState},
};
pub(in crate::service) use self::{passkey::PASSKEY_TTL, step_up::PageStepUp};
use super::{
    accounts::WriteBudget,
    emails::Emails,
    factors::Factors,
    guest_limits::GuestLimits,
    limits::Limits,
    new_passwords::{NewPasswords, check_may_handle_passwords, wait_min_response_time},
    person::Person,
    tickets::Tickets,
};
use crate::{
    domain::{
        client::Client,
        end_user::EndUser,
        factor::Methods,
        guest::GuestJoin,
        scope::{Audience, Scope},
        text::cleaned,
        user::User,
    },
    entropy::Entropy,
    error::{Error, Reason, Result, Violations},
    id::RoleId,
    keys::SealingKeys,
    passwords::{Passwords, Phc},
    secret::{DeviceToken, Password},
    service::{
        access::{Callers, ClientCredentials, RequestContext},
        runtime::{Live, SessionWriter, TRIES},
        tokens::{Minter, StatusLists, TokenPair, audience_of, scopes_of},
    },
    store::Store,
    time::Timestamp,
};

/// Maximum length of a password, in bytes.
const MAX_PASSWORD: usize = 1024;
/// Maximum length of a device's name, in bytes: 128 characters of any script.
const MAX_LABEL: usize = 512;

/// A sign-in request.
#[derive(Debug)]
pub struct SignInRequest {
    /// The client id from the request.
    pub client_id: String,
    /// User name or email address.
    pub login: String,
    /// The password.
    pub password: Password,
    /// Requested scopes; empty means all.
    pub scopes: Vec<String>,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// The device token from an earlier sign-in.
    pub device_token: DeviceToken,
    /// The device.
    pub device: Device,
}

/// The device that the user signs in on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    /// Its name, for the list of sessions.
    pub label: String,
    /// The end user's address as reported by the client; may be empty.
    pub address: String,
    /// The end user's user agent as reported by the client.
    pub user_agent: String,
}

/// The audience and scopes granted to a sign-in.
struct Granted {
    audience: Audience,
    scopes: Vec<Scope>,
}

/// What a sign-in leads to.
enum Goal {
    /// Tokens, for an application.
    Tokens(Granted),
    /// A session behind a cookie.
    Browser(BrowserGoal),
}

/// A sign-in under way: through which client, by whom, on what, and to what end.
struct SignInCall<'a> {
    client: &'a Client,
    person: Person,
    device: Device,
    goal: Goal,
    /// The guest who signs in.
    guest: Option<GuestJoin>,
}

/// What became of a sign-in whose password was correct.
enum Proved {
    /// The session is open, and these are the tokens that identify the device from now on, the user's first.
    Session(Box<OpenedSession>, Vec<DeviceToken>),
    /// The user must complete steps first.
    Steps(Box<(User, SignInState)>),
    /// Somebody else has submitted the same form before.
    FormSpent,
    /// The browser has a session of another user.
    AnotherUser,
}

/// What a page adds to a sign-in.
#[derive(Clone, Copy, Default)]
struct AtPage<'a> {
    /// The form that is spent.
    form: Option<&'a FormProof>,
    /// The session that is replaced.
    present: Option<&'a PresentSession>,
}

/// What the user has typed, and the devices that they may be known on.
struct Typed<'a> {
    login: &'a str,
    password: &'a Password,
    devices: &'a [DeviceToken],
}

/// A user who has proved who they are, at least in part.
struct VerifiedUser {
    user: User,
    roles: Vec<RoleId>,
    /// What was proved.
    proved: Methods,
    /// A new hash that replaces one with outdated parameters.
    rehash: Option<Phc>,
    /// Whether the user must choose a new password.
    must_change: bool,
    /// When that was, if it was not just now.
    auth_time: Option<Timestamp>,
    /// The session that is raised.
    basis: Option<Basis>,
}

impl VerifiedUser {
    /// A user who has proved this, and whose password stays as it is.
    const fn new(user: User, roles: Vec<RoleId>, proved: Methods) -> Self {
        Self { user, roles, proved, rehash: None, must_change: false, auth_time: None, basis: None }
    }
}

/// The result of a sign-in request.
#[derive(Debug)]
pub enum SignedIn {
    /// The user is signed in.
    Tokens(TokenPair),
    /// The user must complete a step first.
    Challenge(Challenge),
}

/// Signs users in. Cheap to clone.
#[derive(Clone)]
pub struct SignIns {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) sealing: Arc<SealingKeys>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) limits: Limits,
    pub(super) guests: GuestLimits,
    pub(super) writer: SessionWriter,
    pub(super) callers: Callers,
    pub(super) minter: Minter,
    pub(super) lists: StatusLists,
    pub(super) tickets: Tickets,
    pub(super) emails: Emails,
    pub(super) factors: Factors,
    pub(super) new_passwords: NewPasswords,
    /// How many step-ups may begin.
    pub(super) budget: Arc<WriteBudget>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIns")
    }
}

impl SignIns {
    /// Checks the password and opens a session.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`] whatever is wrong with the user or the password; [`Reason::TooManyAttempts`]
    /// before the password is checked.
    pub async fn sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: SignInRequest,
    ) -> Result<SignedIn> {
        let client = self.callers.client_of(ctx, credentials, &request.client_id).await?;
        self.sign_in_to(ctx, &client, request, None).await
    }

    /// Signs in through a client that was authenticated.
    async fn sign_in_to(
        &self,
        ctx: &RequestContext,
        client: &Client,
        mut request: SignInRequest,
        guest: Option<GuestJoin>,
    ) -> Result<SignedIn> {
        // A device's name is as its maker or owner chose it: no reason to keep its user out.
        request.device.label = cleaned(&request.device.label, MAX_LABEL);
        check_may_handle_passwords(client)?;
        let end_user = check_fields(&request)?;
        let audience = audience_of(client, &request.audience)?.clone();
        let granted = Granted { audience, scopes: scopes_of(client, &request.scopes)? };
        let SignInRequest { login, password, device_token, device, .. } = request;
        let person = Person::behind(ctx, client, &end_user);
        let call = SignInCall { client, person, device, goal: Goal::Tokens(granted), guest };
        let typed = Typed { login: &login, password: &password, devices: std::slice::from_ref(&device_token) };
        // Boxed, because it is part of the future of every call.
        match Box::pin(self.prove(ctx, &call, &typed, AtPage::default())).await? {
            Proved::Session(opened, devices) => {
                let pair = self.first_tokens(&call, *opened).await?;
                Ok(SignedIn::Tokens(TokenPair { device: devices.into_iter().next(), ..pair }))
            }
            Proved::Steps(pending) => {
                // Boxed, too: the state is large.
                let challenge = async {
                    let (user, state) = *pending;
                    self.challenge(client, &user, state).await
                };
                Box::pin(challenge).await.map(SignedIn::Challenge)
            }
            Proved::FormSpent | Proved::AnotherUser => Err(Error::Conflict),
        }
    }

    /// Checks what was typed, and opens the session unless steps are left. Refusals take the same time, whatever the
    /// cause.
    async fn prove(
        &self,
        ctx: &RequestContext,
        call: &SignInCall<'_>,
        typed: &Typed<'_>,
        at_page: AtPage<'_>,
    ) -> Result<Proved> {
        self.live.for_signing()?;
        let arrived = Instant::now();
        let result = self.prove_in_turn(ctx, call, typed, at_page).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        result
    }

    /// Verifies the password and opens the session; retries if the user changed in between.
    async fn prove_in_turn(
        &self,
        ctx: &RequestContext,
        call: &SignInCall<'_>,
        typed: &Typed<'_>,
        at_page: AtPage<'_>,
    ) -> Result<Proved> {
        let mut supersedes = at_page.present.and_then(PresentSession::own);
        let mut joins = call.guest.as_ref();
        for _ in 0..TRIES {
            let mut guess = self.start_guess(ctx, call, typed)?;
            let Some(verified) = self.check_password(&mut guess, typed).await? else {
                guess.failed().await?;
                return Err(Error::Unauthenticated(Reason::InvalidCredentials));
            };
            ctx.check_deadline()?;
            if at_page.present.is_some_and(|present| present.is_of_another(&verified.user.id)) {
                guess.take_back().await;
                return Ok(Proved::AnotherUser);
            }
            if self.may_need_steps(call, &verified) {
                // Boxed to keep the future small: few sign-ins have further steps.
                if let Some(state) = Box::pin(self.pending(call, typed, &verified)).await? {
                    guess.take_back().await;
                    return Ok(Proved::Steps(Box::new((verified.user, state))));
                }
            }
            let devices = guess.devices(self, typed.devices, &verified.user.id);
            let spend = |opened: &OpenedSession| self.spending(at_page.form, opened, call, Some(&devices));
            let spend = Spend { form: Some(&spend), supersedes, guest: joins, ..Spend::default() };
            let user = verified.user.id.clone();
            match self.open_session(ctx, call, verified, spend).await {
                Err(Error::Conflict) => guess.take_back().await,
                Ok(Opened::BasisEnded) => {
                    guess.take_back().await;
                    if let (Some(guest), Goal::Tokens(_)) = (joins, &call.goal) {
                        return Err(self.guest_end(guest, &user).await?.unwrap_or(GUEST_JOINED));
                    }
                    (supersedes, joins) = (None, None);
                }
                Err(other) => {
                    guess.take_back().await;
                    return Err(other);
                }
                Ok(Opened::Spent) => {
                    guess.take_back().await;
                    return Ok(Proved::FormSpent);
                }
                Ok(Opened::Session(opened)) => {
                    guess.succeeded().await;
                    return Ok(Proved::Session(opened, devices));
                }
            }
        }
        Err(Error::Conflict)
    }
}

fn check_fields(request: &SignInRequest) -> Result<EndUser> {
    let device = &request.device;
    let mut violations = Violations::default();
    let end_user = violations.absorb(EndUser::parse(&device.address, &device.user_agent))?;
    let mut check = |field: &'static str, bad: bool, description: &str| violations.require(!bad, field, description);
    check("login", request.login.is_empty(), "must not be empty");
    check("login", request.login.len() > 1024, "must be at most 1024 bytes");
    check("password", request.password.expose().is_empty(), "must not be empty");
    check("password", request.password.expose().len() > MAX_PASSWORD, "must be at most 1024 bytes");
    violations.into_result(end_user)
}
