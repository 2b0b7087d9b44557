//! Routes an admitted call to its handler.

use std::convert::Infallible;

use http::{Request, Response};
use tonic::body::Body;
use tower::Service as TowerService;

use super::{
    MAX_REQUEST,
    account::Accounts,
    audit::Audits,
    auth::Auth,
    call::Call,
    client::Clients,
    key::Keys,
    proto::pb::{
        account_service_server::AccountServiceServer, audit_service_server::AuditServiceServer,
        auth_service_server::AuthServiceServer, client_service_server::ClientServiceServer,
        key_service_server::KeyServiceServer, role_service_server::RoleServiceServer,
        session_data_service_server::SessionDataServiceServer, token_service_server::TokenServiceServer,
        user_service_server::UserServiceServer,
    },
    revocation,
    role::Roles,
    session_data::SessionData,
    status::unknown_method,
    token::Tokens,
    user::Users,
};

/// Whether a path belongs to one of Chancery's own services, not to health or reflection.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with("/chancery.v1.")
}

/// Answers a call with a handler created for this call.
pub(super) async fn dispatch(call: Call, request: Request<Body>) -> Response<Body> {
    /// Answers with the generated server of a service.
    macro_rules! answer_with {
        ($server:ident, $handler:expr) => {
            answer($server::new($handler).max_decoding_message_size(MAX_REQUEST), request).await
        };
    }
    let service = request.uri().path().rsplit_once('/').map_or("", |(service, _)| service);
    match service {
        "/chancery.v1.AuthService" => answer_with!(AuthServiceServer, Auth(call)),
        "/chancery.v1.TokenService" => answer_with!(TokenServiceServer, Tokens(call)),
        "/chancery.v1.KeyService" => answer_with!(KeyServiceServer, Keys(call)),
        "/chancery.v1.AccountService" => answer_with!(AccountServiceServer, Accounts(call)),
        "/chancery.v1.UserService" => answer_with!(UserServiceServer, Users(call)),
        "/chancery.v1.ClientService" => answer_with!(ClientServiceServer, Clients(call)),
        "/chancery.v1.RoleService" => answer_with!(RoleServiceServer, Roles(call)),
        "/chancery.v1.AuditService" => answer_with!(AuditServiceServer, Audits(call)),
        "/chancery.v1.SessionDataService" => answer_with!(SessionDataServiceServer, SessionData(call)),
        "/chancery.v1.RevocationService" => revocation::answer(call, request).await,
        _ => unknown_method().into_http(),
    }
}

async fn answer<S>(mut server: S, request: Request<Body>) -> Response<Body>
where
    S: TowerService<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    match server.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
