//! `SessionDataService`: what applications keep with sessions and users.

mod browser;
mod guests;

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::pb::{
        DataOwner, DeleteSessionDataRequest, GetSessionDataRequest, GetSessionDataResponse, ListSessionDataRequest,
        PutSessionDataRequest, session_data_service_client::SessionDataServiceClient,
    },
    service::{Admin, ClientCredentials, NewClientRequest, SweepProgress, TokenPair},
    time::Ttl,
};
use futures_util::future::join_all;
use prost_types::{ListValue, Struct, Value, value::Kind};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    support::{App, ISSUER, PASSWORD, admit_me, first_party, login_of, sign_in, token},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_value_is_stored_read_listed_and_deleted,
        a_change_of_another_version_changes_nothing_and_names_the_current_one,
        writers_that_expect_one_version_are_one_success_in_two_processes,
        values_have_bounds_and_each_refusal_names_the_field,
        an_owner_has_64_values,
        devices_of_a_user_share_a_cart_and_nobody_else_sees_it,
        a_token_names_its_own_session_alone,
        a_confidential_client_reaches_its_own_sessions_alone,
        nothing_is_read_or_written_once_the_session_has_ended,
        data_survive_refreshes_and_end_with_the_session,
        data_are_in_the_users_own_data_and_end_with_the_account,
        a_form_of_three_steps_is_filled_in_from_two_tabs,
        a_read_takes_two_statements_and_a_change_three_at_most,
    }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

fn object(members: &[(&str, &str)]) -> Value {
    let fields = members.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

/// Somebody who keeps data.
#[derive(Clone)]
struct Keeper {
    calls: SessionDataServiceClient<Channel>,
    credentials: String,
    session_id: String,
    owner: DataOwner,
}

impl Keeper {
    fn new(channel: &Channel, credentials: String) -> Self {
        let calls = SessionDataServiceClient::new(channel.clone());
        Self { calls, credentials, session_id: String::new(), owner: DataOwner::Session }
    }

    fn of(channel: &Channel, pair: &TokenPair) -> Self {
        Self::new(channel, format!("Bearer {}", pair.access.token.expose()))
    }

    fn with(&self, owner: DataOwner) -> Self {
        Self { owner, ..self.clone() }
    }

    fn naming(&self, session_id: &str) -> Self {
        Self { session_id: session_id.to_owned(), ..self.clone() }
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.credentials.parse().unwrap());
        request
    }

    fn put_request(&self, namespace: &str, value: Value) -> PutSessionDataRequest {
        let (owner, session_id) = (self.owner.into(), self.session_id.clone());
        PutSessionDataRequest {
            owner,
            namespace: namespace.into(),
            value: Some(value),
            session_id,
            ..Default::default()
        }
    }

    async fn send(&self, message: PutSessionDataRequest) -> Result<i64, Status> {
        let answer = self.calls.clone().put_session_data(self.ask(message)).await;
        answer.map(|answer| answer.into_inner().version)
    }

    async fn put(&self, namespace: &str, value: Value) -> Result<i64, Status> {
        self.send(self.put_request(namespace, value)).await
    }

    async fn put_if(&self, namespace: &str, value: Value, expected_version: i64) -> Result<i64, Status> {
        self.send(PutSessionDataRequest { expected_version, ..self.put_request(namespace, value) }).await
    }

    async fn create(&self, namespace: &str, value: Value) -> Result<i64, Status> {
        self.send(PutSessionDataRequest { create_only: true, ..self.put_request(namespace, value) }).await
    }

    async fn get(&self, namespace: &str) -> Result<GetSessionDataResponse, Status> {
        let (owner, session_id) = (self.owner.into(), self.session_id.clone());
        let message = GetSessionDataRequest { owner, namespace: namespace.into(), session_id };
        self.calls.clone().get_session_data(self.ask(message)).await.map(tonic::Response::into_inner)
    }

    async fn delete(&self, namespace: &str, expected_version: i64) -> Result<(), Status> {
        let (owner, session_id) = (self.owner.into(), self.session_id.clone());
        let message = DeleteSessionDataRequest { owner, namespace: namespace.into(), expected_version, session_id };
        self.calls.clone().delete_session_data(self.ask(message)).await.map(|_| ())
    }

    async fn list(&self) -> Result<Vec<(String, i64, i32)>, Status> {
        let message = ListSessionDataRequest { owner: self.owner.into(), session_id: self.session_id.clone() };
        let entries = self.calls.clone().list_session_data(self.ask(message)).await?.into_inner().entries;
        Ok(entries.into_iter().map(|entry| (entry.namespace, entry.version, entry.size_bytes)).collect())
    }

    /// The reasons of all refusals.
    async fn refusals(&self) -> Vec<String> {
        let all = [
            self.get("cart").await.map(|_| ()),
            self.put("cart", text("x")).await.map(|_| ()),
            self.delete("cart", 0).await,
            self.list().await.map(|_| ()),
        ];
        all.into_iter().map(|answer| answer.map_or_else(|status| reason(&status), |()| String::new())).collect()
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("{status:?}"), |info| info.reason)
}

