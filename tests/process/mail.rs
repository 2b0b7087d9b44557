//! Mails from their transaction to a real mail server.

use std::{fs, sync::Arc, time::Duration};

use chancery::{
    domain::mail::{Content, LinkAndCode, Mail},
    entropy::OsEntropy,
    id::MailId,
    keys::SealingKey,
    mail::{Cause, Mailer, Post, Smtp, SmtpOptions, Templates},
    passwords::{Params, Passwords, PoolConfig},
    secret::{MailPassword, MailedSecret},
    service::{Delivery, DeliveryOutcome, Service, StartOptions},
    store::{Location, Store},
    time::{Clock, FixedClock, SystemClock, Ttl},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    calls::page,
    mail_server::MailServer,
    place::Place,
    server::{Server, command, run},
};

const FROM: &str = "Größe & Co <no-reply@id.example.org>";
const CODE: &str = "CANARY-CODE-2718";
const LINK: &str = "https://id.example.org/verify?token=canary-of-the-link&x=1";

/// Opens the service on a database that a server has set up, as another process would.
async fn open(place: &Place, clock: Arc<dyn Clock>) -> Service {
    let location = match &place.database {
        Some(url) => Location::parse(url).unwrap(),
        None => Location::Sqlite(place.dir.join("chancery.db")),
    };
    let store = Store::open(&location, false, Arc::new(OsEntropy)).await.unwrap();
    let key = SealingKey::parse(&fs::read(place.dir.join("sealing.key")).unwrap()).unwrap();
    let params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
    let settings = PoolConfig { params, threads: 1, queue: 8, memory_kib: 64 };
    let passwords = Passwords::start(settings, Arc::new(OsEntropy)).unwrap();
    let options = StartOptions { issuer: None, default_issuer: None, dev: None, claim: false };
    Service::start(store, vec![SealingKey::new(&key)], passwords, clock, Arc::new(OsEntropy), &options).await.unwrap()
}

/// A service with a clock that moves only manually.
struct MailFixture {
    service: Service,
    clock: Arc<FixedClock>,
    _dir: TempDir,
}

impl MailFixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::sqlite(&dir.path().join("data"));
        drop(Server::on(&place, &[]));
        let clock = Arc::new(FixedClock::new(SystemClock.now()));
        Self { service: open(&place, clock.clone()).await, clock, _dir: dir }
    }

    /// Sends all due mails.
    async fn send(&self, post: &Post) -> Vec<DeliveryOutcome> {
        let mut all = Vec::new();
        for mail in self.service.outbox.claim_due(4).await.unwrap() {
            let Delivery { outcome, .. } = self.service.outbox.deliver(post, mail).await;
            all.push(outcome);
        }
        all
    }

    /// Sends the only due mail.
    async fn send_one(&self, post: &Post) -> DeliveryOutcome {
        let mut all = self.send(post).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    async fn waiting(&self) -> i64 {
        self.service.outbox.backlog().await.unwrap().all
    }
}

/// Queues a mail in its own transaction.
async fn hand_in(service: &Service, to: &str) -> MailId {
    let expires_at = service.now().plus(Ttl::from_secs(1800));
    let way =
        LinkAndCode { link: MailedSecret::new(LINK.to_owned()), code: MailedSecret::new(CODE.to_owned()), expires_at };
    let mail = Mail {
        to: to.parse().unwrap(),
        content: Content::VerifyEmail(way),
        client: "Grüße & Söhne 🦀".to_owned(),
        language: "en".parse().unwrap(),
        asked: chancery::domain::mail::Asked::default(),
    };
    let mut tx = service.store().write().await.unwrap();
    let id = service.outbox.enqueue(&mut tx, mail).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn options(url: &str) -> SmtpOptions {
    SmtpOptions {
        relay: url.parse().unwrap(),
        from: FROM.parse().unwrap(),
        credentials: None,
        ca: None,
        timeout: Duration::from_secs(30),
    }
}

fn post(options: SmtpOptions) -> Post {
    Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Smtp(Box::new(Smtp::new(options).unwrap())) }
}

fn plain(port: u16) -> SmtpOptions {
    options(&format!("smtp+plain://127.0.0.1:{port}"))
}

