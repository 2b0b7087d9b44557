//! Outgoing mail: queued in the transaction of a change, then sent, retried or dropped.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use chancery::{
    domain::mail::{Asked, Content, LinkAndCode, Mail, MailKind},
    id::MailId,
    mail::{Cause, Kept, Mailer, Post, Templates},
    secret::MailedSecret,
    service::{Delivery, DeliveryOutcome, Service},
    time::Ttl,
    web,
};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        a_mail_is_sent_only_if_its_transaction_commits,
        a41_an_outbox_row_that_was_tampered_with_is_not_sent,
        a_mail_of_a_crashed_process_is_sent_by_another_with_the_same_id,
        expired_mails_are_dropped_and_counted_instead_of_sent,
        several_processes_share_the_due_mails,
    }
}

const LINK: &str = "https://id.example.com/reset?token=canary&x=1";
const CODE: &str = "2718-2818";

/// Templates, and a mailer that keeps mails in memory.
fn kept() -> (Post, Arc<Kept>) {
    let kept = Arc::<Kept>::default();
    (Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Kept(kept.clone()) }, kept)
}

fn reset(service: &Service) -> Content {
    let expires_at = service.now().plus(Ttl::from_secs(600));
    Content::PasswordReset(LinkAndCode {
        link: MailedSecret::new(LINK.into()),
        code: MailedSecret::new(CODE.into()),
        expires_at,
    })
}

fn mail(content: Content, client: &str) -> Mail {
    let language = "en".parse().unwrap();
    Mail { to: "ada@example.org".parse().unwrap(), content, client: client.into(), language, asked: Asked::default() }
}