/// The version that a refusal names.
fn current(status: &Status) -> String {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Aborted, "VERSION_MISMATCH"), "{status:?}");
    status.get_details_error_info().unwrap().metadata["current_version"].clone()
}

/// The field that a refusal names, and its description.
fn violation(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let first = status.get_details_bad_request().unwrap().field_violations.remove(0);
    (first.field, first.description)
}

/// A sign-in whose token is for this server.
async fn signed_in(app: &App, client: &str, login: &str) -> TokenPair {
    let mut request = login_of(client, login, PASSWORD);
    request.audience = ISSUER.into();
    sign_in(&app.service, request).await.unwrap()
}

/// Ada, signed in at the shop.
async fn ada(app: &App) -> (Channel, Keeper) {
    app.client("shop", &["api", ISSUER]).await;
    let channel = served(app).await;
    let keeper = Keeper::of(&channel, &signed_in(app, "shop", "ada").await);
    (channel, keeper)
}

async fn a_value_is_stored_read_listed_and_deleted(app: &App) {
    let (_, ada) = ada(app).await;
    let list = ListValue { values: vec![text("ä\u{1f980}"), Value { kind: Some(Kind::NumberValue(1.5)) }] };
    let null = Value { kind: Some(Kind::NullValue(0)) };
    let lists = Value { kind: Some(Kind::ListValue(list)) };
    assert_eq!(ada.put("cart", lists.clone()).await.unwrap(), 1);
    assert_eq!(ada.put("form.1", null.clone()).await.unwrap(), 1);
    assert_eq!(ada.put("form.1", null.clone()).await.unwrap(), 2);
    let found = ada.get("cart").await.unwrap();
    assert_eq!((found.value, found.version), (Some(lists), 1));
    assert_eq!(found.update_time.unwrap().seconds, app.service.now().seconds());
    assert_eq!(ada.get("form.1").await.unwrap().value, Some(null));
    let all = [("cart".to_owned(), 1, 14), ("form.1".to_owned(), 2, 4)];
    assert_eq!(ada.list().await.unwrap(), all);
    assert_eq!(ada.with(DataOwner::User).list().await.unwrap(), []);
    ada.delete("cart", 0).await.unwrap();
    ada.delete("cart", 0).await.unwrap();
    assert_eq!(reason(&ada.get("cart").await.unwrap_err()), "NOT_FOUND");
    assert_eq!(ada.list().await.unwrap(), all[1..]);
}

