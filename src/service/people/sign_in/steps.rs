//! Multi-step sign-ins: the server, not the client, keeps the steps left between a correct password and tokens. Each
//! step can be completed once.

use serde_json::json;
use tokio::time::Instant;

use super::{
    Goal, SignInCall, SignIns, SignedIn, Typed, VerifiedUser,
    factor_steps::ShownFactor,
    guests::GUEST_JOINED,
    opening::{Opened, Spend},
    state::{Challenge, Continued, NextStep, PendingSignIn, SignInState, SignInStep, actor},
    step_passkeys::factors_here,
};
use crate::{
    domain::{
        audit::AuditKind,
        client::Client,
        login::Login,
        mail::{Asked, Content, Recipient},
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::{Error, Result},
    id::UserId,
    keys::passkey_login,
    secret::{MailedSecret, Password, TicketToken, TypedCode},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, Asker, MailLanguage},
            new_passwords::{check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time},
            person::Person,
            ticket_turn::TicketTurn,
            tickets::{CODE_INVALID, FoundTicket, IssuedTicket, PresentedTicket, is_code},
        },
        tokens::TokenPair,
    },
};

impl SignIns {
    /// Whether there may be steps to take, as far as memory tells.
    pub(super) fn may_need_steps(&self, call: &SignInCall<'_>, verified: &VerifiedUser) -> bool {
        verified.must_change
            || call.client.config.require_email
            || verified.user.second_factors > 0
            || self.demands_two_factors(call, verified)
    }

    /// Whether somebody demands two factors of this sign-in.
    pub(super) fn demands_two_factors(&self, call: &SignInCall<'_>, verified: &VerifiedUser) -> bool {
        call.client.config.require_mfa
            || matches!(&call.goal, Goal::Browser(goal) if goal.two_factors)
            || self.live.snapshot().roles_require_mfa(&verified.roles)
    }

    /// A sign-in with steps left, if there are any. What was not proved yet comes first.
    pub(super) async fn pending(
        &self,
        call: &SignInCall<'_>,
        typed: &Typed<'_>,
        verified: &VerifiedUser,
    ) -> Result<Option<SignInState>> {
        let (has_factor, proved) = (verified.user.second_factors > 0, verified.proved.clone());
        let mut tx = self.store.read().await?;
        let logins = tx.logins_of(&verified.user.id).await?;
        let (factors, passkeys) = factors_here(&mut tx, call.client, &verified.user, &*self.entropy).await?;
        drop(tx);
        let without_email = call.client.config.require_email && !logins.iter().any(|login| login.contains('@'));
        let steps = [
            (has_factor && !proved.are_two_factors(), SignInStep::Mfa),
            (verified.must_change, SignInStep::ChoosePassword),
            (without_email, SignInStep::VerifyEmail),
            (!has_factor && self.demands_two_factors(call, verified), SignInStep::Enrol),
        ];
        let steps: Vec<_> = steps.into_iter().filter(|(needed, _)| *needed).map(|(_, step)| step).collect();
        if steps.is_empty() {
            return Ok(None);
        }
        let totp = steps.contains(&SignInStep::Enrol).then(|| self.factors.new_totp("", &logins));
        Ok(Some(SignInState { factors, totp, passkeys, ..SignInState::new(steps, call, typed, proved) }))
    }

    /// Stores a sign-in with steps left and returns the challenge.
    pub(super) async fn challenge(&self, client: &Client, user: &User, state: SignInState) -> Result<Challenge> {
        let user = Some((&user.id, user.security_version));
        let issued = self.tickets.issue(TicketKind::SignIn, &client.id, user, &state)?;
        let mut tx = self.store.write().await?;
        tx.ticket_insert(&issued.ticket).await?;
        tx.commit().await?;
        self.shown(client, issued, &state)
    }

