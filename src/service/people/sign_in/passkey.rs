//! Sign-in with a passkey and nothing else. What it signs is made for one form or one call, which is spent by the insert
//! that opens the session; nothing is stored before something is proved.

use serde_json::json;

use super::{
    AtPage, PresentSession, SignInCall, SignIns, Typed, VerifiedUser,
    opening::{Opened, OpenedSession, Spend},
    state::SignInState,
};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        factor::{Method, Methods},
        limit::LimitKind,
        passkey::PasskeyUse,
        session::FormSpending,
        user::User,
    },
    error::{Error, Result},
    id::{FactorId, TicketId},
    passkeys::{Challenge, PasskeyFault, Purpose, RelyingParty, Signed, Used},
    secret::{PasskeyResponse, Password},
    service::{
        access::RequestContext,
        people::limits::{GuessAudit, Plan},
        runtime::TRIES,
    },
    time::Ttl,
};

/// How long a form or a call is good for a passkey (`WebAuthn` §13.4.3).
pub(in crate::service) const PASSKEY_TTL: Ttl = Ttl::from_secs(300);

/// Failures count at the address alone: nobody guesses a signature, and there is no login to protect.
const BY_ADDRESS: Plan = Plan { judged: &ADDRESSES, counted: &ADDRESSES, held: &[] };
const ADDRESSES: [LimitKind; 4] = [LimitKind::Address, LimitKind::Network, LimitKind::Site, LimitKind::Provider];

/// What a passkey has signed, for whom, and what it was asked.
pub(super) struct PasskeyProof<'a> {
    pub(super) rp: &'a RelyingParty,
    pub(super) challenge: Challenge,
    pub(super) response: &'a PasskeyResponse,
    /// The id of the form or of the call.
    pub(super) id: [u8; 16],
    /// The ticket for its further steps, if there are any, and who holds it.
    pub(super) ticket: (TicketId, [u8; 32]),
}

/// What became of a passkey that was shown.
pub(super) enum ByPasskey {
    /// The session is open.
    Session(Box<OpenedSession>),
    /// It was right, and there are steps left. It is not used up yet.
    Steps(Box<(User, SignInState, PasskeyUse)>),
    /// The same was shown before, and has led to steps.
    StepsBefore,
    /// The form or the call was spent before.
    Spent,
    /// The browser has a session of another user.
    AnotherUser,
    /// It is not accepted.
    Refused,
}

/// Makes the row of what is spent.
type Spending<'a> = dyn Fn(&OpenedSession) -> Result<Option<FormSpending>> + Sync + 'a;

impl SignIns {
    /// Checks what a passkey has signed, and opens the session unless steps are left.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] before it is looked at; the database is unreachable.
    pub(super) async fn prove_by_passkey(
        &self,
        ctx: &RequestContext,
        call: &SignInCall<'_>,
        proof: &PasskeyProof<'_>,
        at_page: AtPage<'_>,
        spending: &Spending<'_>,
    ) -> Result<ByPasskey> {
        self.live.for_signing()?;
        let keys = self.limits.keys_of_address(call.person.address());
        self.limits.check_cached(&keys, &ADDRESSES)?;
        let mut supersedes = at_page.present.and_then(PresentSession::own);
        let mut guest = call.guest.as_ref();
        for _ in 0..TRIES {
            if let Some(before) = self.passkey_shown_before(proof, at_page.present).await? {
                return Ok(before);
            }
            let (verified, passkey_use) = match self.check_passkey(proof).await? {
                Ok(right) => right,
                Err(wrong) => {
                    // The same may have been accepted a moment ago, which has moved the counter.
                    if let Some(before) = self.passkey_shown_before(proof, at_page.present).await? {
                        return Ok(before);
                    }
                    self.count_refused_passkey(call, wrong).await?;
                    return Ok(ByPasskey::Refused);
                }
            };
            ctx.check_deadline()?;
            if at_page.present.is_some_and(|present| present.is_of_another(&verified.user.id)) {
                return Ok(ByPasskey::AnotherUser);
            }
            if self.may_need_steps(call, &verified)
                && let Some(state) = Box::pin(self.pending_after_passkey(call, &verified)).await?
            {
                return Ok(ByPasskey::Steps(Box::new((verified.user, state, passkey_use))));
            }
            let passkey = Some(&passkey_use);
            let spend = Spend { form: Some(spending), supersedes, guest, passkey, ..Spend::default() };
            match Box::pin(self.open_session(ctx, call, verified, spend)).await {
                // The user has changed, or has used the passkey elsewhere at the same time.
                Err(Error::Conflict) => {}
                Err(other) => return Err(other),
                Ok(Opened::BasisEnded) => (supersedes, guest) = (None, None),
                Ok(Opened::Spent) => return Ok(ByPasskey::Spent),
                Ok(Opened::Session(opened)) => return Ok(ByPasskey::Session(opened)),
            }
        }
        Err(Error::Conflict)
    }