async fn a_change_of_another_version_changes_nothing_and_names_the_current_one(app: &App) {
    let (_, ada) = ada(app).await;
    assert_eq!(current(&ada.put_if("cart", text("x"), 1).await.unwrap_err()), "0");
    assert_eq!(current(&ada.delete("cart", 1).await.unwrap_err()), "0");
    assert_eq!(ada.create("cart", text("a")).await.unwrap(), 1);
    assert_eq!(current(&ada.create("cart", text("b")).await.unwrap_err()), "1");
    assert_eq!(ada.put_if("cart", text("c"), 1).await.unwrap(), 2);
    assert_eq!(current(&ada.put_if("cart", text("d"), 1).await.unwrap_err()), "2");
    assert_eq!(current(&ada.delete("cart", 1).await.unwrap_err()), "2");
    assert_eq!(ada.get("cart").await.unwrap().value, Some(text("c")));
    ada.delete("cart", 2).await.unwrap();
    // Whoever still has the old version does not take the new value for it.
    assert_eq!(ada.create("cart", text("e")).await.unwrap(), 3);
    let both = PutSessionDataRequest { create_only: true, expected_version: 1, ..ada.put_request("cart", text("x")) };
    assert_eq!(violation(&ada.send(both).await.unwrap_err()).0, "create_only");
    assert_eq!(violation(&ada.put_if("cart", text("x"), -1).await.unwrap_err()).0, "expected_version");
}

async fn writers_that_expect_one_version_are_one_success_in_two_processes(app: &App) {
    let (channel, ada) = ada(app).await;
    let other = crate::wire::served_by(app.second_process().await).await;
    let elsewhere = Keeper::new(&other, ada.credentials.clone());
    for version in 0..3 {
        let writers = (0..12).map(|n| {
            let keeper = if n % 2 == 0 { ada.clone() } else { elsewhere.clone() };
            async move {
                let value = text(&n.to_string());
                if version == 0 {
                    keeper.create("cart", value).await
                } else {
                    keeper.put_if("cart", value, version).await
                }
            }
        });
        let answers = join_all(writers).await;
        let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(won, [&(version + 1)], "{answers:?}");
        let lost = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(lost.map(current).all(|current| current == (version + 1).to_string()));
    }
    drop(channel);
}

async fn values_have_bounds_and_each_refusal_names_the_field(app: &App) {
    let (_, ada) = ada(app).await;
    assert_eq!(ada.put("cart", text(&"x".repeat(16 * 1024 - 2))).await.unwrap(), 1);
    let number = |n| Value { kind: Some(Kind::NumberValue(n)) };
    let nested = |levels: usize| {
        (0..levels).fold(text("x"), |inner, _| Value { kind: Some(Kind::ListValue(ListValue { values: vec![inner] })) })
    };
    assert_eq!(ada.put("cart", nested(16)).await.unwrap(), 2);
    assert_eq!(ada.get("cart").await.unwrap().value, Some(nested(16)));
    for (value, want) in [
        (text(&"x".repeat(16 * 1024 - 1)), "must be at most 16384 bytes of JSON"),
        (nested(17), "is nested deeper than 16 levels"),
        (text("a\0b"), "must not contain NUL"),
        (number(9_007_199_254_740_992.0), "send it as a text"),
        (number(f64::NAN), "must be a finite number"),
        (Value { kind: None }, "null is a value too"),
    ] {
        let (field, description) = violation(&ada.put("cart", value).await.unwrap_err());
        assert!(field.starts_with("value") && description.contains(want), "{field}: {description}");
    }
    let absent = PutSessionDataRequest { value: None, ..ada.put_request("cart", text("x")) };
    assert_eq!(violation(&ada.send(absent).await.unwrap_err()).0, "value");
    for namespace in ["", "Cart", "a b", ".a", &"a".repeat(65)] {
        for refused in [
            ada.put(namespace, text("x")).await.map(|_| ()),
            ada.get(namespace).await.map(|_| ()),
            ada.delete(namespace, 0).await,
        ] {
            assert_eq!(violation(&refused.unwrap_err()).0, "namespace", "{namespace}");
        }
    }
    let nobody = ada.with(DataOwner::Unspecified);
    assert_eq!(violation(&nobody.list().await.unwrap_err()), ("owner".into(), "must be SESSION or USER".into()));
    assert_eq!(ada.list().await.unwrap(), [("cart".to_owned(), 2, 35)]);
}

