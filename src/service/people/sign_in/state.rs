//! What is known of a sign-in between its steps.

use serde::{Deserialize, Serialize};

use super::{Device, Goal, Granted, SignInCall, SignedIn, Typed, goal::StateAtPage, step_passkeys::StepPasskeys};
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        end_user::EndUser,
        factor::{FactorKind, Methods},
        guest::GuestJoin,
        scope::{Audience, Scope},
        session::Session,
        ticket::Ticket,
    },
    error::Result,
    id::{SessionId, UserId},
    secret::{DeviceToken, PasskeyResponse, Password, RecoveryCode, TicketToken, TypedCode},
    service::{
        access::RequestContext,
        people::{
            factors::{PendingTotp, TotpSetup},
            person::Person,
            tickets::CODE_INVALID,
        },
        tokens::audience_of,
    },
    store::Tx,
    time::Timestamp,
};

/// A step that a sign-in still requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInStep {
    /// Show a second factor.
    Mfa,
    /// Set up a second factor.
    Enrol,
    /// Choose a new password.
    ChoosePassword,
    /// Verify an email address.
    VerifyEmail,
}

/// A step that the user must complete.
#[derive(Debug)]
pub struct Challenge {
    /// The step.
    pub step: SignInStep,
    /// The token for the next call.
    pub token: TicketToken,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The address that a code was sent to, if one was.
    pub sent_to: Option<String>,
    /// The second factors that the step takes.
    pub factors: Vec<FactorKind>,
    /// An app to set up, if that is the step.
    pub totp: Option<TotpSetup>,
    /// What a passkey is asked, if the step takes one.
    pub passkey_options: Option<String>,
    /// Where the user's passkeys work, if the step would take one and they are all of other hosts.
    pub passkey_hosts: Vec<String>,
}

/// What became of a step.
#[derive(Debug)]
pub struct Continued {
    /// Tokens, or the next step.
    pub signed_in: SignedIn,
    /// New recovery codes, if the step has set up the first second factor.
    pub recovery_codes: Vec<RecoveryCode>,
}

/// The next step, as the client sends it.
#[derive(Debug)]
pub struct NextStep {
    /// The client id from the request.
    pub client_id: String,
    /// The token of the challenge.
    pub token: TicketToken,
    /// The new password.
    pub new_password: Password,
    /// The address to send a code to.
    pub email: String,
    /// The code that was sent, or that an app shows.
    pub code: TypedCode,
    /// A recovery code.
    pub recovery_code: TypedCode,
    /// What a passkey has signed.
    pub passkey_response: PasskeyResponse,
}

/// The state of a sign-in with a correct password and steps left.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SignInState {
    /// The steps that are left; the first one is next.
    pub(super) steps: Vec<SignInStep>,
    /// What was proved so far.
    #[serde(default = "Methods::password")]
    pub(super) proved: Methods,
    /// The second factors that the user can show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) factors: Vec<FactorKind>,
    /// The app that is to be set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) totp: Option<PendingTotp>,
    /// The passkeys that may be used or made.
    #[serde(default)]
    pub(super) passkeys: StepPasskeys,
    /// New recovery codes that a page has to show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) recovery_codes: Vec<String>,
    /// What was typed as user name, and the device tokens that came with it.
    #[serde(default)]
    pub(super) login: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) devices: Vec<String>,
    /// The audience of the tokens; none in a browser.
    pub(super) audience: Option<Audience>,
    pub(super) scopes: Vec<Scope>,
    pub(super) device: Device,
    /// The email address that a code was sent to.
    pub(super) email: Option<String>,
    /// The session that is raised, and stands for what was proved before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) basis: Option<Basis>,
    /// The guest who signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) guest: Option<GuestJoin>,
    /// What it leads to, if that is a session behind a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at_page: Option<StateAtPage>,
}

