//! Sign-in with a passkey through an application: `StartPasskeyLogin` and the `ContinueLogin` after it. The state in
//! between stands sealed in the challenge that the application holds.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    AtPage, Continued, Device, Goal, Granted, MAX_LABEL, SignInCall, SignIns, SignedIn,
    opening::OpenedSession,
    passkey::{ByPasskey, PASSKEY_TTL, PasskeyProof},
    state::SignInState,
};
use crate::{
    domain::{
        client::Client,
        end_user::EndUser,
        passkey::PasskeyUse,
        scope::{Audience, Scope},
        session::FormSpending,
        text::cleaned,
        ticket::TicketKind,
        user::User,
    },
    error::{Error, Result, Violations},
    id::TicketId,
    keys::passkey_login::{self, Asked},
    passkeys::{Challenge, Purpose, request_options},
    secret::{PasskeyResponse, TicketToken, sha256},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            new_passwords::{check_may_handle_passwords, wait_min_response_time},
            passkey_factors::relying_party,
            person::Person,
            tickets::CODE_INVALID,
        },
        tokens::{audience_of, scopes_of},
    },
    time::Timestamp,
};

/// A sign-in with a passkey that begins.
#[derive(Debug)]
pub struct PasskeyLoginRequest {
    /// The client id from the request.
    pub client_id: String,
    /// Requested scopes; empty means all.
    pub scopes: Vec<String>,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// The device.
    pub device: Device,
}

/// What a passkey has to sign.
#[derive(Debug)]
pub struct PasskeyChallenge {
    /// The token for the next call.
    pub token: TicketToken,
    /// What the browser or the device is asked.
    pub options_json: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A sign-in of which nothing is proved yet.
#[derive(Serialize, Deserialize)]
struct LoginState {
    id: [u8; 16],
    client: String,
    issued_at: i64,
    audience: Audience,
    scopes: Vec<Scope>,
    device: Device,
}

impl SignIns {
    /// Begins a sign-in with a passkey. Nothing is stored for it.
    ///
    /// # Errors
    /// [`Error::Precondition`] if the client has no site for which passkeys are made.
    pub async fn start_passkey_login(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: PasskeyLoginRequest,
    ) -> Result<PasskeyChallenge> {
        let PasskeyLoginRequest { client_id, scopes, audience, mut device } = request;
        device.label = cleaned(&device.label, MAX_LABEL);
        let client = self.callers.client_of(ctx, credentials, &client_id).await?;
        check_may_handle_passwords(&client)?;
        let mut violations = Violations::default();
        violations.absorb(EndUser::parse(&device.address, &device.user_agent))?;
        violations.into_result(())?;
        let audience = audience_of(&client, &audience)?.clone();
        let scopes = scopes_of(&client, &scopes)?;
        let rp = relying_party(&client)?;
        let id = self.entropy.bytes16();
        let issued_at = self.live.now();
        let client = client.id.to_string();
        let state = LoginState { id, client, issued_at: issued_at.millis(), audience, scopes, device };
        let plain = serde_json::to_vec(&state).map_err(|e| Error::Internal(Box::new(e)))?;
        let token = passkey_login::seal(&self.sealing, Asked::Login, &plain, &*self.entropy)
            .ok_or_else(|| Error::invalid("scopes", "are too long together with the device's name"))?;
        let options_json = request_options(&rp, Challenge::of(id), &[], Purpose::Alone);
        Ok(PasskeyChallenge { token, options_json, expires_at: issued_at.plus(PASSKEY_TTL) })
    }

    /// Completes a sign-in with a passkey.
    pub(super) async fn continue_with_passkey(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (token, response): (&TicketToken, &PasskeyResponse),
    ) -> Result<Continued> {
        let arrived = Instant::now();
        let result = self.take_passkey(ctx, client, (token, response)).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        let signed_in = result?;
        Ok(Continued { signed_in, recovery_codes: Vec::new() })
    }

    async fn take_passkey(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (token, response): (&TicketToken, &PasskeyResponse),
    ) -> Result<SignedIn> {
        if response.expose().is_empty() {
            return Err(Error::invalid("passkey_response_json", "must not be empty"));
        }
        let state = passkey_login::open(&self.sealing, Asked::Login, token).ok_or(CODE_INVALID)?;
        let state: LoginState = serde_json::from_slice(&state).map_err(|_| CODE_INVALID)?;
        let age = self.live.now().since(Timestamp::from_millis(state.issued_at));
        if state.client != client.id.as_str() || age.millis() > PASSKEY_TTL.millis() {
            return Err(CODE_INVALID);
        }
        let LoginState { id, audience, scopes, device, .. } = state;
        let rp = relying_party(client)?;
        let stated = EndUser::parse(&device.address, &device.user_agent).unwrap_or_default();
        let person = Person::behind(ctx, client, &stated);
        let audience = audience_of(client, audience.as_str())?.clone();
        let goal = Goal::Tokens(Granted { audience, scopes });
        let call = SignInCall { client, person, device, goal, guest: None };
        let ticket = ticket_of(&id);
        let proof = PasskeyProof { rp: &rp, challenge: Challenge::of(id), response, id, ticket };
        let spending = |_: &OpenedSession| Ok(Some(FormSpending { id, proof: sha256(&id), result: Vec::new() }));
        match Box::pin(self.prove_by_passkey(ctx, &call, &proof, AtPage::default(), &spending)).await? {
            ByPasskey::Session(opened) => self.first_tokens(&call, *opened).await.map(SignedIn::Tokens),
            ByPasskey::Steps(pending) => self.challenge_after_passkey(client, *pending, proof.ticket).await,
            ByPasskey::StepsBefore | ByPasskey::Spent | ByPasskey::AnotherUser | ByPasskey::Refused => {
                Err(CODE_INVALID)
            }
        }
    }

    /// Stores a sign-in with steps left, notes the use of the passkey, and returns the challenge. The same call does so
    /// once.
    async fn challenge_after_passkey(
        &self,
        client: &Client,
        (user, state, passkey_use): (User, SignInState, PasskeyUse),
        (id, holder): (TicketId, [u8; 32]),
    ) -> Result<SignedIn> {
        let of = Some((&user.id, user.security_version));
        let mut issued = self.tickets.issue_as(id, (TicketKind::SignIn, &client.id), of, &state)?;
        issued.ticket.holder = Some(holder);
        if !self.keep_after_passkey(&user, &issued.ticket, &passkey_use).await? {
            return Err(CODE_INVALID);
        }
        self.shown(client, issued, &state).map(SignedIn::Challenge)
    }
}

/// The ticket for the further steps of a call. Its holder's hash is known to nobody, so no page finds it.
fn ticket_of(id: &[u8; 16]) -> (TicketId, [u8; 32]) {
    let hash = sha256(&[&b"passkey login\0"[..], id].concat());
    (TicketId::of_hash(&hash), sha256(&hash))
}
