//! The demo of `serve --dev`: a user, an application and a service with known secrets.

use std::net::SocketAddr;

use serde_json::Map;

use crate::{
    error::{Error, Result},
    secret::{ClientSecret, Password},
    service::{Admin, NewClientRequest, NewUserRequest, Service},
};

/// The demo user's password, fixed so that the README can print it.
pub(super) const PASSWORD: &str = "correct horse battery staple";
/// The demo service's secret, fixed for the same reason.
pub(super) const SECRET: &str = "demo-service-secret-known-to-everybody";

/// Creates whatever is missing from the demo.
pub(super) async fn set_up(service: &Service) -> Result<()> {
    let issuer = service.issuer().to_owned();
    let text = str::to_owned;
    let user = NewUserRequest {
        name: text("ada"),
        emails: vec![text("ada@example.com")],
        subject: None,
        password: Some(Password::new(text(PASSWORD))),
        attributes: Map::new(),
        ..NewUserRequest::default()
    };
    if let Err(Error::NotFound(..)) = service.users.get(&Admin::command(), "ada").await {
        ignore_existing(service.users.create(&Admin::command(), user).await.map(|_| ()))?;
    }
    let app = NewClientRequest {
        id: text("demo-app"),
        public: true,
        first_party: true,
        audiences: vec![text("demo-api"), issuer.clone()],
        scopes: vec![text("orders.read"), text("orders.write")],
        registration: true,
        link_template: Some(text("http://localhost:3000/{kind}?token={token}")),
        ..NewClientRequest::default()
    };
    let worker = NewClientRequest {
        id: text("demo-service"),
        audiences: vec![text("demo-api"), issuer],
        permissions: vec![text("revocations.read")],
        scopes: vec![text("orders.read")],
        secret: Some(ClientSecret::new(text(SECRET))),
        ..NewClientRequest::default()
    };
    for client in [app, worker] {
        if service.clients.get(&Admin::command(), &client.id).is_err() {
            ignore_existing(service.clients.create(&Admin::command(), client).await.map(|_| ()))?;
        }
    }
    Ok(())
}

/// Ignores things that already exist: another process may have set up the demo in the meantime.
fn ignore_existing(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Exists(..)) => Ok(()),
        other => other,
    }
}

/// Commands to try.
pub(super) fn lines_to_try(grpc: SocketAddr, http: SocketAddr) -> String {
    format!(
        "\nThis is a demo: everybody knows its passwords. Try, in another terminal:\n\n  \
         grpcurl -plaintext -d @ {grpc} chancery.v1.AuthService/Login <<'EOF'\n  \
         {{\"client_id\": \"demo-app\", \"login\": \"ada\", \"password\": \"{PASSWORD}\"}}\n  EOF\n\n  \
         curl -s http://{http}/.well-known/jwks.json\n\n\
         Mails are kept instead of sent, without --mail-smtp: http://{http}/dev/mail\n\
         The service demo-service has the secret {SECRET}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_to_try_name_the_mail_page() {
        let [grpc, http] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(lines_to_try(grpc, http).contains("http://127.0.0.1:2/dev/mail"));
    }
}
