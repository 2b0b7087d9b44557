//! What a client declares about scripts in browsers.

use chancery::{
    domain::{audit::AuditKind, site::WebOrigin},
    grpc::pb::{self, client_service_client::ClientServiceClient},
    service::{Admin, ClientPatch, NewClientRequest, Service},
};
use prost_types::FieldMask;

use super::{PAGE, texts, with_origins, wrong};
use crate::{
    admin::{AdminClient, fields},
    support::{App, first_party},
};

on_each_engine! {
    #[tokio::test]
    App => {
        g16_origins_are_declared_replaced_and_removed,
        g16_what_is_no_exact_origin_is_named_with_what_is_right,
        there_is_a_bound_to_the_origins_of_a_client,
        tokens_for_scripts_need_a_site,
        origins_and_tokens_for_scripts_are_declared_and_read_over_grpc,
    }
}

fn origins(service: &Service, id: &str) -> Vec<String> {
    let client = service.clients.get(&Admin::command(), id).unwrap();
    client.config.cors_origins.iter().map(WebOrigin::to_string).collect()
}

fn declare(origins: &[&str]) -> ClientPatch {
    ClientPatch { cors_origins: Some(texts(origins)), ..ClientPatch::default() }
}

async fn g16_origins_are_declared_replaced_and_removed(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let two = ["https://app.example", "http://localhost:5173"];
    clients.create(&admin, with_origins("spa", &[two[0], two[1], two[0]])).await.unwrap();
    assert_eq!(origins(&app.service, "spa"), two, "each once");
    assert_eq!(origins(&app.second_process().await, "spa"), two, "as it is stored");
    for (patch, want) in [
        (declare(&["https://other.example:8443"]), &["https://other.example:8443"][..]),
        (ClientPatch { registration: Some(true), ..ClientPatch::default() }, &["https://other.example:8443"]),
        (declare(&[]), &[]),
        (declare(&two), &two),
    ] {
        clients.update(&admin, "spa", &patch, None).await.unwrap();
        assert_eq!(origins(&app.service, "spa"), want, "{patch:?}");
    }
    let mut tx = app.service.store().read().await.unwrap();
    let events = tx.audit_page(&chancery::domain::audit::AuditFilter::default(), None, 100).await.unwrap();
    let changes: Vec<_> = events.iter().filter(|e| e.kind == AuditKind::ClientUpdated && e.subject == "spa").collect();
    let named = changes.iter().filter(|e| e.details["changed"][0] == "cors_origins").count();
    assert_eq!((changes.len(), named), (4, 3), "{changes:?}");
}

async fn g16_what_is_no_exact_origin_is_named_with_what_is_right(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    for (pasted, says) in [
        ("https://app.example/", "must end with the host or its port, without a slash or path: https://app.example"),
        ("*", "exact origin such as https://app.example"),
        ("null", "an origin such as https://app.example"),
        ("http://app.example", "must begin with https://"),
        ("https://APP.example:443", "must be written as browsers send it: https://app.example"),
    ] {
        let problems = wrong(clients.create(&admin, with_origins("spa", &[PAGE, pasted])).await);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].0, "cors_origins");
        assert!(problems[0].1.contains(says) && problems[0].1.contains(pasted), "{problems:?}");
        assert_eq!(wrong(clients.update(&admin, "app", &declare(&[pasted]), None).await), problems);
    }
    assert_eq!(origins(&app.service, "app"), [""; 0]);
}

async fn there_is_a_bound_to_the_origins_of_a_client(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let many: Vec<String> = (1..=17).map(|n| format!("https://app{n}.example")).collect();
    let request = NewClientRequest { cors_origins: many.clone(), ..first_party("spa", &["api"]) };
    assert_eq!(wrong(clients.create(&admin, request).await), [("cors_origins".into(), "must be at most 16".into())]);
    let request = NewClientRequest { cors_origins: many[..16].to_vec(), ..first_party("spa", &["api"]) };
    clients.create(&admin, request).await.unwrap();
    let patch = ClientPatch { cors_origins: Some(many), ..ClientPatch::default() };
    assert_eq!(wrong(clients.update(&admin, "spa", &patch, None).await)[0].0, "cors_origins");
}

