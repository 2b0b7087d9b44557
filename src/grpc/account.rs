//! `AccountService`.

use tonic::{Request, Response, Status};

use super::{
    admin::{Mask, Page, wire_count},
    call::Call,
    convert::{no_nul, passkey_response, time},
    proto::pb::{self, account_service_server::AccountService},
    structs::from_struct,
    user,
};
use crate::{
    error::Result as ServiceResult,
    secret::{DeviceToken, Password, RefreshToken, TicketToken, TypedCode},
    service::{
        MePatch, NewFactor, OwnFactors, PasswordReset, PresentedTicket, RegisterInput, ResetRequest, VerifyEmailInput,
    },
};

/// Implements `AccountService` for one call.
#[derive(Debug)]
pub(super) struct Accounts(pub(super) Call);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn register(&self, request: Request<pb::RegisterRequest>) -> Answer<pb::RegisterResponse> {
        let Call { ctx, credentials, .. } = &self.0;
        let done = async {
            let mut message = request.into_inner();
            let guest_token = RefreshToken::new(std::mem::take(&mut message.guest_refresh_token));
            self.0.service.accounts.register_guest(ctx, credentials, register(message)?, &guest_token).await
        };
        let pending = done.await.map_err(|e| self.0.status(&e))?;
        let ticket_expire_time = Some(time(pending.expires_at));
        Ok(Response::new(pb::RegisterResponse { ticket: pending.ticket, ticket_expire_time }))
    }

    async fn verify_email(&self, request: Request<pb::VerifyEmailRequest>) -> Answer<pb::VerifyEmailResponse> {
        let Call { ctx, credentials, .. } = &self.0;
        let m = request.into_inner();
        let verified = async {
            no_nul(&[("name", m.name.as_deref().unwrap_or_default())])?;
            let (presented, new_password) = (presented(m.token, m.ticket, m.code), Password::new(m.new_password));
            let input = VerifyEmailInput { client_id: m.client_id, presented, new_password, name: m.name };
            self.0.service.accounts.verify_email(ctx, credentials, input).await
        };
        let email = verified.await;
        email.map(|email| Response::new(pb::VerifyEmailResponse { email })).map_err(|e| self.0.status(&e))
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Answer<pb::RequestPasswordResetResponse> {
        let Call { ctx, credentials, .. } = &self.0;
        let m = request.get_ref();
        no_nul(&[("login", &m.login)]).map_err(|e| self.0.status(&e))?;
        let (address, user_agent) =
            m.end_user.as_ref().map_or(("", ""), |e| (e.address.as_str(), e.user_agent.as_str()));
        let device_token = DeviceToken::new(m.device_token.clone());
        let reset = ResetRequest {
            client_id: &m.client_id,
            login: &m.login,
            language: &m.language,
            address,
            user_agent,
            device_token: Some(&device_token),
        };
        let pending = self.0.service.accounts.request_password_reset(ctx, credentials, reset).await;
        let pending = pending.map_err(|e| self.0.status(&e))?;
        let ticket_expire_time = Some(time(pending.expires_at));
        Ok(Response::new(pb::RequestPasswordResetResponse { ticket: pending.ticket, ticket_expire_time }))
    }

    async fn reset_password(&self, request: Request<pb::ResetPasswordRequest>) -> Answer<pb::ResetPasswordResponse> {
        let Call { ctx, credentials, .. } = &self.0;
        let m = request.into_inner();
        let (presented, password) = (presented(m.token, m.ticket, m.code), Password::new(m.new_password));
        let reset = PasswordReset { client_id: m.client_id, presented, password };
        let ended = self.0.service.accounts.reset_password(ctx, credentials, reset).await;
        let sessions_ended = wire_count(ended.map_err(|e| self.0.status(&e))?);
        Ok(Response::new(pb::ResetPasswordResponse { sessions_ended }))
    }

    async fn get_me(&self, _: Request<pb::GetMeRequest>) -> Answer<pb::GetMeResponse> {
        let view = self.0.service.accounts.me(self.0.me()?).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::GetMeResponse { user: Some(user::user(&self.0.service, view)) }))
    }

    async fn update_me(&self, request: Request<pb::UpdateMeRequest>) -> Answer<pb::UpdateMeResponse> {
        let me = self.0.me()?;
        let done = async {
            let patch = patch(request.into_inner())?;
            self.0.service.accounts.update(&self.0.ctx, me, patch).await
        };
        let (view, pending) = done.await.map_err(|e| self.0.status(&e))?;
        let user = Some(user::user(&self.0.service, view));
        let ticket_expire_time = pending.as_ref().map(|p| time(p.expires_at));
        let ticket = pending.map(|p| p.ticket).unwrap_or_default();
        Ok(Response::new(pb::UpdateMeResponse { user, ticket, ticket_expire_time }))
    }

    async fn change_password(&self, request: Request<pb::ChangePasswordRequest>) -> Answer<pb::ChangePasswordResponse> {
        let me = self.0.me()?;
        let m = request.into_inner();
        let (current, new) = (Password::new(m.current_password), Password::new(m.new_password));
        let ended = self.0.service.accounts.change_password(&self.0.ctx, me, current, new).await;
        let sessions_ended = wire_count(ended.map_err(|e| self.0.status(&e))?);
        Ok(Response::new(pb::ChangePasswordResponse { sessions_ended }))
    }

    async fn list_my_sessions(
        &self,
        request: Request<pb::ListMySessionsRequest>,
    ) -> Answer<pb::ListMySessionsResponse> {
        let me = self.0.me()?;
        let message = request.get_ref();
        let done = async {
            let page = Page::new("MySessions", "", (message.page_size, &message.page_token))?;
            Ok(page.cut_sorted(self.0.service.accounts.sessions(me).await?.into_iter().map(user::newest_first)))
        };
        let (all, next_page_token) = done.await.map_err(|e| self.0.status(&e))?;
        let sessions = all.into_iter().map(|s| user::session(s, me.session().as_str())).collect();
        Ok(Response::new(pb::ListMySessionsResponse { sessions, next_page_token }))
    }

    async fn revoke_my_session(
        &self,
        request: Request<pb::RevokeMySessionRequest>,
    ) -> Answer<pb::RevokeMySessionResponse> {
        let me = self.0.me()?;
        let session = Some(request.get_ref().session_id.as_str()).filter(|s| !s.is_empty());
        let ended = self.0.service.accounts.revoke_session(me, session).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RevokeMySessionResponse {
            sessions_ended: wire_count(ended.sessions),
            access_token_valid_until: ended.token_end.map(time),
        }))
    }

    async fn delete_me(&self, _: Request<pb::DeleteMeRequest>) -> Answer<pb::DeleteMeResponse> {
        let me = self.0.me()?;
        let ended = self.0.service.accounts.delete(&self.0.ctx, me).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DeleteMeResponse { sessions_ended: wire_count(ended) }))
    }

    async fn enroll_totp(&self, request: Request<pb::EnrollTotpRequest>) -> Answer<pb::EnrollTotpResponse> {
        let me = self.0.me()?;
        let name = &request.get_ref().name;
        no_nul(&[("name", name)]).map_err(|e| self.0.status(&e))?;
        let begun = self.0.service.accounts.enrol_totp(&self.0.ctx, me, name).await;
        begun.map(|begun| Response::new(begun.into())).map_err(|e| self.0.status(&e))
    }

    async fn confirm_totp(&self, request: Request<pb::ConfirmTotpRequest>) -> Answer<pb::ConfirmTotpResponse> {
        let me = self.0.me()?;
        let m = request.into_inner();
        let (token, code) = (TicketToken::new(m.enrolment), TypedCode::new(m.code));
        let added = self.0.service.accounts.confirm_totp(&self.0.ctx, me, token, &code).await;
        let NewFactor { factor, recovery_codes } = added.map_err(|e| self.0.status(&e))?;
        let recovery_codes = recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
        Ok(Response::new(pb::ConfirmTotpResponse { factor: Some(factor.into()), recovery_codes }))
    }

    async fn start_passkey_registration(
        &self,
        request: Request<pb::StartPasskeyRegistrationRequest>,
    ) -> Answer<pb::StartPasskeyRegistrationResponse> {
        let me = self.0.me()?;
        let name = &request.get_ref().name;
        no_nul(&[("name", name)]).map_err(|e| self.0.status(&e))?;
        let begun = self.0.service.accounts.start_passkey(&self.0.ctx, me, name).await;
        begun.map(|begun| Response::new(begun.into())).map_err(|e| self.0.status(&e))
    }

    async fn finish_passkey_registration(
        &self,
        request: Request<pb::FinishPasskeyRegistrationRequest>,
    ) -> Answer<pb::FinishPasskeyRegistrationResponse> {
        let me = self.0.me()?;
        let m = request.into_inner();
        let done = async {
            let response = passkey_response("response_json", m.response_json)?;
            let enrolment = TicketToken::new(m.enrolment);
            self.0.service.accounts.finish_passkey(&self.0.ctx, me, &enrolment, &response).await
        };
        let NewFactor { factor, recovery_codes } = done.await.map_err(|e| self.0.status(&e))?;
        let recovery_codes = recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
        Ok(Response::new(pb::FinishPasskeyRegistrationResponse { factor: Some(factor.into()), recovery_codes }))
    }

    async fn list_my_factors(&self, _: Request<pb::ListMyFactorsRequest>) -> Answer<pb::ListMyFactorsResponse> {
        let own = self.0.service.accounts.factors(self.0.me()?).await;
        let OwnFactors { factors, recovery_codes_left } = own.map_err(|e| self.0.status(&e))?;
        let factors = factors.into_iter().map(Into::into).collect();
        let recovery_codes_left = wire_count(usize::try_from(recovery_codes_left).unwrap_or_default());
        Ok(Response::new(pb::ListMyFactorsResponse { factors, recovery_codes_left }))
    }

    async fn remove_my_factor(
        &self,
        request: Request<pb::RemoveMyFactorRequest>,
    ) -> Answer<pb::RemoveMyFactorResponse> {
        let me = self.0.me()?;
        let m = request.into_inner();
        let password = Password::new(m.password);
        let done = async {
            no_nul(&[("factor_id", &m.factor_id)])?;
            self.0.service.accounts.remove_factor(&self.0.ctx, me, &m.factor_id, password).await
        };
        done.await.map(|()| Response::new(pb::RemoveMyFactorResponse {})).map_err(|e| self.0.status(&e))
    }

    async fn regenerate_recovery_codes(
        &self,
        _: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Answer<pb::RegenerateRecoveryCodesResponse> {
        let codes = self.0.service.accounts.regenerate_recovery_codes(&self.0.ctx, self.0.me()?).await;
        let codes = codes.map_err(|e| self.0.status(&e))?;
        let recovery_codes = codes.iter().map(|code| code.expose().to_owned()).collect();
        Ok(Response::new(pb::RegenerateRecoveryCodesResponse { recovery_codes }))
    }
}