impl SignInState {
    pub(super) fn new(steps: Vec<SignInStep>, call: &SignInCall<'_>, typed: &Typed<'_>, proved: Methods) -> Self {
        let (audience, scopes, at_page) = match &call.goal {
            Goal::Tokens(Granted { audience, scopes }) => (Some(audience.clone()), scopes.clone(), None),
            Goal::Browser(goal) => (None, Vec::new(), Some(StateAtPage::new(goal, typed.login))),
        };
        Self {
            steps,
            proved,
            factors: Vec::new(),
            totp: None,
            passkeys: StepPasskeys::default(),
            recovery_codes: Vec::new(),
            login: typed.login.to_owned(),
            devices: typed.devices.iter().map(|token| token.expose().to_owned()).collect(),
            audience,
            scopes,
            device: call.device.clone(),
            email: None,
            basis: None,
            guest: call.guest.clone(),
            at_page,
        }
    }

    /// The user who takes the steps. What an application has stated at the first one was checked then.
    pub(super) fn person(&self, ctx: &RequestContext, client: &Client) -> Person {
        let stated = || EndUser::parse(&self.device.address, &self.device.user_agent).unwrap_or_default();
        if self.at_page.is_some() { Person::at_browser(ctx) } else { Person::behind(ctx, client, &stated()) }
    }

    /// The device tokens that came with the password.
    pub(super) fn devices(&self) -> Vec<DeviceToken> {
        self.devices.iter().map(|token| DeviceToken::new(token.clone())).collect()
    }

    /// The call that opens the session. The client may have lost the audience meanwhile.
    pub(super) fn into_call<'a>(self, ctx: &RequestContext, client: &'a Client) -> Result<SignInCall<'a>> {
        let person = self.person(ctx, client);
        let goal = match (self.at_page, self.audience) {
            (Some(at_page), _) => Goal::Browser(at_page.goal),
            (None, Some(audience)) => {
                let audience = audience_of(client, audience.as_str())?.clone();
                Goal::Tokens(Granted { audience, scopes: self.scopes })
            }
            (None, None) => return Err(CODE_INVALID),
        };
        Ok(SignInCall { client, person, device: self.device, goal, guest: self.guest })
    }
}

/// A sign-in whose next step is being completed.
pub(super) struct PendingSignIn {
    pub(super) ticket: Ticket,
    pub(super) user: UserId,
    pub(super) state: SignInState,
}

/// The session that is raised, and what the new one keeps of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Basis {
    /// The session.
    pub(super) session: SessionId,
    /// When its user signed in. A second factor alone proves nothing else anew, so that this stays.
    pub(super) auth_time: Timestamp,
    /// When it ends at the latest: nobody lives longer on second factors alone.
    pub(super) ends_at: Timestamp,
    /// The session that it was opened from.
    pub(super) parent: Option<SessionId>,
}

impl Basis {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            session: session.id.clone(),
            auth_time: session.auth_time,
            ends_at: session.absolute_expires_at,
            parent: session.parent.clone(),
        }
    }

    /// Makes a new session one that goes on from this.
    pub(super) fn carry_over(&self, session: &mut Session) {
        session.auth_time = self.auth_time;
        session.absolute_expires_at = session.absolute_expires_at.min(self.ends_at);
        session.parent.clone_from(&self.parent);
    }

    /// Whether the session, or the one that has replaced it in its browser, is live.
    pub(super) async fn is_live(&self, tx: &mut Tx, now: Timestamp) -> Result<bool> {
        let session = tx.session_or_successor(self.session.clone()).await?;
        Ok(session.is_some_and(|session| now < session.expires_at()))
    }
}

/// The user who takes a step, for the audit log.
pub(super) fn actor(ctx: &RequestContext, client: &Client, state: &SignInState, subject: &str) -> Actor {
    let address = state.person(ctx, client).address().to_owned();
    Actor { client: Some(client.id.to_string()), address, ..Actor::named(subject) }
}
