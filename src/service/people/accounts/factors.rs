//! The second factors of a signed-in user.

use super::{Accounts, budget::Write};
use crate::{
    domain::{
        client::Client,
        factor::Factor,
        password_policy::PasswordPolicy,
        qr_code,
        ticket::{Ticket, TicketKind},
        totp::TotpCode,
        user::User,
    },
    error::{Error, Reason, Result},
    id::FactorId,
    secret::{Password, RecoveryCode, TicketToken, TypedCode},
    service::{
        access::{Me, RequestContext, TOKEN_REFUSED},
        people::{
            factors::{FactorChange, MAX_FACTORS, PendingTotp, TotpSetup, read_code},
            ticket_turn::TicketTurn,
            tickets::{CODE_INVALID, FoundTicket, PresentedTicket},
            users::UserView,
        },
    },
    store::Tx,
    time::Timestamp,
};

/// An app that is being set up.
#[derive(Debug)]
pub struct TotpEnrolment {
    /// What the confirmation presents.
    pub enrolment: TicketToken,
    /// What the app needs to know.
    pub setup: TotpSetup,
    /// The same as a QR code, in SVG.
    pub qr_svg: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A second factor that was set up.
#[derive(Debug)]
pub struct NewFactor {
    /// The factor.
    pub factor: Factor,
    /// New recovery codes, if it is the first one.
    pub recovery_codes: Vec<RecoveryCode>,
}

/// The second factors of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFactors {
    /// The factors, the oldest first.
    pub factors: Vec<Factor>,
    /// How many recovery codes are left.
    pub recovery_codes_left: i64,
}

/// Whether a user may change second factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MayChangeFactors {
    /// Whether that is so now. If not, the user signs in again.
    pub now: bool,
    /// Whether the user has any.
    pub has_one: bool,
}

