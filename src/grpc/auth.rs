//! `AuthService`.

use tonic::{Request, Response, Status};

use super::{
    call::Call,
    conflicts::conflicts,
    convert::time,
    proto::pb::{
        self, auth_service_server::AuthService, continue_login_response, login_response, upgrade_guest_response,
    },
};
use crate::{
    secret::RefreshToken,
    service::{Continued, SignedIn, TokenPair},
};

/// Implements `AuthService` for one call.
#[derive(Debug)]
pub(super) struct Auth(pub(super) Call);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::LoginResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let sign_in = request.into_inner().try_into().map_err(|e| self.0.status(&e))?;
        let signed_in =
            self.0.service.sign_ins.sign_in(ctx, credentials, sign_in).await.map_err(|e| self.0.status(&e))?;
        let (result, device_token) = match signed_in {
            SignedIn::Tokens(mut pair) => {
                let device = take_device_token(&mut pair);
                (login_response::Result::Tokens(pair.into()), device)
            }
            SignedIn::Challenge(challenge) => (login_response::Result::Challenge(challenge.into()), String::new()),
        };
        Ok(Response::new(pb::LoginResponse { result: Some(result), device_token }))
    }

    async fn continue_login(
        &self,
        request: Request<pb::ContinueLoginRequest>,
    ) -> Result<Response<pb::ContinueLoginResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let next = request.into_inner().try_into().map_err(|e| self.0.status(&e))?;
        let continued = self.0.service.sign_ins.continue_sign_in(ctx, credentials, next).await;
        let Continued { signed_in, recovery_codes } = continued.map_err(|e| self.0.status(&e))?;
        let mut both = Vec::new();
        let (result, device_token) = match signed_in {
            SignedIn::Tokens(mut pair) => {
                let device = take_device_token(&mut pair);
                both = take_conflicts(&mut pair);
                (continue_login_response::Result::Tokens(pair.into()), device)
            }
            SignedIn::Challenge(challenge) => {
                (continue_login_response::Result::Challenge(challenge.into()), String::new())
            }
        };
        let recovery_codes = recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
        let result = Some(result);
        Ok(Response::new(pb::ContinueLoginResponse { result, recovery_codes, device_token, conflicts: both }))
    }

    async fn start_passkey_login(
        &self,
        request: Request<pb::StartPasskeyLoginRequest>,
    ) -> Result<Response<pb::StartPasskeyLoginResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let started = async {
            let login = request.into_inner().try_into()?;
            self.0.service.sign_ins.start_passkey_login(ctx, credentials, login).await
        };
        started.await.map(|challenge| Response::new(challenge.into())).map_err(|e| self.0.status(&e))
    }

    async fn start_step_up(
        &self,
        request: Request<pb::StartStepUpRequest>,
    ) -> Result<Response<pb::StartStepUpResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let challenge = self.0.service.sign_ins.start_step_up(ctx, credentials, request.into_inner().into()).await;
        let challenge = challenge.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::StartStepUpResponse { challenge: Some(challenge.into()) }))
    }

    async fn start_guest_session(
        &self,
        request: Request<pb::StartGuestSessionRequest>,
    ) -> Result<Response<pb::StartGuestSessionResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let guest = request.into_inner().try_into().map_err(|e| self.0.status(&e))?;
        let pair = self.0.service.sign_ins.start_guest(ctx, credentials, guest).await;
        let pair = pair.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::StartGuestSessionResponse { tokens: Some(pair.into()) }))
    }

    async fn upgrade_guest(
        &self,
        request: Request<pb::UpgradeGuestRequest>,
    ) -> Result<Response<pb::UpgradeGuestResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let upgrade = request.into_inner().try_into().map_err(|e| self.0.status(&e))?;
        let signed_in = self.0.service.sign_ins.upgrade_guest(ctx, credentials, upgrade).await;
        let (result, device_token, conflicts) = match signed_in.map_err(|e| self.0.status(&e))? {
            SignedIn::Tokens(mut pair) => {
                let (device, conflicts) = (take_device_token(&mut pair), take_conflicts(&mut pair));
                (upgrade_guest_response::Result::Tokens(pair.into()), device, conflicts)
            }
            SignedIn::Challenge(challenge) => {
                (upgrade_guest_response::Result::Challenge(challenge.into()), String::new(), Vec::new())
            }
        };
        Ok(Response::new(pb::UpgradeGuestResponse { result: Some(result), device_token, conflicts }))
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Result<Response<pb::RefreshResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let pair = self.0.service.tokens.refresh(ctx, credentials, request.into_inner().into()).await;
        let pair = pair.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RefreshResponse { tokens: Some(pair.into()) }))
    }

    async fn logout(&self, request: Request<pb::LogoutRequest>) -> Result<Response<pb::LogoutResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let message = request.into_inner();
        let token = RefreshToken::new(message.refresh_token);
        let until = self.0.service.tokens.log_out(ctx, credentials, &message.client_id, &token).await;
        let until = until.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::LogoutResponse { access_token_valid_until: Some(time(until)) }))
    }

    async fn issue_client_token(
        &self,
        request: Request<pb::IssueClientTokenRequest>,
    ) -> Result<Response<pb::IssueClientTokenResponse>, Status> {
        let client = self.0.client()?;
        let issued = self.0.service.tokens.issue_to_client(&self.0.ctx, client, &request.into_inner().into()).await;
        issued.map(|t| Response::new(t.into())).map_err(|e| self.0.status(&e))
    }
}

/// Takes the conflicts of a guest's data out of the pair.
fn take_conflicts(pair: &mut TokenPair) -> Vec<pb::GuestDataConflict> {
    conflicts(std::mem::take(&mut pair.conflicts))
}

/// Takes the device token out of the pair; empty if there is none.
fn take_device_token(pair: &mut TokenPair) -> String {
    pair.device.take().map(|token| token.expose().to_owned()).unwrap_or_default()
}