    /// What the same form or call has led to, if it was used before. Its counter would look as if it had gone back.
    async fn passkey_shown_before(
        &self,
        proof: &PasskeyProof<'_>,
        present: Option<&PresentSession>,
    ) -> Result<Option<ByPasskey>> {
        let mut tx = self.store.read().await?;
        let (before, user) = if let Some(spent) = tx.spent_form(&proof.id, self.live.now()).await? {
            (ByPasskey::Spent, tx.session_by_id(&spent.session).await?.and_then(|session| session.user))
        } else {
            let (ticket, holder) = &proof.ticket;
            let Some(ticket) = tx.ticket_of_holder(ticket, holder).await? else { return Ok(None) };
            (ByPasskey::StepsBefore, ticket.user)
        };
        let of_another = present.zip(user).is_some_and(|(present, user)| present.is_of_another(&user));
        Ok(Some(if of_another { ByPasskey::AnotherUser } else { before }))
    }

    /// The user whose passkey it is, if it is one and has signed what was asked.
    async fn check_passkey(
        &self,
        proof: &PasskeyProof<'_>,
    ) -> Result<std::result::Result<(VerifiedUser, PasskeyUse), Wrong>> {
        let signed = match Signed::parse(proof.response.expose(), Purpose::Alone) {
            Ok(signed) => signed,
            Err(fault) => return Ok(Err(Wrong::unknown(fault))),
        };
        let mut tx = self.store.read().await?;
        let unknown = Wrong::unknown(PasskeyFault::Credential);
        let Some(passkey) = tx.passkey_by_credential(&signed.credential_id()).await? else { return Ok(Err(unknown)) };
        if passkey.host != proof.rp.host() {
            return Ok(Err(unknown));
        }
        let handle = tx.passkey_handle_of(&passkey.user).await?;
        let user = tx.user_by_id(&passkey.user).await?.filter(|user| user.disabled_at.is_none());
        let roles = tx.roles_of_user(&passkey.user).await?;
        drop(tx);
        let Some((handle, user)) = handle.zip(user) else { return Ok(Err(unknown)) };
        Ok(match signed.check(proof.rp, proof.challenge, &handle, &passkey.credential) {
            Ok(shown) => {
                let proved = Methods::default().and(method(&shown));
                let before = passkey.credential.dynamic_state;
                let passkey_use = PasskeyUse { id: passkey.id, before, after: shown.dynamic_state };
                // A password that was set for the user must be changed once it is used.
                Ok((VerifiedUser::new(user, roles, proved), passkey_use))
            }
            Err(fault) => Err(Wrong::of(fault, &passkey.id, user.subject)),
        })
    }

    /// Counts a passkey that was refused.
    async fn count_refused_passkey(&self, call: &SignInCall<'_>, wrong: Wrong) -> Result<()> {
        let address = call.person.address();
        self.note_refused_passkey(call.client, address, &wrong).await?;
        let actor = Actor { address: address.to_owned(), ..Actor::named(call.client.id.as_str()) };
        let mut attempt = self.limits.start(&self.limits.keys_of_address(address));
        attempt.count(BY_ADDRESS).await?;
        attempt.failed(GuessAudit { subject: String::new(), actor }).await
    }

    /// Writes down a passkey whose counter has gone back: it was copied, perhaps (P23).
    pub(super) async fn note_refused_passkey(&self, client: &Client, address: &str, wrong: &Wrong) -> Result<()> {
        let Wrong { fault, of } = wrong;
        tracing::debug!(client = %client.id, %fault, "a passkey was refused");
        let (PasskeyFault::Counter, Some((passkey, subject))) = (fault, of) else { return Ok(()) };
        let actor = Actor { address: address.to_owned(), ..Actor::named(client.id.as_str()) };
        let mut tx = self.store.write().await?;
        let details = json!({ "factor": passkey });
        tx.audit(self.live.now(), AuditKind::PasskeySuspected, &actor, subject, details).await?;
        tx.commit().await.map(|_| ())
    }

    /// A sign-in with steps left, if there are any.
    async fn pending_after_passkey(
        &self,
        call: &SignInCall<'_>,
        verified: &VerifiedUser,
    ) -> Result<Option<SignInState>> {
        let logins = self.store.read().await?.logins_of(&verified.user.id).await?;
        let login = logins.into_iter().next().unwrap_or_default();
        let password = Password::new(String::new());
        self.pending(call, &Typed { login: &login, password: &password, devices: &[] }, verified).await
    }
}

/// A passkey that was refused.
pub(super) struct Wrong {
    pub(super) fault: PasskeyFault,
    /// Which it is, and its user's subject, if it is one.
    of: Option<(String, String)>,
}

impl Wrong {
    pub(super) const fn unknown(fault: PasskeyFault) -> Self {
        Self { fault, of: None }
    }

    pub(super) fn of(fault: PasskeyFault, passkey: &FactorId, subject: String) -> Self {
        Self { fault, of: Some((passkey.to_string(), subject)) }
    }
}

/// What the use of a passkey proves.
pub(super) const fn method(used: &Used) -> Method {
    Method::Passkey { hardware: !used.can_be_copied, verified: used.verified }
}
