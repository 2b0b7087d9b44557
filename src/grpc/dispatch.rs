//! Hands an admitted call to the handler of its method.

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
        token_service_server::TokenServiceServer, user_service_server::UserServiceServer,
    },
    revocation,
    role::Roles,
    status::unknown_method,
    token::Tokens,
    user::Users,
};

/// Whether a path is one of Chancery's own services, as against health and reflection.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with("/chancery.v1.")
}

/// Answers a call. The handler is made for this call and holds it.
pub(super) async fn dispatch(call: Call, request: Request<Body>) -> Response<Body> {
    /// Answers by the generated server of a service.
    macro_rules! by {
        ($server:ident, $handler:expr) => {
            answer($server::new($handler).max_decoding_message_size(MAX_REQUEST), request).await
        };
    }
    let service = request.uri().path().rsplit_once('/').map_or("", |(service, _)| service);
    match service {
        "/chancery.v1.AuthService" => by!(AuthServiceServer, Auth(call)),
        "/chancery.v1.TokenService" => by!(TokenServiceServer, Tokens(call)),
        "/chancery.v1.KeyService" => by!(KeyServiceServer, Keys(call)),
        "/chancery.v1.AccountService" => by!(AccountServiceServer, Accounts(call)),
        "/chancery.v1.UserService" => by!(UserServiceServer, Users(call)),
        "/chancery.v1.ClientService" => by!(ClientServiceServer, Clients(call)),
        "/chancery.v1.RoleService" => by!(RoleServiceServer, Roles(call)),
        "/chancery.v1.AuditService" => by!(AuditServiceServer, Audits(call)),
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
