//! The steps of a sign-in at a page. One row stands for all of them: each step that is taken moves it to its next
//! revision, and the last one is spent with the session that it opens.

use super::{
    BrowserGoal, NewCookies, PresentSession, SignIns,
    factor_steps::ShownFactor,
    found_step::Found,
    goal::StateAtPage,
    opening::{Opened, OpenedSession, Spend},
    page_step::{PageStep, StepAtPage, StepField, StepInput, StepPlace, StepTaken, StepTyped, StepsEnd},
    state::PendingSignIn,
    steps::SentCode,
};
use crate::{
    domain::{
        client::Client,
        factor::Method,
        session::TicketSpending,
        ticket::{Ticket, TicketKind},
    },
    error::{Error, Result},
    id::TicketId,
    secret::RecoveryCode,
    service::{
        access::RequestContext,
        people::{
            ticket_turn::{NextRevision, TicketTurn},
            tickets::{CODE_INVALID, IssuedTicket},
        },
    },
    time::{Timestamp, Ttl},
};

/// How long the steps of a sign-in may take in all.
const STEPS_TTL: Ttl = Ttl::from_secs(1800);

impl SignIns {
    /// What a browser finds at the URL of a step. Changes nothing.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn page_step(&self, client: &Client, place: &StepPlace) -> Result<PageStep> {
        let Some(found) = self.find_at_page(client, place).await? else { return Ok(PageStep::Nothing) };
        let StateAtPage { login, goal: BrowserGoal { flow, .. }, .. } = found.at_page.clone();
        Ok(match found.field().filter(|_| found.is_open()) {
            Some(field) => {
                let (revision, expires_at) = (found.ticket.revision, found.ticket.expires_at);
                PageStep::Next(StepAtPage { field, revision, login, flow, expires_at })
            }
            None => PageStep::Over { login, flow, end: found.end.unwrap_or(StepsEnd::Expired) },
        })
    }

    /// Takes the next step, if it is the one that was filled in.
    ///
    /// # Errors
    /// A violation of the field; [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) for a wrong code;
    /// [`Error::TooManyAttempts`] if too many codes were asked for. The step is still the next one then.
    pub async fn take_page_step(
        &self,
        ctx: &RequestContext,
        client: &Client,
        place: &StepPlace,
        input: StepInput,
    ) -> Result<StepTaken> {
        self.live.for_signing()?;
        let Some(found) = self.find_at_page(client, place).await? else { return Ok(StepTaken::Nothing) };
        let sent = (input.revision, input.proof);
        if let Some(taken) = Box::pin(self.not_next(ctx, client, place, (&found, sent))).await? {
            return Ok(taken);
        }
        let pending = found.pending()?;
        let field = found.field().ok_or(CODE_INVALID)?;
        match Box::pin(self.take_field(ctx, (client, place), &pending, field, input)).await {
            Ok(more) if more || pending.state.steps.len() > 1 => Ok(StepTaken::Done),
            Ok(_) | Err(Error::Unauthenticated(_)) => {
                // It was the last one, or was taken by the same request at another process, or else, if it is still the
                // next one, what was typed is wrong.
                let Some(found) = self.find_at_page(client, place).await? else { return Ok(StepTaken::Nothing) };
                Box::pin(self.not_next(ctx, client, place, (&found, sent))).await?.ok_or(CODE_INVALID)
            }
            Err(other) => Err(other),
        }
    }

    /// What became of a step, unless it is the next one. The same request gets the same answer as before. If it was the
    /// last step and nobody has come by the session, it gets that: what has taken the step may have been cut off.
    async fn not_next(
        &self,
        ctx: &RequestContext,
        client: &Client,
        place: &StepPlace,
        (found, (revision, proof)): (&Found, (i64, [u8; 32])),
    ) -> Result<Option<StepTaken>> {
        let StateAtPage { login, goal: BrowserGoal { flow, .. }, last_proof } = found.at_page.clone();
        if place
            .present
            .as_ref()
            .is_some_and(|present| found.ticket.user.as_ref().is_none_or(|user| present.is_of_another(user)))
        {
            return Ok(Some(StepTaken::AnotherUser { flow }));
        }
        let repeated = revision.checked_add(1) == Some(found.ticket.revision) && last_proof == Some(proof);
        if found.is_open() && found.field().is_some() {
            let taken = if repeated { StepTaken::Done } else { StepTaken::Stale };
            return Ok((revision != found.ticket.revision).then_some(taken));
        }
        let mut cookies = None;
        if found.is_open() && repeated {
            cookies = self.finish(ctx, client, place, (found.pending()?, proof)).await?;
        }
        if cookies.is_none() {
            cookies = self.cookies_of_step(place, &proof).await?;
        }
        Ok(Some(match cookies {
            Some(cookies) => StepTaken::Session { cookies, flow },
            None => StepTaken::Over { login, flow },
        }))
    }

    /// Takes a step whose turn it is. Returns whether it is to be taken once more, with something else.
    async fn take_field(
        &self,
        ctx: &RequestContext,
        (client, place): (&Client, &StepPlace),
        pending: &PendingSignIn,
        field: StepField,
        input: StepInput,
    ) -> Result<bool> {
        let StepInput { typed, proof, .. } = input;
        let missing = || Error::invalid(field.name(), "must not be empty");
        match (&field, typed) {
            (StepField::NewPassword { .. }, StepTyped::NewPassword(password)) => {
                let next = self.next_revision(pending, proof, Next::Step)?;
                self.choose_password(ctx, client, pending, password, TicketTurn::Advance(&next)).await?;
            }
            (StepField::Address, StepTyped::Address(email)) => {
                self.send_page_code(ctx, client, pending, &email, proof).await?;
                return Ok(true);
            }
            (StepField::Code { sent_to }, StepTyped::Resend) => {
                self.send_page_code(ctx, client, pending, sent_to, proof).await?;
                return Ok(true);
            }
            (StepField::Code { .. }, StepTyped::OtherAddress) => {
                self.move_on(pending, proof, Next::Email(None)).await?;
                return Ok(true);
            }
            (StepField::Factor { .. }, typed) => {
                let shown = ShownFactor::typed(typed).ok_or_else(missing)?;
                self.show_factor(ctx, client, pending, shown, proof).await?;
            }
            (StepField::Enrol { .. }, typed) => {
                let made = ShownFactor::typed(typed).ok_or_else(missing)?;
                self.enrol_at_page(ctx, (client, place), pending, &made, proof).await?;
                return Ok(true);
            }
            (StepField::RecoveryCodes { .. }, StepTyped::CodesKept) => {
                self.move_on(pending, proof, Next::CodesKept).await?;
                return Ok(!pending.state.steps.is_empty());
            }
            (StepField::Code { .. }, StepTyped::Code(code)) => {
                let next = self.next_revision(pending, proof, Next::Step)?;
                self.check_code(ctx, client, pending, &code, TicketTurn::Advance(&next)).await?;
            }
            _ => return Err(missing()),
        }
        Ok(false)
    }

    /// Shows a second factor.
    async fn show_factor(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        shown: ShownFactor,
        proof: [u8; 32],
    ) -> Result<()> {
        let matched = self.match_factor(ctx, client, pending, &shown).await?;
        let next = self.next_revision(pending, proof, Next::Proved(matched.method))?;
        self.spend_factor(ctx, client, pending, matched, TicketTurn::Advance(&next)).await
    }

    /// Sets a second factor up.
    async fn enrol_at_page(
        &self,
        ctx: &RequestContext,
        (client, place): (&Client, &StepPlace),
        pending: &PendingSignIn,
        made: &ShownFactor,
        proof: [u8; 32],
    ) -> Result<()> {
        let enrolling = self.match_enrolment(client, pending, made).await?;
        let next = self.next_revision(pending, proof, Next::Enrolled(&enrolling.codes, enrolling.method()))?;
        let keep = place.present.as_ref().map(|present| &present.id);
        self.enrol(ctx, client, pending, &enrolling, (TicketTurn::Advance(&next), keep)).await
    }

    async fn send_page_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        email: &str,
        proof: [u8; 32],
    ) -> Result<()> {
        let code = self.tickets.with_new_code(&pending.ticket, self.step_end(&pending.ticket))?;
        let next = self.next_revision(pending, proof, Next::Email(Some((email, &code))))?;
        let person = pending.state.person(ctx, client);
        let sending = SentCode { ctx, client, person: &person, user: &pending.user, email };
        self.mail_code(sending, (&pending.ticket, TicketTurn::Advance(&next)), &code).await
    }

    /// Takes a step that changes nothing else.
    async fn move_on(&self, pending: &PendingSignIn, proof: [u8; 32], next: Next<'_>) -> Result<()> {
        let next = self.next_revision(pending, proof, next)?;
        let mut tx = self.store.write().await?;
        TicketTurn::Advance(&next).take(&mut tx, &pending.ticket, self.live.now()).await?;
        tx.commit().await.map(|_| ())
    }

    /// The next revision of a sign-in.
    fn next_revision(&self, pending: &PendingSignIn, proof: [u8; 32], next: Next<'_>) -> Result<NextRevision> {
        let PendingSignIn { ticket, state, .. } = pending;
        let mut state = state.clone();
        let mut code = None;
        match next {
            Next::CodesKept => state.recovery_codes.clear(),
            Next::Step | Next::Proved(_) | Next::Enrolled(..) => {
                state.steps.drain(..1.min(state.steps.len()));
                state.email = None;
                if let Next::Proved(method) | Next::Enrolled(_, method) = next {
                    state.proved = state.proved.and(method);
                }
                if let Next::Enrolled(codes, _) = next {
                    state.totp = None;
                    state.recovery_codes = codes.iter().map(|code| code.expose().to_owned()).collect();
                }
            }
            Next::Email(None) => state.email = None,
            Next::Email(Some((email, issued))) => {
                state.email = Some(email.to_owned());
                code = Some(issued.ticket.code);
            }
        }
        if let Some(at_page) = &mut state.at_page {
            at_page.last_proof = Some(proof);
        }
        let sealed = self.tickets.seal(ticket, &state)?;
        Ok(NextRevision { sealed, code, expires_at: self.step_end(ticket) })
    }

    /// When the time for the next step ends, if this one is taken now.
    fn step_end(&self, ticket: &Ticket) -> Timestamp {
        self.live.now().plus(TicketKind::SignIn.lifetime()).min(ticket.created_at.plus(STEPS_TTL))
    }

    /// Opens the session after the last step. The ticket is spent with it; nothing if it was spent before.
    async fn finish(
        &self,
        ctx: &RequestContext,
        client: &Client,
        place: &StepPlace,
        (pending, proof): (PendingSignIn, [u8; 32]),
    ) -> Result<Option<Box<NewCookies>>> {
        let PendingSignIn { ticket, user, state } = pending;
        let devices = self.devices_after_steps(&state.login, &state.devices(), &user);
        let call = state.clone().into_call(ctx, client)?;
        let spend = |opened: &OpenedSession| {
            Ok(TicketSpending {
                id: ticket.id.clone(),
                holder: ticket.holder.ok_or(CODE_INVALID)?,
                revision: ticket.revision,
                result: self.keep_cookies(&ticket_purpose(&ticket.id), proof, opened, &call, Some(&devices))?,
            })
        };
        // The session that the browser had may have ended a moment ago: then there is nothing to replace, and nothing to
        // raise.
        let present = place.present.as_ref();
        let guest = present.and_then(|present| present.guest_of(client)).or_else(|| call.guest.clone());
        let own = present.and_then(PresentSession::own);
        let basis = state.basis.as_ref().map(|basis| &basis.session);
        let replaced = if basis.is_some() { vec![(basis, None)] } else { vec![(own, guest.as_ref()), (None, None)] };
        for (supersedes, guest) in replaced {
            let verified = self.still_verified(&user, &state, Some(ticket.security_version)).await?;
            let spend = Spend { ticket: Some(&spend), supersedes, guest, ..Spend::default() };
            match self.open_session(ctx, &call, verified, spend).await? {
                Opened::Session(opened) => {
                    self.clear_after_steps(&state, &user).await;
                    return Ok(Some(Box::new(self.cookies(&opened, &call, Some(devices)))));
                }
                Opened::Spent => return Ok(None),
                Opened::BasisEnded => {}
            }
        }
        if basis.is_some() { Ok(None) } else { Err(Error::Conflict) }
    }

    /// The cookies that the last step led to, if the same was typed into it a moment ago and the session lives.
    async fn cookies_of_step(&self, place: &StepPlace, proof: &[u8; 32]) -> Result<Option<Box<NewCookies>>> {
        let mut tx = self.store.read().await?;
        let sealed = tx.ticket_result(&place.id, &place.holder, self.live.now()).await?;
        self.kept_cookies(&mut tx, (&ticket_purpose(&place.id), proof), sealed).await
    }
}

/// What comes next in a sign-in.
enum Next<'a> {
    /// The next step.
    Step,
    /// The next step, after this was proved.
    Proved(Method),
    /// The next step, after a factor was set up, which has proved this, and these recovery codes were shown.
    Enrolled(&'a [RecoveryCode], Method),
    /// The next step, after the recovery codes were written down.
    CodesKept,
    /// The same step, with a code that was sent, or without.
    Email(Option<(&'a str, &'a IssuedTicket)>),
}

fn ticket_purpose(id: &TicketId) -> String {
    format!("step result {id}")
}
