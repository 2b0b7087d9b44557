//! The sign-in form and the steps after it. What is submitted twice is done once.

use std::sync::Arc;

use super::{Browser, BrowserSession, flights::Flights};
use crate::{
    domain::{client::Client, site::Site},
    error::Result,
    id::{TicketId, VisitorId},
    keys::form_id::{self, FormId},
    secret::{DeviceToken, Password, sha256},
    service::{
        access::RequestContext,
        people::{
            BrowserGoal, FormProof, NewCookies, NewGuest, PageSignIn, PageSignedIn, PageStep, PageStepUp,
            PresentSession, StepInput, StepPlace, StepTaken, StepTyped,
        },
    },
    time::{Timestamp, Ttl},
};

/// How long a form can be submitted. Whatever it was spent with is remembered for longer.
const FORM_TTL: Ttl = Ttl::from_days(1);

/// A sign-in form as it was submitted.
#[derive(Debug)]
pub struct SignInForm {
    /// The browser.
    pub visitor: VisitorId,
    /// The sealed id of the form.
    pub form: String,
    /// The sealed state of the flow, as it stands in the URL.
    pub flow: String,
    /// User name or email address.
    pub login: String,
    /// The password.
    pub password: Password,
    /// Whether others use the computer too.
    pub shared: bool,
    /// Whether the flow asks for two factors.
    pub two_factors: bool,
    /// The device tokens that the browser has sent.
    pub devices: Vec<DeviceToken>,
    /// The session that the browser has, which does not suffice. The new one replaces it.
    pub present: Option<BrowserSession>,
}

/// What became of a sign-in form.
#[derive(Debug)]
pub enum SignInOutcome {
    /// The user is signed in.
    SignedIn(Box<NewCookies>),
    /// The user must take further steps.
    Step(TicketId),
    /// The form is not this browser's, is too old, or was spent before.
    FormUnusable,
    /// The browser has a session of another user, who must sign out first.
    AnotherUser,
}

/// The submissions under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Submissions {
    pub(super) sign_ins: Flights<Result<SignInOutcome>>,
    steps: Flights<Result<StepTaken>>,
    pub(super) guests: Flights<Result<Arc<NewGuest>>>,
}

impl Browser {
    /// The sealed id of a new sign-in form. Nothing is stored for it.
    #[must_use]
    pub fn new_form(&self, site: &Site, visitor: VisitorId, now: Timestamp) -> String {
        let form = FormId::new(site.origin(), visitor, now, &*self.runtime.entropy);
        form_id::mint(&self.runtime.sealing, &form, &*self.runtime.entropy)
    }

    /// Signs in with what was typed into a form. The same form with the same contents gets the same answer for a
    /// minute; the others that were sent at the same time get this one's.
    ///
    /// # Errors
    /// As those of [`SignIns::sign_in_at_page`](crate::service::SignIns::sign_in_at_page).
    pub async fn sign_in(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        submitted: SignInForm,
    ) -> Arc<Result<SignInOutcome>> {
        let form = form_id::parse(&self.runtime.sealing, &submitted.form).filter(|form| {
            let age = form.issued_at.plus(FORM_TTL);
            form.site == site.origin() && form.visitor == submitted.visitor && ctx.now < age
        });
        let Some(form) = form else { return Arc::new(Ok(SignInOutcome::FormUnusable)) };
        let shared = [u8::from(submitted.shared)];
        let typed = [submitted.login.as_bytes(), submitted.password.expose().as_bytes(), &shared];
        let proof = FormProof { id: form.id, proof: form_id::proof(&self.runtime.sealing, &form, &typed) };
        let work = Box::pin(self.sign_in_once(ctx, (client, site), submitted, proof.clone()));
        self.submissions.sign_ins.join(proof.proof, work).await
    }

    async fn sign_in_once(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        submitted: SignInForm,
        form: FormProof,
    ) -> Result<SignInOutcome> {
        let SignInForm { visitor, flow, login, password, shared, two_factors, devices, present, .. } = submitted;
        let present = present.as_ref().map(present_session);
        let browser = self.signing_browser((client, site), &visitor);
        let goal = BrowserGoal { site: site.origin().to_owned(), flow, shared, two_factors, browser };
        let holder = holder(&visitor);
        let request = PageSignIn { login, password, devices, goal, holder, form: form.clone(), present };
        Ok(match self.sign_ins.sign_in_at_page(ctx, client, request).await? {
            PageSignedIn::Session(cookies) => SignInOutcome::SignedIn(cookies),
            PageSignedIn::Step(id) => SignInOutcome::Step(id),
            PageSignedIn::AnotherUser => SignInOutcome::AnotherUser,
            PageSignedIn::FormSpent => self.repeated(&form).await?,
        })
    }

    /// Begins to raise a session that is all that a flow asks for but too weak: its user is asked for the second factor
    /// alone. Nothing if the password is needed too.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::error::Error::RateLimited), or the database is unreachable.
    pub async fn step_up(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        (visitor, session): (&VisitorId, &BrowserSession),
        (flow, devices): (&str, Vec<DeviceToken>),
    ) -> Result<Option<TicketId>> {
        let (site, flow, shared) = (site.origin().to_owned(), flow.to_owned(), session.is_shared());
        let goal = BrowserGoal { site, flow, shared, two_factors: true, browser: None };
        let request = PageStepUp { session, goal, holder: holder(visitor), devices };
        self.sign_ins.step_up_at_page(ctx, client, request).await
    }

    /// The answer to a form that was spent before.
    pub(super) async fn repeated(&self, form: &FormProof) -> Result<SignInOutcome> {
        let cookies = self.sign_ins.cookies_of_form(form).await?;
        Ok(cookies.map_or(SignInOutcome::FormUnusable, SignInOutcome::SignedIn))
    }

    /// What this browser finds at the URL of a step.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn step(&self, client: &Client, id: &TicketId, visitor: Option<&VisitorId>) -> Result<PageStep> {
        let Some(visitor) = visitor else { return Ok(PageStep::Nothing) };
        self.sign_ins.page_step(client, &StepPlace { id: id.clone(), holder: holder(visitor), present: None }).await
    }

    /// Takes a step with what was filled in.
    ///
    /// # Errors
    /// As those of [`SignIns::take_page_step`](crate::service::SignIns::take_page_step).
    pub async fn take_step(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        (id, visitor, present): (&TicketId, VisitorId, Option<&BrowserSession>),
        (revision, typed): (i64, StepTyped),
    ) -> Arc<Result<StepTaken>> {
        // The step's own id stands in for that of a form.
        let step = FormId {
            id: id.ulid().to_bytes(),
            site: site.origin().to_owned(),
            visitor,
            issued_at: Timestamp::from_millis(0),
        };
        let (kind, text) = typed.parts();
        let proof = form_id::proof(&self.runtime.sealing, &step, &[&revision.to_be_bytes(), kind, text.as_bytes()]);
        let present = present.map(present_session);
        let place = StepPlace { id: id.clone(), holder: holder(&visitor), present };
        let input = StepInput { revision, typed, proof };
        let work = Box::pin(async { self.sign_ins.take_page_step(ctx, client, &place, input).await });
        self.submissions.steps.join(proof, work).await
    }
}

pub(super) fn present_session(session: &BrowserSession) -> PresentSession {
    PresentSession { id: session.id.clone(), user: session.user.clone() }
}

/// Who may take the steps of a sign-in.
pub(super) fn holder(visitor: &VisitorId) -> [u8; 32] {
    sha256(visitor.as_bytes())
}