async fn an_owner_has_64_values(app: &App) {
    let (_, ada) = ada(app).await;
    let all = join_all((0..70).map(|n| {
        let ada = ada.clone();
        async move { ada.put(&format!("n{n}"), text("x")).await }
    }));
    let refused: Vec<_> = all.await.into_iter().filter_map(Result::err).collect();
    assert_eq!((refused.len(), ada.list().await.unwrap().len()), (6, 64));
    for status in refused {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "FAILED_PRECONDITION"));
        assert!(status.message().contains("64 values"), "{status:?}");
    }
    assert_eq!(ada.with(DataOwner::User).put("cart", text("x")).await.unwrap(), 1);
}

async fn devices_of_a_user_share_a_cart_and_nobody_else_sees_it(app: &App) {
    let (channel, laptop) = ada(app).await;
    app.user("grace").await;
    app.client("desk", &["api", ISSUER]).await;
    let laptop = laptop.with(DataOwner::User);
    let phone = Keeper::of(&channel, &signed_in(app, "shop", "ada").await).with(DataOwner::User);
    let desk = Keeper::of(&channel, &signed_in(app, "desk", "ada").await).with(DataOwner::User);
    let grace = Keeper::of(&channel, &signed_in(app, "shop", "grace").await).with(DataOwner::User);
    assert_eq!(laptop.put("cart", text("book")).await.unwrap(), 1);
    assert_eq!(phone.get("cart").await.unwrap().value, Some(text("book")));
    assert_eq!(phone.put_if("cart", text("two books"), 1).await.unwrap(), 2);
    assert_eq!(laptop.get("cart").await.unwrap().value, Some(text("two books")));
    for other in [&desk, &grace, &laptop.with(DataOwner::Session), &phone.with(DataOwner::Session)] {
        assert_eq!(reason(&other.get("cart").await.unwrap_err()), "NOT_FOUND");
        assert_eq!(other.list().await.unwrap(), []);
    }
    assert_eq!(desk.put("cart", text("pencil")).await.unwrap(), 1);
    assert_eq!(laptop.get("cart").await.unwrap().value, Some(text("two books")));
}

async fn a_token_names_its_own_session_alone(app: &App) {
    let (channel, _) = ada(app).await;
    let (one, two) = (signed_in(app, "shop", "ada").await, signed_in(app, "shop", "ada").await);
    let keeper = Keeper::of(&channel, &one);
    assert_eq!(keeper.naming(&one.session_id).put("cart", text("x")).await.unwrap(), 1);
    for other in [two.session_id.as_str(), "ses_nothing"] {
        assert_eq!(keeper.naming(other).refusals().await, ["INVALID_ARGUMENT"; 4]);
    }
    // A token for the application is none for this server.
    let elsewhere = sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    assert_eq!(Keeper::of(&channel, &elsewhere).refusals().await, ["TOKEN_INVALID"; 4]);
    assert_eq!(Keeper::new(&channel, "Bearer x".into()).refusals().await, ["TOKEN_INVALID"; 4]);
}