/// The value of a server metric; `None` if it does not exist yet.
async fn counter(server: &Server, name: &str) -> Option<i64> {
    let text = page(&server.telemetry, "/metrics").await.unwrap();
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until a metric has this value.
async fn wait_for_metric(server: &Server, name: &str, wanted: i64) {
    // A claim whose commit got no answer holds the mail for the time of its lease.
    let come = async { while counter(server, name).await != Some(wanted) {} };
    tokio::time::timeout(Duration::from_mins(3), come).await.unwrap_or_else(|_| panic!("{name} is not {wanted}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_of_a_committed_change_is_encrypted_and_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let mut server = Server::on(&place, &[]);
        let log = fs::read_to_string(&server.log).unwrap();
        assert_eq!(log.matches("no mail server is set (mail_smtp)").count(), 1, "{log}");
        let service = open(&place, Arc::new(SystemClock)).await;
        let id = hand_in(&service, "ada@example.org").await;
        wait_for_metric(&server, "chancery_mails_waiting ", 1).await;
        let stored = place.contents().await;
        let holds = |text: &str| stored.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(holds("ada@example.org") && holds(id.as_str()), "{}", place.engine());
        assert!(!holds(CODE) && !holds("canary-of-the-link"), "{}", place.engine());
        server.kill();

        let mut mails = MailServer::start().await;
        let url = format!("smtp+plain://127.0.0.1:{}", mails.port);
        let next = Server::on(&place, &["--mail-smtp", &url, "--mail-from", FROM]);
        let mail = mails.next().await;
        assert_eq!(mail["headers"]["message-id"], format!("<{id}@id.example.org>"));
        assert_eq!(mail["to"], serde_json::json!(["ada@example.org"]));
        wait_for_metric(&next, "chancery_mails_sent_total{kind=\"verify_email\"}", 1).await;
        assert_eq!(place.count("mails", "true").await, 0);
        wait_for_metric(&next, "chancery_mails_waiting ", 0).await;
        let logs = [server.log.clone(), next.log.clone()].map(|log| fs::read_to_string(log).unwrap()).concat();
        assert!(!logs.contains(CODE) && !logs.contains("canary-of-the-link"), "{logs}");
        assert!(mails.stop().await.is_empty(), "a mail was sent twice");
    }
}

#[tokio::test]
async fn both_parts_and_the_subject_arrive_unchanged() {
    let still = MailFixture::new().await;
    let mut mails = MailServer::start().await;
    let post = post(plain(mails.port));
    // Both use one connection, which is closed when nothing is left to send.
    for to in ["ada@example.org", "zoë@xn--bcher-kva.example"] {
        hand_in(&still.service, to).await;
        assert_eq!(still.send_one(&post).await, DeliveryOutcome::Sent);
    }
    post.close_idle().await;
    let mail = mails.next().await;
    assert_eq!(mail["sender"], "no-reply@id.example.org");
    assert_eq!(mail["headers"]["subject"], "Confirm your address for Grüße & Söhne 🦀");
    assert_eq!(mail["headers"]["from"], FROM);
    assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
    assert_eq!(mail["type"], "multipart/alternative");
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    for wanted in ["Grüße & Söhne 🦀", CODE, LINK, "30 minutes"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(html.contains("Grüße &amp; Söhne 🦀") && html.contains(CODE) && !html.contains("&x=1"), "{html}");
    assert_eq!(mails.next().await["to"][0], "zoë@xn--bcher-kva.example");
    assert_eq!(still.waiting().await, 0);
}

#[tokio::test]
async fn a_rejected_mail_is_dropped_and_a_deferred_one_is_retried() {
    let still = MailFixture::new().await;
    let mut mails = MailServer::start().await;
    let post = post(plain(mails.port));
    for to in ["refuse@example.org", "content@example.org"] {
        hand_in(&still.service, to).await;
        assert_eq!(still.send_one(&post).await, DeliveryOutcome::GivenUp(Cause::Refused), "{to}");
        assert_eq!(still.waiting().await, 0);
    }
    assert_eq!(mails.next().await["refused"], "refuse@example.org");
    let id = hand_in(&still.service, "later@example.org").await;
    assert_eq!(still.send_one(&post).await, DeliveryOutcome::Retry(Cause::Temporary));
    assert_eq!(mails.next().await["later"], "later@example.org");
    assert!(still.send(&post).await.is_empty());
    still.clock.advance(Ttl::from_secs(15));
    assert_eq!(still.send_one(&post).await, DeliveryOutcome::Sent);
    assert_eq!(mails.next().await["headers"]["message-id"], format!("<{id}@id.example.org>"));
    assert_eq!(still.waiting().await, 0);
}

#[tokio::test]
async fn a_hanging_or_unreachable_mail_server_is_retried_until_the_mail_expires() {
    let still = MailFixture::new().await;
    let port = MailServer::free_port().await;
    let away = post(plain(port));
    hand_in(&still.service, "ada@example.org").await;
    assert_eq!(still.send_one(&away).await, DeliveryOutcome::Retry(Cause::Connection));
    still.clock.advance(Ttl::from_secs(15));
    assert_eq!(still.send_one(&away).await, DeliveryOutcome::Retry(Cause::Connection));
    let mut mails = MailServer::with(&["--port", &port.to_string()]).await;
    still.clock.advance(Ttl::from_secs(30));
    assert_eq!(still.send_one(&away).await, DeliveryOutcome::Sent);
    assert_eq!(mails.next().await["to"][0], "ada@example.org");

    let impatient = post(SmtpOptions { timeout: Duration::from_millis(300), ..plain(port) });
    hand_in(&still.service, "hang@example.org").await;
    let mut attempts = 0;
    while still.waiting().await == 1 {
        for outcome in still.send(&impatient).await {
            assert_eq!(outcome, DeliveryOutcome::Retry(Cause::Timeout));
            attempts += 1;
        }
        still.clock.advance(Ttl::from_secs(600));
        if still.service.outbox.backlog().await.unwrap().expired == 1 {
            assert_eq!(still.service.outbox.delete_expired().await.unwrap(), 1);
        }
    }
    assert_eq!(attempts, 3);
    assert_eq!(mails.next().await["hanging"], "hang@example.org");
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_a_hanging_mail_server() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let mut mails = MailServer::start().await;
    let url = format!("smtp+plain://127.0.0.1:{}", mails.port);
    let server = Server::on(&place, &["--mail-smtp", &url, "--mail-from", FROM]);
    let service = open(&place, Arc::new(SystemClock)).await;
    hand_in(&service, "hang@example.org").await;
    hand_in(&service, "refuse@example.org").await;
    for _ in 0..2 {
        mails.next().await;
    }
    wait_for_metric(&server, "chancery_mails_failed_total{cause=\"refused\"}", 1).await;
    assert_eq!(counter(&server, "chancery_mails_dropped_total{cause=\"refused\"}").await, Some(1));
    server.terminate();
    let ended = tokio::task::spawn_blocking(|| server.wait());
    let status = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the process has not ended");
    assert!(status.unwrap().success());
    // Still leased, and not lost.
    assert_eq!(place.count("mails", "claimed_by <> ''").await, 1);
}

#[tokio::test]
async fn connections_are_encrypted_and_the_mail_server_is_authenticated_before_any_data_is_sent() {
    for (tls, scheme) in [("implicit", "smtps"), ("starttls", "smtp")] {
        let still = MailFixture::new().await;
        let mut mails = MailServer::with(&["--tls", tls, "--user", "chancery", "--password", "right"]).await;
        let url = format!("{scheme}://127.0.0.1:{}", mails.port);
        let ca = mails.authority.clone().map(String::into_bytes);
        let with = |password: &str, ca| {
            let credentials = Some(("chancery".to_owned(), MailPassword::new(password.to_owned())));
            post(SmtpOptions { credentials, ca, ..options(&url) })
        };
        hand_in(&still.service, "ada@example.org").await;
        // No system certificate authority signed this certificate.
        assert_eq!(still.send_one(&with("right", None)).await, DeliveryOutcome::Retry(Cause::Connection), "{tls}");
        still.clock.advance(Ttl::from_secs(15));
        // A wrong password is not the mail's fault.
        assert_eq!(
            still.send_one(&with("wrong", ca.clone())).await,
            DeliveryOutcome::Retry(Cause::Connection),
            "{tls}"
        );
        assert_eq!(mails.next().await["unknown"], "PLAIN");
        still.clock.advance(Ttl::from_secs(30));
        // Neither is a missing one.
        assert_eq!(
            still.send_one(&post(SmtpOptions { ca: ca.clone(), ..options(&url) })).await,
            DeliveryOutcome::Retry(Cause::Connection)
        );
        still.clock.advance(Ttl::from_secs(60));
        assert_eq!(still.send_one(&with("right", ca)).await, DeliveryOutcome::Sent, "{tls}");
        let mail = mails.next().await;
        assert_eq!((&mail["encrypted"], &mail["user"]), (&true.into(), &"chancery".into()), "{tls}: {mail}");
        assert!(mails.stop().await.is_empty());
    }
}

#[tokio::test]
async fn a_mail_server_that_does_not_offer_starttls_gets_no_data() {
    let still = MailFixture::new().await;
    let mails = MailServer::start().await;
    hand_in(&still.service, "ada@example.org").await;
    let strict = post(options(&format!("smtp://127.0.0.1:{}", mails.port)));
    assert_eq!(still.send_one(&strict).await, DeliveryOutcome::Retry(Cause::Connection));
    assert!(mails.stop().await.is_empty());
}

/// The page or its JSON, as a browser or a script on this machine would get it.
async fn dev_mail(address: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /dev/mail HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn only_a_demo_shows_its_mails() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("dev"));
    let server = Server::on(&place, &["--dev"]);
    assert!(dev_mail(&server.http, "text/html").await.contains("There are none yet"));
    let service = open(&place, Arc::new(SystemClock)).await;
    let id = hand_in(&service, "ada@example.org").await;
    wait_for_metric(&server, "chancery_mails_sent_total{kind=\"verify_email\"}", 1).await;
    let answer = dev_mail(&server.http, "application/json").await;
    let json: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&json[0]["id"], &json[0]["code"], &json[0]["links"][0]),
        (&id.as_str().into(), &CODE.into(), &LINK.into())
    );
    assert!(dev_mail(&server.http, "text/html").await.contains(CODE));
    // Requests with another host name are refused.
    assert!(page(&server.http, "/dev/mail").await.unwrap().starts_with("HTTP/1.1 403"));
    let plain = Server::start(&dir.path().join("plain"), &[]);
    assert!(dev_mail(&plain.http, "text/html").await.starts_with("HTTP/1.1 404"));
}

