//! `AuthService`.

use tonic::{Request, Response, Status};

use super::{
    context::{context, credentials},
    convert::time,
    proto::pb::{self, auth_service_server::AuthService, continue_login_response, login_response},
    status::status,
};
use crate::{
    secret::RefreshToken,
    service::{Service, SignedIn, TokenPair},
};

/// The service behind the messages.
#[derive(Clone, Debug)]
pub(super) struct Auth(pub(super) Service);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::LoginResponse>, Status> {
        let ctx = context(&request, &self.0);
        let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
        let sign_in = request.into_inner().try_into().map_err(|e| status(&ctx, &e))?;
        let signed_in = self.0.sign_in(&ctx, &credentials, sign_in).await.map_err(|e| status(&ctx, &e))?;
        let (result, device_token) = match signed_in {
            SignedIn::Tokens(mut pair) => {
                let device = device_token(&mut pair);
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
        let ctx = context(&request, &self.0);
        let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
        let signed_in = self.0.continue_sign_in(&ctx, &credentials, request.into_inner().into()).await;
        let result = match signed_in.map_err(|e| status(&ctx, &e))? {
            SignedIn::Tokens(pair) => continue_login_response::Result::Tokens(pair.into()),
            SignedIn::Challenge(challenge) => continue_login_response::Result::Challenge(challenge.into()),
        };
        Ok(Response::new(pb::ContinueLoginResponse { result: Some(result) }))
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Result<Response<pb::RefreshResponse>, Status> {
        let ctx = context(&request, &self.0);
        let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
        let pair = self.0.refresh(&ctx, &credentials, request.into_inner().into()).await;
        let pair = pair.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::RefreshResponse { tokens: Some(pair.into()) }))
    }

    async fn logout(&self, request: Request<pb::LogoutRequest>) -> Result<Response<pb::LogoutResponse>, Status> {
        let ctx = context(&request, &self.0);
        let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
        let message = request.into_inner();
        let token = RefreshToken::new(message.refresh_token);
        let until = self.0.logout(&ctx, &credentials, &message.client_id, &token).await;
        let until = until.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::LogoutResponse { access_token_valid_until: Some(time(until)) }))
    }

    async fn issue_client_token(
        &self,
        request: Request<pb::IssueClientTokenRequest>,
    ) -> Result<Response<pb::IssueClientTokenResponse>, Status> {
        let ctx = context(&request, &self.0);
        let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
        let issued = self.0.issue_client_token(&ctx, &credentials, &request.into_inner().into()).await;
        issued.map(|t| Response::new(t.into())).map_err(|e| status(&ctx, &e))
    }
}

/// The token by which the device is known from now on.
fn device_token(pair: &mut TokenPair) -> String {
    pair.device.take().map(|token| token.expose().to_owned()).unwrap_or_default()
}