async fn a_confidential_client_reaches_its_own_sessions_alone(app: &App) {
    let (channel, _) = ada(app).await;
    let back_end = NewClientRequest {
        public: false,
        grants: vec!["direct_login".into(), "refresh_token".into(), "client_credentials".into()],
        ..first_party("back-end", &["api", ISSUER])
    };
    let who = app.confidential(back_end).await;
    let ClientCredentials::Basic { secret, .. } = &who else { panic!("no secret") };
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("back-end:{secret}")));
    let signed_in_at = app.service.sign_ins.sign_in(&app.service.context(), &who, login_of("", "ada", PASSWORD)).await;
    let own = crate::support::tokens(signed_in_at).unwrap().session_id;
    let foreign = signed_in(app, "shop", "ada").await.session_id;
    let client = Keeper::new(&channel, basic(secret.expose()));
    assert_eq!(client.naming(&own).put("cart", text("x")).await.unwrap(), 1);
    assert_eq!(client.naming(&own).with(DataOwner::User).put("cart", text("y")).await.unwrap(), 1);
    assert_eq!(client.naming(&own).get("cart").await.unwrap().value, Some(text("x")));
    assert_eq!(client.naming(&own).list().await.unwrap(), [("cart".to_owned(), 1, 3)]);
    let unknown = "ses_01J00000000000000000000000";
    for other in [foreign.as_str(), unknown] {
        assert_eq!(client.naming(other).refusals().await, ["NOT_FOUND"; 4], "{other}");
    }
    assert_eq!(client.refusals().await, ["INVALID_ARGUMENT"; 4], "it has to name a session");
    let wrong = Keeper::new(&channel, basic("wrong")).naming(&own);
    assert_eq!(wrong.refusals().await, ["CLIENT_AUTHENTICATION_FAILED"; 4]);
    // Its own token has no session.
    let request = chancery::service::ClientTokenRequest { scopes: vec![], audience: ISSUER.into() };
    let token = crate::support::client_token(&app.service, &who, &request).await.unwrap();
    let bearer = Keeper::new(&channel, format!("Bearer {}", token.token.expose())).naming(&own);
    assert_eq!(bearer.refusals().await, ["TOKEN_INVALID"; 4]);
    app.service.users.end_sessions(&Admin::command(), "ada", &[]).await.unwrap();
    assert_eq!(client.naming(&own).refusals().await, ["NOT_FOUND"; 4]);
}

async fn nothing_is_read_or_written_once_the_session_has_ended(app: &App) {
    let (channel, _) = ada(app).await;
    let (out, disabled) = (signed_in(app, "shop", "ada").await, signed_in(app, "shop", "ada").await);
    let keeper = Keeper::of(&channel, &out);
    keeper.put("cart", text("x")).await.unwrap();
    // Another process has ended it, and this one has not learned so yet: the row decides.
    let sql = format!(
        "UPDATE sessions SET revoked_at = {}, revoked_cause = 'logout' WHERE id = '{}'",
        app.service.now().millis(),
        out.session_id
    );
    app.sql(&sql).await;
    assert_eq!(keeper.refusals().await, ["TOKEN_INVALID"; 4]);
    let keeper = Keeper::of(&channel, &disabled).with(DataOwner::User);
    keeper.put("cart", text("x")).await.unwrap();
    app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    assert_eq!(keeper.refusals().await, ["TOKEN_INVALID"; 4]);
}

async fn data_survive_refreshes_and_end_with_the_session(app: &App) {
    let (channel, _) = ada(app).await;
    let pair = signed_in(app, "shop", "ada").await;
    let keeper = Keeper::of(&channel, &pair);
    keeper.put("form", text("x")).await.unwrap();
    keeper.with(DataOwner::User).put("cart", text("y")).await.unwrap();
    app.pass(Ttl::from_days(5)).await;
    let next = crate::support::refresh(&app.service, "shop", &token(&pair), ISSUER, &[], "").await.unwrap();
    let keeper = Keeper::of(&channel, &next);
    assert_eq!(keeper.get("form").await.unwrap().value, Some(text("x")));
    app.service.users.end_sessions(&Admin::command(), "ada", &[]).await.unwrap();
    app.pass(Ttl::from_days(1)).await;
    let mut progress = SweepProgress::default();
    while !app.service.sweeper.step(&mut progress).await.unwrap().pass_done {}
    let left = app.empty.database.sql("UPDATE session_data SET version = version").await.unwrap();
    assert_eq!(left, 1, "what belongs to the user");
    let again = Keeper::of(&channel, &signed_in(app, "shop", "ada").await);
    assert_eq!(reason(&again.get("form").await.unwrap_err()), "NOT_FOUND");
    assert_eq!(again.with(DataOwner::User).get("cart").await.unwrap().value, Some(text("y")));
}