async fn tokens_for_scripts_need_a_site(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let request =
        |site: &str| NewClientRequest { browser_tokens: true, site: site.into(), ..first_party("spa", &["api"]) };
    let problems = wrong(clients.create(&admin, request("")).await);
    assert!(problems[0].0 == "browser_tokens" && problems[0].1.contains("a site"), "{problems:?}");
    let named = |problems: Vec<(String, String)>| problems.into_iter().map(|(field, _)| field).collect::<Vec<_>>();
    assert_eq!(named(wrong(clients.create(&admin, request("https://spa.example")).await)), ["site"], "once is enough");
    clients.create(&admin, request("https://spa.example/auth")).await.unwrap();
    let given = |service: &Service| service.clients.get(&admin, "spa").unwrap().config.browser_tokens;
    assert!(given(&app.service) && given(&app.second_process().await));
    let patch = |tokens: Option<bool>, site: Option<&str>| ClientPatch {
        browser_tokens: tokens,
        site: site.map(str::to_owned),
        ..ClientPatch::default()
    };
    let problems = wrong(clients.update(&admin, "spa", &patch(None, Some("")), None).await);
    assert!(problems[0].0 == "site" && problems[0].1.contains("browser_tokens"), "{problems:?}");
    for refused in [patch(Some(true), Some("")), patch(Some(true), None)] {
        let id = if refused.site.is_some() { "spa" } else { "app" };
        let problems = wrong(clients.update(&admin, id, &refused, None).await);
        assert!(problems[0].0 == "browser_tokens" && problems[0].1.contains("a site"), "{problems:?}");
    }
    for (taken, want) in [
        (patch(None, Some("https://other.example/auth")), true),
        (patch(Some(false), None), false),
        (patch(Some(true), Some("https://spa.example/auth")), true),
        (patch(Some(false), Some("")), false),
    ] {
        clients.update(&admin, "spa", &taken, None).await.unwrap();
        assert_eq!(given(&app.service), want, "{taken:?}");
    }
}

async fn origins_and_tokens_for_scripts_are_declared_and_read_over_grpc(app: &App) {
    let admin = AdminClient::of(app).await;
    let mut clients = ClientServiceClient::new(admin.channel.clone());
    let client = pb::Client {
        client_id: "spa".into(),
        first_party: true,
        public: true,
        site: "https://spa.example/auth".into(),
        cors_origins: texts(&[PAGE, "http://localhost:5173"]),
        browser_tokens: true,
        ..pb::Client::default()
    };
    let create = pb::CreateClientRequest { client: Some(client.clone()), request_id: String::new() };
    let made = clients.create_client(admin.ask(create)).await.unwrap().into_inner().client.unwrap();
    let look = |c: &pb::Client| (c.cors_origins.clone(), c.browser_tokens);
    assert_eq!(look(&made), look(&client));
    let get = pb::GetClientRequest { client_id: "spa".into() };
    assert_eq!(clients.get_client(admin.ask(get)).await.unwrap().into_inner().client.unwrap(), made);
    let mut update = async |client: pb::Client, paths: &[&str]| {
        let update_mask = (!paths.is_empty()).then(|| FieldMask { paths: texts(paths) });
        let message = pb::UpdateClientRequest { client: Some(client), update_mask };
        clients.update_client(admin.ask(message)).await.map(|answer| answer.into_inner().client.unwrap())
    };
    let spa = || pb::Client { client_id: "spa".into(), ..pb::Client::default() };
    let with = |origins: &[&str]| pb::Client { cors_origins: texts(origins), ..spa() };
    let changed = update(with(&["https://other.example"]), &[]).await.unwrap();
    assert_eq!(look(&changed), (texts(&["https://other.example"]), true), "what is empty stays without a mask");
    let refused = update(with(&["https://other.example/"]), &["cors_origins"]).await.unwrap_err();
    assert_eq!(fields(&refused), ["cors_origins"]);
    let removed = update(spa(), &["cors_origins", "browser_tokens"]).await.unwrap();
    assert_eq!(look(&removed), (vec![], false));
}
