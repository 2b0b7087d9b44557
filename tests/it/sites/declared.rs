//! What a client declares about its pages.

use chancery::{
    grpc::pb::{self, client_service_client::ClientServiceClient},
    service::{Admin, ClientPatch, NewClientRequest},
};
use prost_types::FieldMask;

use super::{declare, move_to, with_site, wrong};
use crate::{
    admin::{AdminClient, fields},
    support::{App, first_party},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_site_is_declared_moved_and_removed,
        only_a_first_party_client_has_a_site,
        a_host_has_one_site_and_loopback_one_for_each_port,
        two_clients_that_declare_a_site_at_once_do_not_both_get_it,
        what_is_wrong_with_pages_is_named_by_field,
        the_look_of_pages_is_set_and_removed,
        a_site_is_declared_and_read_over_grpc,
    }
}

fn patch(site: Option<&str>, home: Option<&str>) -> ClientPatch {
    let text = |text: Option<&str>| text.map(str::to_owned);
    ClientPatch { site: text(site), site_home: text(home), ..ClientPatch::default() }
}

async fn a_site_is_declared_moved_and_removed(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let request =
        NewClientRequest { site_home: "/welcome".into(), ..with_site("shop", "https://Shop.example:443/auth/") };
    clients.create(&admin, request).await.unwrap();
    let seen = |service: &chancery::service::Service| {
        let site = service.clients.get(&admin, "shop").unwrap().config.site.clone();
        site.map(|site| (site.to_string(), site.home().to_owned()))
    };
    let want = |site: &str, home: &str| Some((site.to_owned(), home.to_owned()));
    assert_eq!(seen(&app.service), want("https://shop.example/auth", "/welcome"));
    assert_eq!(seen(&app.second_process().await), want("https://shop.example/auth", "/welcome"), "as it is stored");
    for (patch, site) in [
        (patch(None, Some("/shop?x=1")), want("https://shop.example/auth", "/shop?x=1")),
        (patch(Some("https://shop.example/id"), None), want("https://shop.example/id", "/shop?x=1")),
        (patch(Some("https://other.example/auth"), Some("")), want("https://other.example/auth", "/")),
        (patch(None, None), want("https://other.example/auth", "/")),
        (patch(Some(""), None), None),
        (patch(Some(""), Some("")), None),
        (patch(Some("http://localhost:8000/auth"), Some("/x")), want("http://localhost:8000/auth", "/x")),
        (patch(Some(""), Some("")), None),
    ] {
        clients.update(&admin, "shop", &patch, None).await.unwrap();
        assert_eq!(seen(&app.service), site, "{patch:?}");
    }
}

async fn only_a_first_party_client_has_a_site(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let other =
        || NewClientRequest { id: "other".into(), audiences: vec!["api".into()], ..NewClientRequest::default() };
    let request = NewClientRequest { site: "https://other.example/auth".into(), ..other() };
    let want = [("site".to_owned(), "is for first-party clients".to_owned())];
    assert_eq!(wrong(clients.create(&admin, request).await), want);
    clients.create(&admin, other()).await.unwrap();
    assert_eq!(wrong(clients.update(&admin, "other", &move_to("https://other.example/auth"), None).await), want);
}

async fn a_host_has_one_site_and_loopback_one_for_each_port(app: &App) {
    let (service, admin) = (&app.service, Admin::command());
    declare(service, "shop", "https://shop.example/auth").await;
    declare(service, "demo", "http://localhost:8000/auth").await;
    for taken in ["https://shop.example/auth", "https://shop.example:8443/id", "http://localhost:8000/id"] {
        let problems = wrong(service.clients.create(&admin, with_site("new", taken)).await);
        assert_eq!(problems[0].0, "site", "{taken}");
        assert!(problems[0].1.contains("that of the client "), "{problems:?}");
        assert_eq!(wrong(service.clients.update(&admin, "app", &move_to(taken), None).await), problems, "{taken}");
    }
    // Another port of the same client's host is a move.
    service.clients.update(&admin, "shop", &move_to("https://shop.example:8443/auth"), None).await.unwrap();
    for (id, free) in [
        ("a", "http://localhost:8001/auth"),
        ("b", "http://127.0.0.1:8000/auth"),
        ("c", "https://localhost/auth"),
        ("d", "https://www.shop.example/auth"),
    ] {
        declare(service, id, free).await;
    }
    // A disabled client keeps its site, which has no pages.
    service.clients.set_disabled(&admin, "shop", true).await.unwrap();
    let problems = wrong(service.clients.create(&admin, with_site("new", "https://shop.example/auth")).await);
    assert!(problems[0].1.contains("the client shop"), "{problems:?}");
    assert!(service.live.snapshot().site_of("https", "shop.example:8443").is_none());
    service.clients.set_disabled(&admin, "shop", false).await.unwrap();
    assert!(service.live.snapshot().site_of("https", "shop.example:8443").is_some());
}