async fn data_are_in_the_users_own_data_and_end_with_the_account(app: &App) {
    let (channel, _) = ada(app).await;
    let pair = signed_in(app, "shop", "ada").await;
    let keeper = Keeper::of(&channel, &pair);
    keeper.put("form", object(&[("street", "Hill Road")])).await.unwrap();
    keeper.with(DataOwner::User).put("cart", text("book")).await.unwrap();
    let who = ClientCredentials::Bearer(pair.access.token.expose().to_owned());
    let me = admit_me(&app.service, &who).await.unwrap();
    let own = serde_json::to_value(app.service.accounts.own_data(&me).await.unwrap()).unwrap();
    let data = own["data"].as_array().unwrap();
    let found = |n: usize| (&data[n]["owner"], &data[n]["namespace"], &data[n]["version"], &data[n]["value"]);
    let (session, cart) = (pair.session_id.as_str(), serde_json::json!("book"));
    let form = serde_json::json!({ "street": "Hill Road" });
    assert_eq!(found(1), (&session.into(), &"form".into(), &1.into(), &form));
    assert_eq!((found(0).1, found(0).3, data.len()), (&"cart".into(), &cart, 2));
    assert_eq!(own["complete"], true);
    app.service.accounts.delete(&app.service.context(), &me).await.unwrap();
    for table in ["session_data", "session_data_owners"] {
        assert_eq!(app.empty.database.sql(&format!("UPDATE {table} SET owner = owner")).await.unwrap(), 0, "{table}");
    }
}

/// Each step is stored under the version that its page was shown with, so that no tab overwrites what another has done.
async fn a_form_of_three_steps_is_filled_in_from_two_tabs(app: &App) {
    let (_, one) = ada(app).await;
    let two = one.clone();
    let mut version = one.create("checkout", object(&[("step", "address")])).await.unwrap();
    let seen_by_two = two.get("checkout").await.unwrap().version;
    version = one.put_if("checkout", object(&[("step", "payment"), ("street", "Hill Road")]), version).await.unwrap();
    let late = two.put_if("checkout", object(&[("step", "payment"), ("street", "x")]), seen_by_two).await;
    assert_eq!(current(&late.unwrap_err()), version.to_string());
    // The second tab is shown what there is, and goes on from there.
    let shown = two.get("checkout").await.unwrap();
    assert_eq!(shown.value, Some(object(&[("step", "payment"), ("street", "Hill Road")])));
    let paid = object(&[("step", "confirm"), ("street", "Hill Road"), ("card", "4111")]);
    version = two.put_if("checkout", paid, shown.version).await.unwrap();
    // The order is placed once.
    let (first, second) = futures_util::join!(one.delete("checkout", version), two.delete("checkout", version));
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|won| **won).count(), 1);
    assert_eq!(one.list().await.unwrap(), []);
}

async fn a_read_takes_two_statements_and_a_change_three_at_most(app: &App) {
    let (_, ada) = ada(app).await;
    let mut before = app.service.store().statements();
    let mut taken = || {
        let now = app.service.store().statements();
        std::mem::replace(&mut before, now).abs_diff(now)
    };
    ada.create("cart", text("x")).await.unwrap();
    assert_eq!(taken(), 3, "the session, the owner, the value");
    ada.put_if("cart", text("y"), 1).await.unwrap();
    let versions = u64::from(app.empty.database.engine == "sqlite");
    assert_eq!(taken(), 2 + versions, "the session, the value");
    ada.get("cart").await.unwrap();
    assert_eq!(taken(), 2);
}
