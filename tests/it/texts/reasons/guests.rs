//! The reasons of calls for guests, and of those that guests may not make.

use chancery::{
    grpc::{documented_reasons, pb},
    service::{ACCESS, Access, Admin, ClientCredentials, Device, GuestRequest, NewClientRequest, Service},
    time::Ttl,
};

use super::World;
use crate::support::{ISSUER, PASSWORD, first_party, refresh, token};

/// A public client with guests.
const CLIENT: &str = "kiosk";

async fn start(service: &Service, audience: &str) -> chancery::service::TokenPair {
    let (audience, device) = (audience.to_owned(), Device::default());
    let request = GuestRequest { client_id: CLIENT.into(), audience, scopes: Vec::new(), device };
    service.sign_ins.start_guest(&service.context(), &ClientCredentials::None, request).await.unwrap()
}

fn upgrade(guest: &str, login: &str) -> pb::UpgradeGuestRequest {
    pb::UpgradeGuestRequest {
        client_id: CLIENT.into(),
        guest_refresh_token: guest.into(),
        login: login.into(),
        password: PASSWORD.into(),
        ..Default::default()
    }
}

fn register(guest: &str) -> pb::RegisterRequest {
    pb::RegisterRequest {
        client_id: CLIENT.into(),
        email: "kiosk@example.com".into(),
        password: PASSWORD.into(),
        guest_refresh_token: guest.into(),
        ..Default::default()
    }
}

impl World<'_> {
    /// The header of a guest.
    pub(super) async fn guest_bearer(&self) -> String {
        if !self.app.service.live.snapshot().clients.contains_key(CLIENT) {
            let grants = ["direct_login", "refresh_token", "guest"].map(str::to_owned).to_vec();
            let kiosk = NewClientRequest { grants, registration: true, ..first_party(CLIENT, &["api", ISSUER]) };
            self.app.service.clients.create(&Admin::command(), kiosk).await.unwrap();
        }
        format!("Bearer {}", start(&self.app.service, ISSUER).await.access.token.expose())
    }

    pub(super) async fn guests(&mut self) {
        let wrong =
            pb::StartGuestSessionRequest { client_id: CLIENT.into(), audience: "unknown".into(), ..Default::default() };
        self.gives("AuthService/StartGuestSession", "INVALID_ARGUMENT", None, wrong).await;
        let guest = token(&start(&self.app.service, "").await);
        let method = "AuthService/UpgradeGuest";
        self.gives(method, "INVALID_ARGUMENT", None, upgrade("", "ada")).await;
        self.gives(method, "INVALID_CREDENTIALS", None, upgrade(&guest, "nobody-at-all")).await;
        self.gives_in_the_end(method, "TOO_MANY_ATTEMPTS", None, upgrade(&guest, "nobody-at-all")).await;
        let service = self.app.service.clone();
        for with_token in [(method, false), ("AccountService/Register", true)] {
            self.tokens_of_guests(&service, with_token).await;
        }
        self.app.service.instance.set(&Admin::command(), "guests_per_client", "0").await.unwrap();
        let start = pb::StartGuestSessionRequest { client_id: CLIENT.into(), ..Default::default() };
        self.gives("AuthService/StartGuestSession", "TOO_MANY_ATTEMPTS", None, start).await;
    }

    async fn tokens_of_guests(&mut self, service: &Service, (method, registers): (&str, bool)) {
        let guest = token(&start(service, "").await);
        refresh(service, CLIENT, &guest, "", &[], "").await.unwrap();
        self.app.pass(Ttl::from_secs(60)).await;
        let superseded = guest.clone();
        refresh(service, CLIENT, &guest, "", &[], "").await.unwrap_err();
        let other = token(&start(service, "").await);
        refresh(service, CLIENT, &other, "", &[], "").await.unwrap();
        self.app.pass(Ttl::from_secs(60)).await;
        let idle = token(&start(service, "").await);
        for (want, of) in [
            ("REFRESH_TOKEN_INVALID", "x"),
            // It was used twice, which has ended its session.
            ("SESSION_REVOKED", &superseded),
            ("REFRESH_TOKEN_SUPERSEDED", &other),
            ("SESSION_EXPIRED", &idle),
        ] {
            if want == "SESSION_EXPIRED" {
                self.app.pass(Ttl::from_days(2)).await;
            }
            if registers {
                self.gives(method, want, None, register(of)).await;
            } else {
                self.gives(method, want, None, upgrade(of, "ada")).await;
            }
        }
    }
}

#[test]
fn g03_every_method_for_users_alone_documents_that_guests_are_refused() {
    for (path, _) in ACCESS.iter().filter(|(_, access)| *access == Access::User) {
        assert!(documented_reasons()[*path].contains("GUEST_NOT_ALLOWED"), "{path}");
    }
}