async fn hand_in(service: &Service, content: Content, client: &str) -> MailId {
    let mut tx = service.store().write().await.unwrap();
    let id = service.outbox.enqueue(&mut tx, mail(content, client)).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn send(service: &Service, post: &Post) -> Vec<Delivery> {
    let mut all = Vec::new();
    for taken in service.outbox.claim_due(4).await.unwrap() {
        all.push(service.outbox.deliver(post, taken).await);
    }
    all
}

async fn waiting(app: &App) -> i64 {
    app.service.outbox.backlog().await.unwrap().all
}

async fn a_mail_is_sent_only_if_its_transaction_commits(app: &App) {
    let (post, kept) = kept();
    let mut tx = app.service.store().write().await.unwrap();
    app.service.outbox.enqueue(&mut tx, mail(reset(&app.service), "Shop")).await.unwrap();
    drop(tx);
    assert!(send(&app.service, &post).await.is_empty());
    let id = hand_in(&app.service, reset(&app.service), "Shop").await;
    let sent = Delivery { kind: Some(MailKind::PasswordReset), outcome: DeliveryOutcome::Sent };
    assert_eq!(send(&app.service, &post).await, [sent]);
    let mails = kept.newest();
    let mail = &mails[0];
    assert_eq!((mails.len(), mail.id.as_str(), mail.to.as_str()), (1, id.as_str(), "ada@example.org"));
    assert_eq!((mail.links.as_slice(), mail.code.as_deref()), ([LINK.to_owned()].as_slice(), Some(CODE)));
    assert!(mail.text.contains(CODE) && mail.text.contains("10 minutes"), "{}", mail.text);
    assert_eq!(waiting(app).await, 0);
}

async fn a41_an_outbox_row_that_was_tampered_with_is_not_sent(app: &App) {
    let (post, kept) = kept();
    for change in
        ["recipient = 'mallory@example.org'", "kind = 'verify_email'", "recipient = 'a@x.org\r\nBcc: b@y.org'"]
    {
        let id = hand_in(&app.service, reset(&app.service), "Shop").await;
        app.sql(&format!("UPDATE mails SET {change} WHERE id = '{id}'")).await;
        let fates: Vec<DeliveryOutcome> = send(&app.service, &post).await.into_iter().map(|d| d.outcome).collect();
        assert_eq!(fates, [DeliveryOutcome::Retry(Cause::Broken)], "{change}");
        app.sql("DELETE FROM mails").await;
    }
    assert!(kept.newest().is_empty());
}

async fn a_mail_of_a_crashed_process_is_sent_by_another_with_the_same_id(app: &App) {
    let second = app.second_process().await;
    let (post, kept) = kept();
    let id = hand_in(&app.service, Content::AccountExists, "Shop").await;
    // The first process takes it and crashes.
    assert_eq!(app.service.outbox.claim_due(4).await.unwrap().len(), 1);
    assert!(send(&second, &post).await.is_empty());
    app.clock.advance(Ttl::from_secs(90));
    // The second sends it and crashes before it records that.
    let held = second.outbox.claim_due(4).await.unwrap();
    app.clock.advance(Ttl::from_secs(90));
    assert_eq!(send(&app.service, &post).await.len(), 1);
    for taken in held {
        second.outbox.deliver(&post, taken).await;
    }
    let ids: Vec<String> = kept.newest().into_iter().map(|m| m.id).collect();
    assert_eq!(ids, [id.to_string(), id.to_string()]);
    assert_eq!(waiting(app).await, 0);
}

async fn expired_mails_are_dropped_and_counted_instead_of_sent(app: &App) {
    let (post, kept) = kept();
    hand_in(&app.service, reset(&app.service), "Shop").await;
    hand_in(&app.service, Content::AccountExists, "Shop").await;
    app.clock.advance(Ttl::from_secs(600));
    assert_eq!(app.service.outbox.backlog().await.unwrap().expired, 1);
    assert_eq!(app.service.outbox.delete_expired().await.unwrap(), 1);
    // A notice is still useful after a code has expired.
    assert_eq!(send(&app.service, &post).await.len(), 1);
    assert_eq!(kept.newest()[0].kind, "account_exists");
    assert_eq!(waiting(app).await, 0);
}

async fn several_processes_share_the_due_mails(app: &App) {
    for _ in 0..20 {
        hand_in(&app.service, Content::AccountExists, "Shop").await;
    }
    let (post, kept) = kept();
    let post = Arc::new(post);
    let mut tasks = tokio::task::JoinSet::new();
    for service in [app.service.clone(), app.second_process().await] {
        let post = post.clone();
        tasks.spawn(async move { while !send(&service, &post).await.is_empty() {} });
    }
    tasks.join_all().await;
    while !send(&app.service, &post).await.is_empty() {}
    let ids: std::collections::BTreeSet<String> = kept.newest().into_iter().map(|m| m.id).collect();
    assert_eq!((ids.len(), kept.newest().len(), waiting(app).await), (20, 20, 0));
}

/// The response's status, content type and body.
async fn page(kept: &Arc<Kept>, host: &str, accept: &str) -> (StatusCode, String, String) {
    let request = Request::get("/dev/mail").header("host", host).header("accept", accept).body(Body::empty());
    let response = web::dev_routes(kept.clone()).oneshot(request.unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    assert!(!parts.headers.contains_key("access-control-allow-origin"));
    let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
    (parts.status, kind, String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn the_demo_mail_page_shows_the_newest_hundred_mails_escaped_and_only_on_loopback() {
    let app = App::sqlite().await;
    let (post, kept) = kept();
    for n in 0..=100 {
        hand_in(&app.service, reset(&app.service), &format!("Shop {n} <img src=x onerror=alert(1)>")).await;
        assert_eq!(send(&app.service, &post).await.len(), 1);
    }
    let (status, kind, html) = page(&kept, "localhost:8080", "text/html,*/*").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(!html.contains("<img") && html.contains("&lt;img src=x"), "{html}");
    assert!(html.contains("href=\"https://id.example.com/reset?token=canary&amp;x=1\""));
    assert!(html.find("Shop 100").unwrap() < html.find("Shop 99").unwrap() && !html.contains("Shop 0 "));
    let (_, kind, json) = page(&kept, "127.0.0.1", "application/json").await;
    assert_eq!(kind, "application/json");
    let mails: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((mails.len(), &mails[0]["code"], &mails[0]["links"][0]), (100, &CODE.into(), &LINK.into()));
    for host in ["evil.example", "localhost.evil.example:8080", "10.0.0.1", ""] {
        assert_eq!(page(&kept, host, "application/json").await.0, StatusCode::FORBIDDEN, "{host}");
    }
}
