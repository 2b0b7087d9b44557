//! What people change in their second factors while they are signed in. What is submitted twice is done once, too.

use super::{
    BrowserSession, EndedSession,
    changes::session_form,
    own_account::{AccountForm, FactorAdded, Shared, SiteAccounts, shared},
};
use crate::{
    domain::factor::Method,
    error::Result,
    id::SessionId,
    keys::form_id,
    secret::{PasskeyResponse, Password, RecoveryCode, TicketToken, TypedCode},
    service::{
        access::Me,
        people::{AtSite, FormProof, NewFactor, TotpEnrolment},
    },
};

impl SiteAccounts {
    /// Begins to set up an app.
    ///
    /// # Errors
    /// As those of [`Accounts::enrol_totp`](crate::service::Accounts::enrol_totp).
    pub async fn enrol_totp(&self, at: AtSite<'_>, me: &Me, name: &str) -> Shared<TotpEnrolment> {
        let form = session_form(at, me.session());
        let key = form_id::proof(&self.runtime.sealing, &form, &[b"enrol totp", name.as_bytes()]);
        shared(&self.enrolments, key, self.accounts.enrol_totp(at.ctx, me, name)).await
    }

    /// Sets an app up. All other sessions end, and a new one of two factors replaces this.
    ///
    /// # Errors
    /// As those of [`Accounts::confirm_totp`](crate::service::Accounts::confirm_totp).
    pub async fn confirm_totp(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        (token, code): (TicketToken, TypedCode),
    ) -> Shared<FactorAdded> {
        let proof = self.proof_of_app(at, &session.id, (&token, &code));
        let key = proof.proof;
        let work = async {
            let added = Box::pin(self.accounts.confirm_totp(at.ctx, me, token, &code)).await?;
            Ok(self.raise(at, (session, me), (&proof, Method::Totp), added).await)
        };
        shared(&self.confirmations, key, work).await
    }

    /// Adds a passkey that was made. All other sessions end, and a new one of two factors replaces this.
    ///
    /// # Errors
    /// As those of [`Accounts::finish_passkey`](crate::service::Accounts::finish_passkey).
    pub async fn confirm_passkey(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        made: (TicketToken, PasskeyResponse),
    ) -> Shared<FactorAdded> {
        let proof = self.proof_of_passkey(at, &session.id, &made);
        let work = async {
            let (token, response) = &made;
            let added = Box::pin(self.accounts.finish_passkey(at.ctx, me, token, response)).await?;
            // Only signatures tell of hardware and of who the user is.
            let shown = Method::Passkey { hardware: false, verified: false };
            Ok(self.raise(at, (session, me), (&proof, shown), added).await)
        };
        shared(&self.confirmations, proof.proof, work).await
    }

    /// The answer once more when the same passkey was added a moment ago in this session, which another one has replaced.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn passkey_confirmed_before(
        &self,
        at: AtSite<'_>,
        ended: &EndedSession,
        made: &(TicketToken, PasskeyResponse),
    ) -> Result<Option<FactorAdded>> {
        self.added_before(ended, &self.proof_of_passkey(at, &ended.id, made), &made.0).await
    }

    async fn added_before(
        &self,
        ended: &EndedSession,
        proof: &FormProof,
        enrolment: &TicketToken,
    ) -> Result<Option<FactorAdded>> {
        let Some(user) = &ended.user else { return Ok(None) };
        let Some(cookies) = self.sign_ins.cookies_of_form(proof).await? else { return Ok(None) };
        let recovery_codes = self.accounts.codes_of_enrolment(user, enrolment).await?;
        Ok(Some(FactorAdded { recovery_codes, cookies: Some(cookies) }))
    }

    async fn raise(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        shown: (&FormProof, Method),
        added: NewFactor,
    ) -> FactorAdded {
        let of = (me.user(), &session.id, session.is_shared());
        let cookies = match Box::pin(self.sign_ins.renew_session(at.ctx, at.client, of, shown)).await {
            Ok(cookies) => Some(Box::new(cookies)),
            Err(error) => {
                // Another process may have done so for the same submission.
                let cookies = self.sign_ins.cookies_of_form(shown.0).await.ok().flatten();
                if cookies.is_none() {
                    // The factor is added, and the old cookie is still good: to say that it failed would be wrong.
                    tracing::warn!(request_id = %at.ctx.request_id, %error, "cannot raise a session after a factor was added");
                }
                cookies
            }
        };
        FactorAdded { recovery_codes: added.recovery_codes, cookies }
    }

    /// Removes a second factor. All other sessions end.
    ///
    /// # Errors
    /// As those of [`Accounts::remove_factor`](crate::service::Accounts::remove_factor).
    pub async fn remove_factor(&self, at: AtSite<'_>, me: &Me, factor: &str, password: Password) -> Shared<()> {
        let form = session_form(at, me.session());
        let typed = [&b"remove factor"[..], factor.as_bytes(), password.expose().as_bytes()];
        let key = form_id::proof(&self.runtime.sealing, &form, &typed);
        shared(&self.removals, key, self.accounts.remove_factor(at.ctx, me, factor, password)).await
    }

    /// The answer once more when the same code was typed a moment ago in this session, which another one has replaced.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn totp_confirmed_before(
        &self,
        at: AtSite<'_>,
        ended: &EndedSession,
        (token, code): (&TicketToken, &TypedCode),
    ) -> Result<Option<FactorAdded>> {
        self.added_before(ended, &self.proof_of_app(at, &ended.id, (token, code)), token).await
    }

    /// Gives the user new recovery codes in place of the old ones, the same ones to the same form.
    ///
    /// # Errors
    /// As those of [`Accounts::recovery_codes_of_form`](crate::service::Accounts::recovery_codes_of_form).
    pub async fn new_recovery_codes(&self, at: AtSite<'_>, me: &Me, form: &AccountForm) -> Shared<Vec<RecoveryCode>> {
        let AccountForm(form) = form;
        let of_session = [&b"new recovery codes"[..], me.session().as_str().as_bytes()];
        let key = form_id::proof(&self.runtime.sealing, form, &of_session);
        shared(&self.new_codes, key, self.accounts.recovery_codes_of_form(at.ctx, me, &form.id)).await
    }

    fn proof_of_app(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        (token, code): (&TicketToken, &TypedCode),
    ) -> FormProof {
        self.proof_of(at, session, &[&b"confirm totp"[..], token.expose().as_bytes(), code.expose().as_bytes()])
    }

    fn proof_of_passkey(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        (token, response): &(TicketToken, PasskeyResponse),
    ) -> FormProof {
        let made = [&b"confirm passkey"[..], token.expose().as_bytes(), response.expose().as_bytes()];
        self.proof_of(at, session, &made)
    }

    fn proof_of(&self, at: AtSite<'_>, session: &SessionId, typed: &[&[u8]]) -> FormProof {
        let form = session_form(at, session);
        let proof = form_id::proof(&self.runtime.sealing, &form, typed);
        let id = proof.first_chunk::<16>().copied().unwrap_or(form.id);
        FormProof { id, proof }
    }
}
