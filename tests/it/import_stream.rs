//! The stream of `UserService.Import`, on both engines.

use chancery::{
    grpc::pb::{self, ImportedUser},
    service::Admin,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    admin::{AdminClient, reason},
    import::BCRYPT,
    support::{App, PASSWORD, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    App => {
        the_same_users_can_be_streamed_again,
        refused_users_are_reported_with_their_position_and_wire_field_names,
        rows_before_an_invalid_message_are_kept_and_the_message_is_refused,
        large_rows_are_written_before_a_thousand_are_together,
    }
}

fn user(subject: &str, name: &str) -> ImportedUser {
    ImportedUser {
        subject: subject.into(),
        name: name.into(),
        password_hash: BCRYPT.into(),
        attributes_json: "{\"team\":\"x\"}".into(),
        create_time: Some(prost_types::Timestamp { seconds: 1_500_000_000, nanos: 5_000_000 }),
        ..ImportedUser::default()
    }
}

async fn import(
    admin_client: &AdminClient,
    messages: Vec<Vec<ImportedUser>>,
) -> Result<pb::ImportUsersResponse, Status> {
    let messages: Vec<_> = messages.into_iter().map(|users| pb::ImportUsersRequest { users }).collect();
    let stream = tokio_stream::iter(messages);
    admin_client.users().import_users(admin_client.ask(stream)).await.map(tonic::Response::into_inner)
}

async fn the_same_users_can_be_streamed_again(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let messages = || {
        let some = |range: std::ops::Range<i32>| range.map(|n| user(&format!("old-{n}"), &format!("u{n}"))).collect();
        vec![some(0..100), vec![], some(100..150)]
    };
    let first = import(&admin_client, messages()).await.unwrap();
    assert_eq!((first.created, first.present, first.refused), (150, 0, 0));
    let again = import(&admin_client, messages()).await.unwrap();
    assert_eq!((again.created, again.present, again.refused), (0, 150, 0));
    let pair = sign_in(&app.service, login_of("app", "u149", PASSWORD)).await.unwrap();
    assert_eq!(crate::support::claims(pair.access.token.expose())["sub"], "old-149");
    let found = app.service.users.get(&Admin::command(), "u7").await.unwrap().user;
    assert_eq!((found.created_at.millis(), found.attributes["team"].as_str()), (1_500_000_000_005, Some("x")));
    let nothing = import(&admin_client, vec![]).await.unwrap();
    assert_eq!(nothing, pb::ImportUsersResponse::default());
}

async fn refused_users_are_reported_with_their_position_and_wire_field_names(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let bad = [
        ImportedUser { attributes_json: "[]".into(), ..user("2", "two") },
        ImportedUser { emails: vec!["nonsense".into()], ..user("3", "three") },
        ImportedUser { password_hash: "plain".into(), ..user("4", "four") },
        ImportedUser { create_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), ..user("5", "five") },
        ImportedUser { create_time: Some(prost_types::Timestamp { seconds: -5, nanos: 0 }), ..user("6", "six") },
        ImportedUser { attributes_json: format!("{{\"a\":\"{}\"}}", "x".repeat(4096)), ..user("7", "seven") },
        user("nul\0", "eight"),
    ];
    let first = vec![user("1", "one")];
    let done = import(&admin_client, vec![first, bad.to_vec(), vec![user("9", "nine")]]).await.unwrap();
    assert_eq!((done.created, done.present, done.refused), (2, 0, 7), "{done:?}");
    let refusals: Vec<(i64, &str)> =
        done.refusals.iter().map(|r| (r.row, r.field_violations[0].field.as_str())).collect();
    let expected = [
        (2, "attributes_json"),
        (3, "emails"),
        (4, "password_hash"),
        (5, "create_time"),
        (6, "create_time"),
        (7, "attributes_json"),
        (8, "subject"),
    ];
    assert_eq!(refusals, expected);
    let described = |r: &pb::RefusedUser| r.field_violations.iter().all(|v| !v.description.is_empty());
    assert!(done.refusals.iter().all(described));
}

async fn rows_before_an_invalid_message_are_kept_and_the_message_is_refused(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let many = |n: usize| (0..n).map(|n| ImportedUser { subject: n.to_string(), ..Default::default() }).collect();
    let refused = import(&admin_client, vec![many(600), many(600), many(1001)]).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    assert!(refused.message().contains("1000 per message"), "{refused}");
    // The batch before it was full.
    assert_eq!(app.service.users.get(&Admin::command(), "599").await.unwrap().user.subject, "599");
    let large = (0..500).map(|n| ImportedUser { password_hash: BCRYPT.repeat(4), ..user(&n.to_string(), "x") });
    let refused = import(&admin_client, vec![large.collect()]).await.unwrap_err();
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["limit_bytes"], "65536", "{refused:?}");
}

async fn large_rows_are_written_before_a_thousand_are_together(app: &App) {
    let admin_client = AdminClient::of(app).await;
    // Each is 40 KB on the wire and would be 3 MB when its attributes are parsed.
    let attributes = format!("{{\"x\":[{}]}}", vec!["{\"a\":1}"; 5_000].join(","));
    let large = |n: i32| ImportedUser { attributes_json: attributes.clone(), ..user(&format!("large-{n}"), "") };
    let mut messages: Vec<_> = (0..20).map(|n| vec![large(n)]).collect();
    messages.insert(0, vec![user("small", "small")]);
    // A message that is no longer valid ends the stream; what was written before it shows where batches end.
    messages.push((0..1_001).map(|_| ImportedUser::default()).collect());
    let error = import(&admin_client, messages).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(app.service.users.get(&Admin::command(), "small").await.is_ok(), "it was written with the first batch");
}