    /// Completes the next step of a sign-in.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if this client has no such challenge; a violation
    /// of the fields that the step requires.
    pub async fn continue_sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        next: NextStep,
    ) -> Result<Continued> {
        let client = self.callers.client_of(ctx, credentials, &next.client_id).await?;
        check_may_handle_passwords(&client)?;
        self.live.for_signing()?;
        if passkey_login::is_one(&next.token) {
            return Box::pin(self.continue_with_passkey(ctx, &client, (&next.token, &next.passkey_response))).await;
        }
        let arrived = Instant::now();
        let result = self.take_next_step(ctx, &client, next).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn take_next_step(&self, ctx: &RequestContext, client: &Client, mut next: NextStep) -> Result<Continued> {
        let token = std::mem::replace(&mut next.token, TicketToken::new(String::new()));
        let presented = PresentedTicket { token, ticket: String::new(), code: TypedCode::new(String::new()) };
        let FoundTicket { ticket, .. } = self.tickets.find_valid(client, &[TicketKind::SignIn], &presented).await?;
        let state: SignInState = self.tickets.data(&ticket)?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let step = state.steps.first().copied();
        let mut pending = PendingSignIn { ticket, user, state };
        // Before anything is spent that counts once.
        if let Some(guest) = &pending.state.guest
            && let Some(ended) = self.guest_end(guest, &pending.user).await?
        {
            return Err(ended);
        }
        let (mut version, mut recovery_codes) = (None, Vec::new());
        match step {
            Some(SignInStep::Mfa) => {
                let shown = ShownFactor::of(next)?;
                let matched = self.match_factor(ctx, client, &pending, &shown).await?;
                let method = matched.method;
                self.spend_factor(ctx, client, &pending, matched, TicketTurn::Use).await?;
                pending.state.proved = pending.state.proved.and(method);
                version = Some(pending.ticket.security_version);
            }
            Some(SignInStep::Enrol) => {
                let made = ShownFactor::of(next)?;
                let enrolling = self.match_enrolment(client, &pending, &made).await?;
                let keep = pending.state.basis.as_ref().map(|basis| &basis.session);
                self.enrol(ctx, client, &pending, &enrolling, (TicketTurn::Use, keep)).await?;
                pending.state.proved = pending.state.proved.and(enrolling.method());
                recovery_codes = enrolling.codes;
            }
            Some(SignInStep::ChoosePassword) => {
                self.choose_password(ctx, client, &pending, next.new_password, TicketTurn::Use).await?;
            }
            Some(SignInStep::VerifyEmail) if next.code.expose().is_empty() => {
                let signed_in = self.send_code(ctx, client, pending, &next.email).await?;
                return Ok(Continued { signed_in, recovery_codes: Vec::new() });
            }
            Some(SignInStep::VerifyEmail) => {
                self.check_code(ctx, client, &pending, &next.code, TicketTurn::Use).await?;
            }
            None => return Err(CODE_INVALID),
        }
        let signed_in = self.advance(ctx, client, pending, version).await?;
        Ok(Continued { signed_in, recovery_codes })
    }

    /// Sets the password that replaces the user's, and takes the ticket of this step.
    pub(super) async fn choose_password(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        password: Password,
        turn: TicketTurn<'_>,
    ) -> Result<()> {
        let mut tx = self.store.read().await?;
        let logins = tx.logins_of(&pending.user).await?;
        let second_factors = tx.user_by_id(&pending.user).await?.map_or(0, |user| user.second_factors);
        drop(tx);
        check_new_password(&password, &logins, second_factors)?;
        let of = (&pending.ticket, &logins[..]);
        Box::pin(self.new_passwords.check_is_another(&self.passwords, of, &password, false)).await?;
        let phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let actor = |subject: &str| actor(ctx, client, &pending.state, subject);
        self.new_passwords.set_by_ticket(client, (&pending.ticket, turn), &phc, actor).await.map(|_| ())
    }

    /// Sends a code to an email address. The next challenge expects the code.
    async fn send_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        email: &str,
    ) -> Result<SignedIn> {
        let PendingSignIn { ticket, user, mut state } = pending;
        state.email = Some(email.to_owned());
        let owner = Some((&user, ticket.security_version));
        let next = self.tickets.issue(TicketKind::SignIn, &client.id, owner, &state)?;
        let person = state.person(ctx, client);
        let sending = SentCode { ctx, client, person: &person, user: &user, email };
        self.mail_code(sending, (&ticket, TicketTurn::ReplaceBy(&next.ticket)), &next).await?;
        self.shown(client, next, &state).map(SignedIn::Challenge)
    }

    /// Mails a code or, if the address is taken, a notice to its owner, and takes the ticket of this step.
    pub(super) async fn mail_code(
        &self,
        sending: SentCode<'_>,
        (ticket, turn): (&Ticket, TicketTurn<'_>),
        code: &IssuedTicket,
    ) -> Result<()> {
        let SentCode { ctx, client, person, user, email } = sending;
        let login = Login::parse_email(email).map_err(|problem| Error::invalid("email", problem))?;
        let recipient = Recipient::of(&login).ok_or(CODE_INVALID)?;
        let asked = person.asked(ctx);
        // The password was right, so the user asks.
        let counted = self.emails.count_request(login.canonical(), Asker::User(user), &asked.address).await?;
        let arrived = Instant::now();
        let to = (recipient, MailLanguage::of(ctx, None), asked);
        counted.kept_if_done(self.queue_code((client, user), (ticket, turn), code, &login, to)).await?;
        wait_min_response_time(arrived).await;
        Ok(())
    }

    /// Takes the ticket of this step, and queues the mail with the code of the next one.
    async fn queue_code(
        &self,
        (client, user): (&Client, &UserId),
        (ticket, turn): (&Ticket, TicketTurn<'_>),
        code: &IssuedTicket,
        login: &Login,
        (recipient, language, asked): (Recipient, MailLanguage, Asked),
    ) -> Result<()> {
        let mut tx = self.store.write().await?;
        turn.take(&mut tx, ticket, self.live.now()).await?;
        let owner = tx.user_by_login(login.canonical()).await?;
        let mut link_and_code = code.link_and_code(client);
        // A link would complete the sign-in itself, so only the code is sent.
        link_and_code.link = MailedSecret::new(String::new());
        let (content, language) = if let Some(owner) = owner {
            (Content::AccountExists, language.for_owner(owner.user.language.as_ref()))
        } else {
            let own = tx.user_by_id(user).await?.and_then(|user| user.language);
            (Content::VerifyEmail(link_and_code), language.for_reader(own.as_ref()))
        };
        let to = Addressee { recipient, language, asked };
        self.emails.send(&mut tx, client, to, content).await?;
        tx.commit().await.map(|_| ())
    }

    /// Checks a code, makes its address the user's, and takes the ticket of this step.
    pub(super) async fn check_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        code: &TypedCode,
        turn: TicketTurn<'_>,
    ) -> Result<()> {
        let PendingSignIn { ticket, user, state } = pending;
        let email =
            state.email.as_ref().ok_or_else(|| Error::invalid("code", "must be empty: no code has been sent yet"))?;
        if ticket.attempts_left <= 0 || !is_code(code) {
            return Err(CODE_INVALID);
        }
        // Use up an attempt before checking the code, so that parallel guesses do not exceed the limit.
        let mut tx = self.store.write().await?;
        let left = tx.ticket_attempt(&ticket.id, self.live.now()).await?;
        tx.commit().await?;
        if left.is_none() || !self.tickets.code_matches(ticket, code) {
            return Err(CODE_INVALID);
        }
        let login = Login::parse(email).map_err(|e| Error::Internal(Box::new(e)))?;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !tx.user_touch(user, Some(ticket.security_version), now).await? {
            return Err(CODE_INVALID);
        }
        turn.take(&mut tx, ticket, now).await?;
        let user = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?;
        self.emails.replace(&mut tx, client, (&user, &[]), &login).await?;
        let subject = user.subject;
        let actor = actor(ctx, client, state, &subject);
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({ "step": true })).await?;
        tx.commit().await.map(|_| ())
    }

    /// After a completed step: returns the next challenge, or opens the session.
    async fn advance(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        version: Option<i64>,
    ) -> Result<SignedIn> {
        let PendingSignIn { user, mut state, .. } = pending;
        if !state.steps.is_empty() {
            state.steps.remove(0);
        }
        let verified = self.still_verified(&user, &state, version).await?;
        if !state.steps.is_empty() {
            return self.challenge(client, &verified.user, state).await.map(SignedIn::Challenge);
        }
        let device = self.devices_after_steps(&state.login, &state.devices(), &user).into_iter().next();
        let supersedes = state.basis.as_ref().map(|basis| &basis.session);
        let call = state.clone().into_call(ctx, client)?;
        let spend = Spend { supersedes, guest: call.guest.as_ref(), ..Spend::default() };
        match self.open_session(ctx, &call, verified, spend).await? {
            Opened::Session(opened) => {
                self.clear_after_steps(&state, &user).await;
                let pair = self.first_tokens(&call, *opened).await?;
                Ok(SignedIn::Tokens(TokenPair { device, ..pair }))
            }
            Opened::Spent | Opened::BasisEnded => Err(match &call.guest {
                Some(guest) => self.guest_end(guest, &user).await?.unwrap_or(GUEST_JOINED),
                None => CODE_INVALID,
            }),
        }
    }

    /// The challenge of the step that is next.
    pub(super) fn shown(&self, client: &Client, issued: IssuedTicket, state: &SignInState) -> Result<Challenge> {
        let step = state.steps.first().copied().ok_or(CODE_INVALID)?;
        let factors = if step == SignInStep::Mfa { state.factors.clone() } else { Vec::new() };
        let totp = state.totp.as_ref().filter(|_| step == SignInStep::Enrol);
        Ok(Challenge {
            step,
            expires_at: issued.ticket.expires_at,
            sent_to: state.email.clone(),
            factors,
            totp: totp.map(|pending| pending.setup(client)).transpose()?,
            passkey_options: self.passkey_options(client, &issued.ticket, state),
            passkey_hosts: if step == SignInStep::Mfa { state.passkeys.elsewhere().to_vec() } else { Vec::new() },
            token: issued.token,
        })
    }

    /// A user who has taken a step, as they are now: at this version, if the step has changed nothing.
    pub(super) async fn still_verified(
        &self,
        user: &UserId,
        state: &SignInState,
        version: Option<i64>,
    ) -> Result<VerifiedUser> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(user).await?.filter(|u| u.disabled_at.is_none());
        let as_it_was = |user: &User| version.is_none_or(|version| user.security_version == version);
        let user = user.filter(as_it_was).ok_or(CODE_INVALID)?;
        let roles = tx.roles_of_user(&user.id).await?;
        Ok(VerifiedUser { basis: state.basis.clone(), ..VerifiedUser::new(user, roles, state.proved.clone()) })
    }
}

/// A code that the user has asked for.
pub(super) struct SentCode<'a> {
    pub(super) ctx: &'a RequestContext,
    pub(super) client: &'a Client,
    pub(super) person: &'a Person,
    pub(super) user: &'a UserId,
    /// Where it is sent.
    pub(super) email: &'a str,
}
