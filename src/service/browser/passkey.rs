//! Sign-in with a passkey at a page. The form's own id is what the passkey signs.

use std::sync::Arc;

use super::{
    Browser, BrowserSession, SignInOutcome,
    sign_in::{holder, present_session},
};
use crate::{
    domain::{client::Client, site::Site},
    error::Result,
    id::VisitorId,
    keys::form_id::{self, FormId},
    passkeys::{Challenge, Purpose, request_options},
    secret::PasskeyResponse,
    service::{
        access::RequestContext,
        people::{BrowserGoal, FormProof, PASSKEY_TTL, PagePasskey, PageSignedIn, relying_party_of},
    },
};

/// A sign-in form as it was submitted with a passkey.
#[derive(Debug)]
pub struct PasskeyForm {
    /// The browser.
    pub visitor: VisitorId,
    /// The sealed id of the form.
    pub form: String,
    /// The sealed state of the flow, as it stands in the URL.
    pub flow: String,
    /// What the passkey has signed.
    pub response: PasskeyResponse,
    /// Whether others use the computer too.
    pub shared: bool,
    /// Whether the flow asks for two factors.
    pub two_factors: bool,
    /// The session that the browser has. The new one replaces it, if it is not another user's.
    pub present: Option<BrowserSession>,
}

impl Browser {
    /// Whether passkeys can be made for a client: it has a site whose host is a name.
    #[must_use]
    pub fn has_passkeys(&self, client: &Client) -> bool {
        relying_party_of(client).is_some()
    }

    /// The only host at which passkeys of a client's site work, if there are sites of other hosts, where the same accounts
    /// are used.
    #[must_use]
    pub fn only_host_of_passkeys(&self, client: &Client) -> Option<String> {
        let rp = relying_party_of(client)?;
        let others = self.runtime.live.snapshot().sites().any(|site| site.host() != rp.host());
        others.then(|| rp.host().to_owned())
    }

    /// What a passkey is asked by a form that [`Browser::new_form`] has made. Nothing where there are no passkeys: the
    /// host of the site is an address.
    #[must_use]
    pub fn passkey_options(&self, client: &Client, form: &str) -> Option<String> {
        let rp = relying_party_of(client)?;
        let form = form_id::parse(&self.runtime.sealing, form)?;
        Some(request_options(&rp, Challenge::of(form.id), &[], Purpose::Alone))
    }

    /// Signs in with what a passkey has signed. The same form with the same contents gets the same answer for a minute.
    ///
    /// # Errors
    /// As those of [`SignIns::sign_in_with_passkey_at_page`](crate::service::SignIns::sign_in_with_passkey_at_page).
    pub async fn sign_in_with_passkey(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        submitted: PasskeyForm,
    ) -> Arc<Result<SignInOutcome>> {
        let form = form_id::parse(&self.runtime.sealing, &submitted.form).filter(|form| {
            let until = form.issued_at.plus(PASSKEY_TTL);
            form.site == site.origin() && form.visitor == submitted.visitor && ctx.now <= until
        });
        let Some(form) = form else { return Arc::new(Ok(SignInOutcome::FormUnusable)) };
        let proof = self.passkey_proof(&form, &submitted);
        let key = proof.proof;
        let work = Box::pin(self.sign_in_with_passkey_once(ctx, (client, site), submitted, proof));
        self.submissions.sign_ins.join(key, work).await
    }

    fn passkey_proof(&self, form: &FormId, submitted: &PasskeyForm) -> FormProof {
        let shared = [u8::from(submitted.shared)];
        let sent = [&b"passkey"[..], submitted.response.expose().as_bytes(), &shared];
        FormProof { id: form.id, proof: form_id::proof(&self.runtime.sealing, form, &sent) }
    }

    async fn sign_in_with_passkey_once(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        submitted: PasskeyForm,
        form: FormProof,
    ) -> Result<SignInOutcome> {
        let PasskeyForm { visitor, flow, response, shared, two_factors, present, .. } = submitted;
        let browser = self.signing_browser((client, site), &visitor);
        let goal = BrowserGoal { site: site.origin().to_owned(), flow, shared, two_factors, browser };
        let present = present.as_ref().map(present_session);
        let request = PagePasskey { response, goal, holder: holder(&visitor), form: form.clone(), present };
        Ok(match self.sign_ins.sign_in_with_passkey_at_page(ctx, client, request).await? {
            PageSignedIn::Session(cookies) => SignInOutcome::SignedIn(cookies),
            PageSignedIn::Step(id) => SignInOutcome::Step(id),
            PageSignedIn::AnotherUser => SignInOutcome::AnotherUser,
            PageSignedIn::FormSpent => self.repeated(&form).await?,
        })
    }
}