#[test]
fn mail_settings_are_checked_at_start_and_shown_without_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    fs::write(dir.path().join("verify_email.txt"), "Subject: x\n\n{{ link }} {{ cod }}\n").unwrap();
    let templates = dir.path().to_str().unwrap();
    for words in [&["serve"][..], &["config", "check"]] {
        let mut process = command(words);
        process.args(place.flags()).env("CHANCERY_MAIL_TEMPLATES", templates).env("CHANCERY_MAIL_SMTP", "smtp://x");
        let out = run(&mut process, b"");
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("verify_email.txt:3: undefined value")
                && stderr.contains("CHANCERY_MAIL_FROM: is required"),
            "{stderr}"
        );
    }
    let variables = [
        ("CHANCERY_MAIL_SMTP", "smtps://mail.example.org"),
        ("CHANCERY_MAIL_FROM", FROM),
        ("CHANCERY_MAIL_USERNAME", "chancery"),
        ("CHANCERY_MAIL_PASSWORD", "canary of the mail password"),
    ];
    let out = run(command(&["config", "show"]).args(place.flags()).envs(variables), b"");
    let shown = String::from_utf8(out.stdout).unwrap();
    assert!(shown.contains("smtps://mail.example.org") && shown.contains("\"mail_password\": \"set\""), "{shown}");
    assert!(!shown.contains("canary"));
    // A command sends no mail and does not need the mail settings.
    drop(Server::on(&place, &[]));
    let mut list = command(&["user", "list"]);
    let out = run(list.args(place.flags()).env("CHANCERY_MAIL_TEMPLATES", "/nonexistent"), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
