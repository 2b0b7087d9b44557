//! `AuthService`.

use tonic::{Request, Response, Status};

use super::{
    call::Call,
    convert::time,
    proto::pb::{self, auth_service_server::AuthService, continue_login_response, login_response},
};
use crate::{
    secret::RefreshToken,
    service::{SignedIn, TokenPair},
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
        let signed_in = self.0.service.sign_ins.continue_sign_in(ctx, credentials, request.into_inner().into()).await;
        let result = match signed_in.map_err(|e| self.0.status(&e))? {
            SignedIn::Tokens(pair) => continue_login_response::Result::Tokens(pair.into()),
            SignedIn::Challenge(challenge) => continue_login_response::Result::Challenge(challenge.into()),
        };
        Ok(Response::new(pb::ContinueLoginResponse { result: Some(result) }))
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

/// Takes the device token out of the pair; empty if there is none.
fn take_device_token(pair: &mut TokenPair) -> String {
    pair.device.take().map(|token| token.expose().to_owned()).unwrap_or_default()
}