impl Accounts {
    /// The user's own second factors.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn factors(&self, me: &Me) -> Result<OwnFactors> {
        let mut tx = self.store.read().await?;
        let factors = tx.factors_of(&me.user).await?;
        Ok(OwnFactors { factors, recovery_codes_left: tx.recovery_codes_left(&me.user).await? })
    }

    /// Fails if the user has a second factor and the sign-in is too old, or was without one: the password alone proves
    /// less than a sign-in.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`].
    pub(super) async fn check_second_factor(&self, me: &Me, now: Timestamp) -> Result<()> {
        let user = self.store.read().await?.user_by_id(&me.user).await?.ok_or(TOKEN_REFUSED)?;
        if user.second_factors == 0 { Ok(()) } else { me.check_may_change_factors(user.second_factors, now) }
    }

    /// Whether the user may change second factors now; if not, after signing in again.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn may_change_factors(&self, ctx: &RequestContext, me: &Me) -> Result<MayChangeFactors> {
        let user = self.me(me).await?.user;
        let now = me.check_may_change_factors(user.second_factors, ctx.now).is_ok();
        Ok(MayChangeFactors { now, has_one: user.second_factors > 0 })
    }

    /// Begins to set up an app. What was begun before is void.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`], also if a second factor was not shown;
    /// [`Error::Precondition`] if there are too many; [`Error::RateLimited`].
    pub async fn enrol_totp(&self, ctx: &RequestContext, me: &Me, name: &str) -> Result<TotpEnrolment> {
        let UserView { user, logins, .. } = self.me(me).await?;
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        check_room(&user)?;
        let client = self.live.client(&me.client)?;
        let pending = self.factors.new_totp(name, &logins);
        let of = Some((&user.id, user.security_version));
        let mut issued = self.tickets.issue(TicketKind::Enrol, &client.id, of, &pending)?;
        let topic = self.sealing.oldest().topic_hash(TicketKind::Enrol.as_str(), user.id.as_str());
        issued.ticket.topic = Some(topic);
        let work = async {
            let mut tx = me.write(&self.store).await?;
            tx.tickets_void(&topic, self.live.now()).await?;
            tx.ticket_insert(&issued.ticket).await?;
            tx.commit().await.map(|_| ())
        };
        self.budget.spend(Write::Security(&me.session), ctx.now, work).await?;
        enrolment(issued.token, &pending, &client, issued.ticket.expires_at)
    }

    /// An app that is being set up, once more.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`] if there is none, or none that can still be confirmed.
    pub async fn pending_totp(&self, me: &Me, token: TicketToken) -> Result<TotpEnrolment> {
        let client = self.live.client(&me.client)?;
        let kept = TicketToken::new(token.expose().to_owned());
        let (ticket, pending) = self.pending_enrolment(me, &client, token).await?;
        let mut tx = self.store.read().await?;
        if ticket.attempts_left <= 0 || !self.tickets.is_of_account(&mut tx, &ticket).await? {
            return Err(CODE_INVALID);
        }
        drop(tx);
        enrolment(kept, &pending, &client, ticket.expires_at)
    }

    /// Sets an app up with the first code that it shows. Other sessions end. The same call gets the same answer for as long
    /// as the enrolment would have been valid.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`]; as [`Accounts::enrol_totp`].
    pub async fn confirm_totp(
        &self,
        ctx: &RequestContext,
        me: &Me,
        token: TicketToken,
        code: &TypedCode,
    ) -> Result<NewFactor> {
        let confirmed = Box::pin(self.confirm_totp_once(ctx, me, &token, code)).await;
        match confirmed {
            // Otherwise the recovery codes of whoever has missed the answer would never be seen. The sign-in is too weak once
            // there is a factor.
            Err(refused @ Error::Unauthenticated(Reason::CodeInvalid | Reason::SignInTooOld)) => {
                self.totp_confirmed_before(me, &token, code).await?.ok_or(refused)
            }
            confirmed => confirmed,
        }
    }

    async fn confirm_totp_once(
        &self,
        ctx: &RequestContext,
        me: &Me,
        token: &TicketToken,
        typed: &TypedCode,
    ) -> Result<NewFactor> {
        let code = read_code(typed)?;
        let user = self.me(me).await?.user;
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        let client = self.live.client(&me.client)?;
        let (ticket, pending) = self.pending_enrolment(me, &client, clone_of(token)).await?;
        let step = self.judge_first_code(&ticket, &pending, &code).await?.ok_or(CODE_INVALID)?;
        let proof = self.proof_of_code(&ticket, typed)?;
        let codes = self.factors.codes_of_enrolment(token);
        let work = Box::pin(self.add_totp(me, &client, (&ticket, proof), (&pending, step), codes));
        self.budget.spend(Write::Security(&me.session), ctx.now, work).await
    }

    /// The step in which an app that is set up shows this code, if it is right. A wrong one uses up an attempt; a right one
    /// does not, so that the same call is not refused however often it is made.
    async fn judge_first_code(&self, ticket: &Ticket, pending: &PendingTotp, code: &TotpCode) -> Result<Option<i64>> {
        let mut tx = self.store.write().await?;
        if tx.ticket_attempt(&ticket.id, self.live.now()).await?.is_none() {
            return Ok(None);
        }
        let step = pending.step_of(code, self.live.now())?;
        if step.is_some() {
            tx.ticket_give_back(&ticket.id).await?;
        }
        tx.commit().await?;
        Ok(step)
    }

    async fn add_totp(
        &self,
        me: &Me,
        client: &Client,
        (ticket, proof): (&Ticket, [u8; 32]),
        totp: (&PendingTotp, i64),
        codes: Vec<RecoveryCode>,
    ) -> Result<NewFactor> {
        let now = self.live.now();
        let (mut tx, user) = self.begin_factor_change(me, Some(ticket.security_version), CODE_INVALID).await?;
        TicketTurn::UseFor(&proof).take(&mut tx, ticket, now).await?;
        let change = own_change(me, client, &user, now);
        let (factor, with_codes) = self.factors.add_totp(&mut tx, change, totp, &codes).await?;
        self.live.commit(tx).await?;
        Ok(NewFactor { factor, recovery_codes: if with_codes { codes } else { Vec::new() } })
    }

    /// Removes a second factor. Other sessions end. The last one goes only with the current password, which must then be
    /// long enough to be the only factor.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] if the password is too short;
    /// [`Reason::InvalidCredentials`]; as [`Accounts::enrol_totp`].
    pub async fn remove_factor(&self, ctx: &RequestContext, me: &Me, id: &str, password: Password) -> Result<()> {
        let missing = || Error::NotFound("factor", id.to_owned());
        let factor: FactorId = id.parse().map_err(|_| missing())?;
        let UserView { user, logins, .. } = self.me(me).await?;
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        let own = self.store.read().await?.factors_of(&user.id).await?;
        if !own.iter().any(|one| one.id == factor) {
            return Err(missing());
        }
        if own.len() <= 1 {
            self.check_password_alone(ctx, me, (&logins, password)).await?;
        }
        let client = self.live.client(&me.client)?;
        let work = async {
            let (mut tx, user) = self.begin_factor_change(me, Some(user.security_version), Error::Conflict).await?;
            let change = own_change(me, &client, &user, self.live.now());
            self.factors.remove(&mut tx, change, &factor).await?.ok_or_else(missing)?;
            self.live.commit(tx).await
        };
        let removed = self.budget.spend(Write::Security(&me.session), ctx.now, Box::pin(work)).await;
        if matches!(removed, Err(Error::Conflict)) {
            // Perhaps by the same call, at another process.
            let own = self.store.read().await?.factors_of(&me.user).await?;
            return Err(if own.iter().any(|one| one.id == factor) { Error::Conflict } else { missing() });
        }
        removed
    }

    /// Fails unless this is the user's password, and long enough to be the only factor. An account without one has
    /// nothing to check.
    async fn check_password_alone(
        &self,
        ctx: &RequestContext,
        me: &Me,
        (logins, password): (&[String], Password),
    ) -> Result<()> {
        if !self.has_password(me).await? {
            return Ok(());
        }
        if password.expose().is_empty() {
            return Err(Error::invalid("password", "must not be empty"));
        }
        let alone = PasswordPolicy::default();
        let context: Vec<&str> = logins.iter().map(String::as_str).collect();
        let long_enough = alone.check(&password, &context).is_ok();
        self.check_own_password(ctx, me, password).await?;
        if long_enough {
            return Ok(());
        }
        let least = alone.min_code_points;
        let text = format!("the password is too weak to be the only factor; choose one of {least} characters first");
        Err(Error::Precondition(text))
    }

    /// Gives the user new recovery codes in place of the old ones. Other sessions end.
    ///
    /// # Errors
    /// [`Error::Precondition`] without a second factor; as [`Accounts::enrol_totp`].
    pub async fn regenerate_recovery_codes(&self, ctx: &RequestContext, me: &Me) -> Result<Vec<RecoveryCode>> {
        let user = self.me(me).await?.user;
        let codes = self.factors.new_recovery_codes();
        self.replace_recovery_codes(ctx, me, &user, codes).await
    }

    /// Does what [`Accounts::regenerate_recovery_codes`] does, once for a form: it gets the same codes when it is submitted
    /// again, as long as they are what the user has.
    ///
    /// # Errors
    /// As [`Accounts::regenerate_recovery_codes`].
    pub async fn recovery_codes_of_form(
        &self,
        ctx: &RequestContext,
        me: &Me,
        form: &[u8; 16],
    ) -> Result<Vec<RecoveryCode>> {
        // The version counts that the codes were looked for at, so that no other call comes between.
        let user = self.me(me).await?.user;
        if let Some(codes) = self.codes_of_form_before(&user, form).await? {
            return Ok(codes);
        }
        let codes = self.factors.codes_of_form(form, user.security_version);
        match Box::pin(self.replace_recovery_codes(ctx, me, &user, codes)).await {
            // Another process may have done the same for this form.
            Err(Error::Conflict) => {
                let user = self.me(me).await?.user;
                self.codes_of_form_before(&user, form).await?.ok_or(Error::Conflict)
            }
            done => done,
        }
    }

    async fn replace_recovery_codes(
        &self,
        ctx: &RequestContext,
        me: &Me,
        user: &User,
        codes: Vec<RecoveryCode>,
    ) -> Result<Vec<RecoveryCode>> {
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        if user.second_factors == 0 {
            return Err(Error::Precondition(
                "recovery codes stand in for a second factor; set one up first".to_owned(),
            ));
        }
        let client = self.live.client(&me.client)?;
        let work = async {
            let (mut tx, user) = self.begin_factor_change(me, Some(user.security_version), Error::Conflict).await?;
            let change = own_change(me, &client, &user, self.live.now());
            self.factors.replace_recovery_codes(&mut tx, change, &codes).await?;
            self.live.commit(tx).await
        };
        self.budget.spend(Write::Security(&me.session), ctx.now, Box::pin(work)).await?;
        Ok(codes)
    }

    /// Holds the user's row, if it is still at this version, and checks that the session has not ended.
    pub(super) async fn begin_factor_change(
        &self,
        me: &Me,
        version: Option<i64>,
        changed: Error,
    ) -> Result<(Tx, User)> {
        let mut tx = self.store.write().await?;
        if !tx.user_touch(&me.user, version, self.live.now()).await? {
            return Err(changed);
        }
        me.check_current(&mut tx).await?;
        let user = tx.user_by_id(&me.user).await?.filter(|user| user.disabled_at.is_none()).ok_or(TOKEN_REFUSED)?;
        Ok((tx, user))
    }

    /// An enrolment that this user has begun through this client.
    async fn pending_enrolment(&self, me: &Me, client: &Client, token: TicketToken) -> Result<(Ticket, PendingTotp)> {
        let presented = PresentedTicket { token, ticket: String::new(), code: TypedCode::new(String::new()) };
        if presented.token.expose().is_empty() {
            return Err(Error::invalid("enrolment", "must not be empty"));
        }
        let FoundTicket { ticket, .. } = self.tickets.find_valid(client, &[TicketKind::Enrol], &presented).await?;
        if ticket.user.as_ref() != Some(&me.user) {
            return Err(CODE_INVALID);
        }
        let pending = self.tickets.data(&ticket)?;
        Ok((ticket, pending))
    }
}

fn enrolment(
    enrolment: TicketToken,
    pending: &PendingTotp,
    client: &Client,
    expires_at: Timestamp,
) -> Result<TotpEnrolment> {
    let setup = pending.setup(client)?;
    let qr_svg = qr_code::svg(setup.uri.expose()).unwrap_or_default();
    Ok(TotpEnrolment { enrolment, setup, qr_svg, expires_at })
}

fn clone_of(token: &TicketToken) -> TicketToken {
    TicketToken::new(token.expose().to_owned())
}

/// A change that a user makes through a client.
pub(super) fn own_change<'a>(me: &'a Me, client: &'a Client, user: &'a User, now: Timestamp) -> FactorChange<'a> {
    FactorChange { service: client.display_name(), user, actor: &me.actor, keep: Some(&me.session), now }
}

/// Fails if the user has as many factors as there may be.
pub(super) fn check_room(user: &User) -> Result<()> {
    if user.second_factors < i64::try_from(MAX_FACTORS).unwrap_or(i64::MAX) {
        return Ok(());
    }
    Err(Error::Precondition(format!("a user may have {MAX_FACTORS} second factors; remove one first")))
}
