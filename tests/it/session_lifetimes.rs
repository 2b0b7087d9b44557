//! How long a client's sessions may be idle and last.

use chancery::{
    grpc::pb::{self, client_service_client::ClientServiceClient},
    time::Ttl,
};
use prost_types::{Duration, FieldMask};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    admin::AdminClient,
    support::{App, PASSWORD, login_of, sign_in},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_clients_sessions_are_as_long_as_it_says,
        the_lifetimes_of_tokens_and_sessions_fit_each_other,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a field of a message is an option")]
fn seconds(n: i64) -> Option<Duration> {
    Some(Duration { seconds: n, nanos: 0 })
}

fn client(id: &str, idle: Option<Duration>, absolute: Option<Duration>) -> pb::Client {
    pb::Client {
        client_id: id.into(),
        public: true,
        first_party: true,
        audiences: vec!["api".into()],
        algorithm: pb::SignatureAlgorithm::Es256.into(),
        session_idle: idle,
        session_absolute: absolute,
        ..pb::Client::default()
    }
}

struct Clients {
    admin: AdminClient,
    stub: ClientServiceClient<Channel>,
}

impl Clients {
    async fn of(app: &App) -> Self {
        Self { admin: AdminClient::of(app).await, stub: ClientServiceClient::new(served(app).await) }
    }

    async fn create(&mut self, client: pb::Client) -> Result<pb::Client, Status> {
        let message = pb::CreateClientRequest { client: Some(client), request_id: String::new() };
        self.stub.create_client(self.admin.ask(message)).await.map(|a| a.into_inner().client.unwrap())
    }

    async fn update(&mut self, client: pb::Client) -> Result<pb::Client, Status> {
        let update_mask = None::<FieldMask>;
        let message = pb::UpdateClientRequest { client: Some(client), update_mask };
        self.stub.update_client(self.admin.ask(message)).await.map(|a| a.into_inner().client.unwrap())
    }
}

fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let all = &details.bad_request().unwrap().field_violations;
    all.iter().map(|v| (v.field.clone(), v.description.clone())).collect()
}

async fn a_clients_sessions_are_as_long_as_it_says(app: &App) {
    let mut clients = Clients::of(app).await;
    let made = clients.create(client("shop", seconds(600), seconds(3600))).await.unwrap();
    assert_eq!((made.session_idle, made.session_absolute), (seconds(600), seconds(3600)));
    let started = app.service.now();
    let pair = sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    assert_eq!(pair.refresh_expires_at, started.plus(Ttl::from_secs(600)));
    // A change counts for the sessions that are opened after it.
    let other = pb::Client { client_id: "shop".into(), session_idle: seconds(1200), ..pb::Client::default() };
    let changed = clients.update(other).await.unwrap();
    assert_eq!((changed.session_idle, changed.session_absolute), (seconds(1200), seconds(3600)));
    let later = sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    assert_eq!(later.refresh_expires_at, started.plus(Ttl::from_secs(1200)));
    let sessions = app.service.users.sessions(&chancery::service::Admin::command(), "ada").await.unwrap();
    assert!(sessions.iter().all(|s| s.absolute_expires_at == started.plus(Ttl::from_secs(3600))));
}

async fn the_lifetimes_of_tokens_and_sessions_fit_each_other(app: &App) {
    let mut clients = Clients::of(app).await;
    // The defaults, and defaults that fit what is given.
    let (week, month) = (seconds(7 * 86_400), seconds(30 * 86_400));
    for (id, idle, absolute, got) in [
        ("usual", None, None, (week, month)),
        ("long", seconds(60 * 86_400), None, (seconds(60 * 86_400), seconds(60 * 86_400))),
        ("short", None, seconds(3600), (seconds(3600), seconds(3600))),
    ] {
        let made = clients.create(client(id, idle, absolute)).await.unwrap();
        assert_eq!((made.session_idle, made.session_absolute), got, "{id}");
    }
    let year = 400 * 86_400;
    for (idle, absolute, field) in [
        (seconds(0), None, "session_idle"),
        (seconds(-5), None, "session_idle"),
        (seconds(year + 1), None, "session_idle"),
        (None, seconds(year + 1), "session_absolute"),
        (None, seconds(i64::MAX), "session_absolute"),
        (seconds(7200), seconds(3600), "session_absolute"),
        (Some(Duration { seconds: 600, nanos: 1 }), None, "session_idle"),
    ] {
        let refused = clients.create(client("wrong", idle, absolute)).await.unwrap_err();
        let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, [field], "{idle:?} {absolute:?}");
    }
    let lifetime = |idle, token_lifetime| pb::Client { token_lifetime, ..client("wrong", idle, None) };
    let refused = violations(&clients.create(lifetime(seconds(299), seconds(300))).await.unwrap_err());
    assert_eq!(
        refused,
        [("session_idle".to_owned(), "must not be less than the lifetime of a token, 300 s".to_owned())]
    );
    clients.create(client("app-2", seconds(600), seconds(3600))).await.unwrap();
    for (change, field) in [
        (pb::Client { token_lifetime: seconds(601), ..pb::Client::default() }, "token_lifetime"),
        (pb::Client { session_idle: seconds(299), ..pb::Client::default() }, "session_idle"),
        (pb::Client { session_idle: seconds(3601), ..pb::Client::default() }, "session_idle"),
        (pb::Client { session_absolute: seconds(599), ..pb::Client::default() }, "session_absolute"),
    ] {
        let refused = clients.update(pb::Client { client_id: "app-2".into(), ..change }).await.unwrap_err();
        assert_eq!(violations(&refused)[0].0, field);
    }
}