fn presented(token: String, ticket: String, code: String) -> PresentedTicket {
    PresentedTicket { token: TicketToken::new(token), ticket, code: TypedCode::new(code) }
}

fn register(m: pb::RegisterRequest) -> ServiceResult<RegisterInput> {
    no_nul(&[("email", &m.email), ("name", &m.name)])?;
    let (client_id, email, name, language) = (m.client_id, m.email, m.name, m.language);
    let pb::EndUser { address, user_agent } = m.end_user.unwrap_or_default();
    Ok(RegisterInput { client_id, email, name, password: Password::new(m.password), language, address, user_agent })
}

fn patch(m: pb::UpdateMeRequest) -> ServiceResult<MePatch> {
    no_nul(&[("name", &m.name), ("email", &m.email)])?;
    let mask = Mask::new(m.update_mask, &["name", "profile", "email", "language"])?;
    let (no_name, no_profile, no_email) = (m.name.is_empty(), m.profile.is_none(), m.email.is_empty());
    let profile = mask.take("profile", m.profile, no_profile);
    let profile = profile.map(|p| from_struct("profile", p.unwrap_or_default())).transpose()?;
    let (name, email) = (mask.take("name", m.name, no_name), mask.take("email", m.email, no_email));
    let no_language = m.language.is_empty();
    let own_language = mask.take("language", m.language.clone(), no_language);
    Ok(MePatch { name, profile, email, language: m.language, own_language })
}