async fn two_clients_that_declare_a_site_at_once_do_not_both_get_it(app: &App) {
    // Neither process has seen what the other did.
    let (here, there) = (&app.service, app.second_process().await);
    let admin = Admin::command();
    let (one, other) = tokio::join!(
        here.clients.create(&admin, with_site("one", "https://shop.example/auth")),
        there.clients.create(&admin, with_site("other", "https://shop.example/auth")),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
    let refused = wrong(if one.is_ok() { other } else { one });
    assert_eq!(refused[0].0, "site", "{refused:?}");
    here.clients.create(&admin, first_party("third", &["api"])).await.unwrap();
    there.live.confirm().await.unwrap();
    let patch = move_to("https://third.example/auth");
    let (one, other) = tokio::join!(
        here.clients.update(&admin, "app", &patch, None),
        there.clients.update(&admin, "third", &patch, None),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
    let refused = wrong(if one.is_ok() { other } else { one });
    assert_eq!(refused[0].0, "site", "{refused:?}");
}

async fn what_is_wrong_with_pages_is_named_by_field(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let request = NewClientRequest {
        site: "http://shop.example/auth".into(),
        logo_uri: "http://shop.example/logo.svg".into(),
        accent_color: "blue".into(),
        ..first_party("shop", &["api"])
    };
    let problems = wrong(clients.create(&admin, request).await);
    let named: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(named, ["site", "logo_uri", "accent_color"]);
    let request =
        NewClientRequest { site_home: "/auth/login".into(), ..with_site("shop", "https://shop.example/auth") };
    assert_eq!(
        wrong(clients.create(&admin, request).await),
        [("site_home".to_owned(), "must not be below the prefix of the site, /auth".to_owned())]
    );
    let homeless = NewClientRequest { site_home: "/x".into(), ..first_party("shop", &["api"]) };
    assert_eq!(wrong(clients.create(&admin, homeless).await)[0].0, "site_home");
    declare(&app.service, "shop", "https://shop.example/auth").await;
    for wrong_patch in [patch(None, Some("//evil.example")), patch(Some(""), Some("/x")), patch(None, Some("/auth"))] {
        let problems = wrong(clients.update(&admin, "shop", &wrong_patch, None).await);
        assert_eq!(problems[0].0, "site_home", "{wrong_patch:?}");
    }
    assert_eq!(wrong(clients.update(&admin, "app", &patch(None, Some("/x")), None).await)[0].0, "site_home");
    // A home that the new prefix would cover is not lost silently.
    clients.update(&admin, "shop", &patch(None, Some("/home/x")), None).await.unwrap();
    let problems = wrong(clients.update(&admin, "shop", &move_to("https://shop.example/home"), None).await);
    assert_eq!(problems[0].0, "site_home");
}

async fn the_look_of_pages_is_set_and_removed(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let request = NewClientRequest {
        logo_uri: "/logo.svg".into(),
        accent_color: "#1A56DB".into(),
        ..with_site("shop", "https://shop.example/auth")
    };
    clients.create(&admin, request).await.unwrap();
    let look = |service: &chancery::service::Service| {
        let config = service.clients.get(&admin, "shop").unwrap().config.clone();
        (config.logo_uri.map(|uri| uri.as_str().to_owned()), config.accent_color.map(|color| color.to_string()))
    };
    assert_eq!(look(&app.second_process().await), (Some("/logo.svg".into()), Some("#1a56db".into())));
    let none = || Some(String::new());
    let patch = ClientPatch { logo_uri: none(), accent_color: none(), ..ClientPatch::default() };
    clients.update(&admin, "shop", &patch, None).await.unwrap();
    assert_eq!(look(&app.service), (None, None));
}

async fn a_site_is_declared_and_read_over_grpc(app: &App) {
    let admin = AdminClient::of(app).await;
    let mut clients = ClientServiceClient::new(admin.channel.clone());
    let client = pb::Client {
        client_id: "shop".into(),
        first_party: true,
        public: true,
        site: "https://shop.example/auth".into(),
        site_home: "/welcome".into(),
        logo_uri: "https://cdn.example/logo.svg".into(),
        accent_color: "#1a56db".into(),
        ..pb::Client::default()
    };
    let create =
        |client: &pb::Client| pb::CreateClientRequest { client: Some(client.clone()), request_id: String::new() };
    let made = clients.create_client(admin.ask(create(&client))).await.unwrap().into_inner().client.unwrap();
    let look = |c: &pb::Client| [&c.site, &c.site_home, &c.logo_uri, &c.accent_color].map(Clone::clone);
    assert_eq!(look(&made), look(&client));
    let get = pb::GetClientRequest { client_id: "shop".into() };
    assert_eq!(clients.get_client(admin.ask(get)).await.unwrap().into_inner().client.unwrap(), made);
    let mut update = async |client: pb::Client, paths: &[&str]| {
        let update_mask = Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
        let message = pb::UpdateClientRequest { client: Some(client), update_mask };
        clients.update_client(admin.ask(message)).await.map(|answer| answer.into_inner().client.unwrap())
    };
    let shop = || pb::Client { client_id: "shop".into(), ..pb::Client::default() };
    let changed = update(pb::Client { site: "https://s.example/id".into(), ..shop() }, &["site", "logo_uri"]).await;
    assert_eq!(look(&changed.unwrap()), ["https://s.example/id", "/welcome", "", "#1a56db"]);
    let refused = update(pb::Client { accent_color: "red".into(), ..shop() }, &["accent_color"]).await.unwrap_err();
    assert_eq!(fields(&refused), ["accent_color"]);
    let removed = update(shop(), &["site"]).await.unwrap();
    assert_eq!(look(&removed), ["", "", "", "#1a56db"]);
}
