//! Exercises everything at the most verbose log level, then searches for every secret in everything that was
//! written: logs, command output, public pages and the database itself.

use std::{fs, process::Output};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::pb::{
        self, IssueClientTokenRequest, LogoutRequest, RefreshRequest, account_service_client::AccountServiceClient,
        auth_service_client::AuthServiceClient, client_service_client::ClientServiceClient,
        user_service_client::UserServiceClient,
    },
    keys::SealingKey,
};
use tonic::{Request, transport::Channel};

use crate::{
    calls::{CLIENT, log_in, page, reason, refresh},
    place::Place,
    search::{Secret, find, token_secrets},
    server::{Server, command, run},
};

const PASSWORD: &str = "canary phrase of the right password";
const NEXT: &str = "canary phrase of the next password";
const REGISTERED: &str = "canary phrase of who opens an account";
const CHOSEN: &str = "canary phrase of who has to choose";
const TEMPORARY: &str = "canary phrase for one sign-in alone";
const CREATED: &str = "canary phrase of who was created";
const WRONG: &str = "canary phrase of a wrong password";
const WRONG_SECRET: &str = "canary-of-a-wrong-client-secret";
/// Any password works, because the cluster trusts its clients.
const DATABASE_PASSWORD: &str = "canaryofthedatabase";

/// Everything written where others can read it, and all secrets that must not be there.
struct Canary {
    place: Place,
    written: Vec<u8>,
    stored: Vec<u8>,
    secrets: Vec<Secret>,
}

impl Canary {
    fn secret(&mut self, what: &'static str, bytes: impl AsRef<[u8]>) {
        self.secrets.push(Secret { what, bytes: bytes.as_ref().to_vec() });
    }

    /// Records the secret parts of the tokens.
    fn tokens(&mut self, access: &str, refresh: &str) {
        let key = SealingKey::new(&SealingKey::parse(&self.sealing_key()).unwrap()).into();
        self.secrets.extend(token_secrets(access, refresh, &key));
    }

    fn sealing_key(&self) -> Vec<u8> {
        fs::read(self.place.dir.join("sealing.key")).unwrap()
    }

    /// Runs a command and records its output for the search, except for commands that print a secret.
    fn command(&mut self, args: &[&str], stdin: &str) -> Output {
        let out = run(command(args).args(self.place.flags()), stdin.as_bytes());
        self.written.extend(&out.stderr);
        if !args.starts_with(&["client", "create"]) {
            self.written.extend(&out.stdout);
        }
        out
    }

    fn successful_command(&mut self, args: &[&str], stdin: &str) -> String {
        let out = self.command(args, stdin);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }
}

fn basic<T>(message: T, id: &str, secret: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    request.metadata_mut().insert("authorization", value.parse().unwrap());
    request
}

/// Manages users and clients with valid and invalid commands. Returns the client's secret.
fn administer(canary: &mut Canary, user: &str, service: &str) -> String {
    canary.successful_command(&["user", "create", user, "--password-stdin"], PASSWORD);
    assert!(!canary.command(&["user", "create", user, "--password-stdin"], WRONG).status.success());
    assert!(!canary.command(&["user", "create", "x", "--password-stdin", "--email", "y"], WRONG).status.success());
    let flags =
        ["client", "create", service, "--first-party", "--role", "administrator", "--audience", "api", "--json"];
    let created: serde_json::Value = serde_json::from_str(&canary.successful_command(&flags, "")).unwrap();
    for args in [&["user", "list", "--json"][..], &["user", "show", user], &["client", "show", service]] {
        canary.successful_command(args, "");
    }
    for args in [&["client", "list", "--json"][..], &["keys", "rotate"], &["config", "show"]] {
        canary.successful_command(args, "");
    }
    let listed = canary.successful_command(&["keys", "list", "--json"], "");
    let keys = listed.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let active = keys
        .into_iter()
        .find(|k| k["algorithm"] == "SIGNATURE_ALGORITHM_EDDSA" && k["state"] == "SIGNING_KEY_STATE_ACTIVE")
        .unwrap();
    canary.successful_command(&["keys", "revoke", active["kid"].as_str().unwrap()], "");
    created["client_secret"].as_str().unwrap().to_owned()
}

/// A user signs in with right and wrong passwords, refreshes, has a token stolen and logs out.
async fn sign_in_and_out(canary: &mut Canary, channel: &Channel, user: &str) {
    let auth = || AuthServiceClient::new(channel.clone());
    let first = log_in(channel.clone(), user, PASSWORD).await.unwrap();
    canary.tokens(&first.access_token, &first.refresh_token);
    for (login, password) in [(user, WRONG), (WRONG, PASSWORD), ("nobody", PASSWORD), (PASSWORD, "")] {
        log_in(channel.clone(), login, password).await.unwrap_err();
    }
    let mut token = first.refresh_token.clone();
    for n in 0..3 {
        let next = refresh(channel.clone(), &token, &format!("{n}")).await.unwrap();
        canary.tokens(&next.access_token, &next.refresh_token);
        token = next.refresh_token;
    }
    let reused = refresh(channel.clone(), &first.refresh_token, "").await.unwrap_err();
    assert_eq!(reason(&reused).unwrap(), "REFRESH_TOKEN_REUSED");
    let stolen = RefreshRequest { client_id: "other".into(), refresh_token: token, ..RefreshRequest::default() };
    auth().refresh(stolen).await.unwrap_err();
    let second = log_in(channel.clone(), user, PASSWORD).await.unwrap();
    canary.tokens(&second.access_token, &second.refresh_token);
    canary.successful_command(&["token", "verify", "--audience", "api"], &second.access_token);
    canary.command(&["token", "verify", "--audience", "other"], &second.access_token);
    let mut bearer = Request::new(LogoutRequest::default());
    bearer.metadata_mut().insert("authorization", format!("Bearer {}", second.access_token).parse().unwrap());
    auth().logout(bearer).await.unwrap_err();
    let request = LogoutRequest { client_id: CLIENT.into(), refresh_token: second.refresh_token };
    auth().logout(request).await.unwrap();
    canary.successful_command(&["user", "set-password", user, "--password-stdin"], NEXT);
    log_in(channel.clone(), user, NEXT).await.unwrap();
}

/// Registers accounts, resets and changes passwords and rotates secrets, with valid and invalid input.
async fn manage_accounts(canary: &mut Canary, channel: &Channel, (user, service, secret): (&str, &str, &str)) {
    let account = || AccountServiceClient::new(channel.clone());
    let client_id = || CLIENT.to_owned();
    let email = format!("{user}@example.com");
    let register =
        pb::RegisterRequest { client_id: client_id(), email, password: REGISTERED.into(), ..Default::default() };
    let ticket = account().register(register).await.unwrap().into_inner().ticket;
    for code in ["12345678", WRONG] {
        let message = pb::VerifyEmailRequest {
            client_id: client_id(),
            ticket: ticket.clone(),
            code: code.into(),
            ..Default::default()
        };
        account().verify_email(message).await.unwrap_err();
    }
    let asked = pb::RequestPasswordResetRequest { client_id: client_id(), login: user.into(), ..Default::default() };
    let ticket = account().request_password_reset(asked).await.unwrap().into_inner().ticket;
    let (token, new_password) = (WRONG_SECRET.to_owned(), CHOSEN.to_owned());
    let reset = pb::ResetPasswordRequest { client_id: client_id(), ticket, token, new_password, ..Default::default() };
    account().reset_password(reset).await.unwrap_err();
    canary.successful_command(&["user", "set-password", user, "--password-stdin", "--temporary"], TEMPORARY);
    let login = pb::LoginRequest {
        client_id: client_id(),
        login: user.into(),
        password: TEMPORARY.into(),
        ..pb::LoginRequest::default()
    };
    let answer = AuthServiceClient::new(channel.clone()).login(login).await.unwrap().into_inner().result;
    let Some(pb::login_response::Result::Challenge(challenge)) = answer else { panic!("{answer:?}") };
    canary.secret("a challenge", &challenge.challenge);
    let next = pb::ContinueLoginRequest {
        client_id: client_id(),
        challenge: challenge.challenge,
        new_password: CHOSEN.into(),
        ..Default::default()
    };
    AuthServiceClient::new(channel.clone()).continue_login(next.clone()).await.unwrap();
    AuthServiceClient::new(channel.clone()).continue_login(next).await.unwrap_err();
    let message = pb::ChangePasswordRequest { current_password: CHOSEN.into(), new_password: NEXT.into() };
    account().change_password(Request::new(message)).await.unwrap_err();
    let new = pb::User { name: format!("other-{user}"), ..pb::User::default() };
    let create = pb::CreateUserRequest { user: Some(new), password: CREATED.into(), ..Default::default() };
    UserServiceClient::new(channel.clone()).create_user(basic(create, service, secret)).await.unwrap();
    let rotate = pb::RotateClientSecretRequest { client_id: service.into(), ..Default::default() };
    let rotated = ClientServiceClient::new(channel.clone()).rotate_client_secret(basic(rotate, service, secret)).await;
    canary.secret("a replaced secret", rotated.unwrap().into_inner().client_secret);
}

async fn client_token(canary: &mut Canary, channel: &Channel, service: &str, secret: &str) {
    let mut auth = AuthServiceClient::new(channel.clone());
    let request = IssueClientTokenRequest::default;
    let issued = auth.issue_client_token(basic(request(), service, secret)).await.unwrap().into_inner();
    canary.secret("the client's access token", &issued.access_token);
    canary.secret("its signature", issued.access_token.rsplit_once('.').unwrap().1);
    auth.issue_client_token(basic(request(), service, WRONG_SECRET)).await.unwrap_err();
}

/// Runs a server from start to end with one log format.
async fn run_server(canary: &mut Canary, format: &str) {
    let mut server = Server::on(&canary.place, &["--log", "trace", "--log-format", format]);
    if format == "text" {
        let flags = ["--public", "--first-party", "--registration", "--audience", "api", "--alg", "ES256"];
        canary.successful_command(&[&["client", "create", CLIENT], &flags[..]].concat(), "");
    }
    let (user, service) = (format!("grace-{format}"), format!("service-{format}"));
    let secret = administer(canary, &user, &service);
    let channel = server.channel().await;
    sign_in_and_out(canary, &channel, &user).await;
    client_token(canary, &channel, &service, &secret).await;
    manage_accounts(canary, &channel, (&user, &service, &secret)).await;
    canary.secret("the client's secret", &secret);
    canary.secret("the client's credentials", STANDARD.encode(format!("{service}:{secret}")));
    for (address, path) in [
        (&server.http, "/.well-known/jwks.json"),
        (&server.http, "/.well-known/openid-configuration"),
        (&server.telemetry, "/metrics"),
    ] {
        canary.written.extend(page(address, path).await.unwrap().as_bytes());
    }
    // Killed, so that nothing is cleaned up before the search.
    server.kill();
    canary.stored.extend(canary.place.contents().await);
    let log = fs::read(&server.log).unwrap();
    let level = if format == "json" { "\"level\":\"DEBUG\"" } else { "DEBUG" };
    assert!(find(&log, level.as_bytes()).is_some(), "the log is not as talkative as asked for");
    canary.written.extend(log);
}

/// The private parts of the signing keys, decrypted with the sealing key.
async fn private_keys(canary: &mut Canary) {
    let hex = if canary.place.database.is_some() { "encode(sealed, 'hex')" } else { "lower(hex(sealed))" };
    let sql = format!("SELECT alg || ' ' || id || ' ' || {hex} FROM signing_keys");
    let key = SealingKey::new(&SealingKey::parse(&canary.sealing_key()).unwrap());
    let rows = canary.place.texts(&sql).await;
    assert!(rows.len() >= 6);
    for row in rows {
        let [alg, id, sealed] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let sealed: Vec<u8> = sealed
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let pkcs8 = key.open(&sealed, &format!("signing key {id}")).unwrap();
        let part = match alg {
            "EdDSA" => &pkcs8[16..48],
            "ES256" => &pkcs8[36..68],
            // The last number of an RSA key is the CRT coefficient.
            _ => &pkcs8[pkcs8.len() - 64..],
        };
        canary.secret("the private part of a signing key", part);
    }
}

#[tokio::test]
async fn no_secret_is_written_to_logs_pages_or_the_database() {
    let dir = tempfile::tempdir().unwrap();
    for mut place in Place::each(&dir).await {
        place.database = place.database.map(|url| url.replacen('@', &format!(":{DATABASE_PASSWORD}@"), 1));
        let mut canary = Canary { place, written: Vec::new(), stored: Vec::new(), secrets: Vec::new() };
        for format in ["text", "json"] {
            run_server(&mut canary, format).await;
        }
        for (what, text) in [
            ("the password", PASSWORD),
            ("the next password", NEXT),
            ("the password of who registers", REGISTERED),
            ("the password that was chosen", CHOSEN),
            ("a temporary password", TEMPORARY),
            ("the password of who was created", CREATED),
            ("a wrong password", WRONG),
            ("a wrong secret", WRONG_SECRET),
            ("the password of the database", DATABASE_PASSWORD),
        ] {
            canary.secret(what, text);
        }
        let sealing = SealingKey::parse(&canary.sealing_key()).unwrap();
        canary.secret("the sealing key", *sealing);
        Box::pin(private_keys(&mut canary)).await;
        // Public values are found in each encoding, so a secret would be found too.
        let jwks = canary.place.texts("SELECT public_jwk ->> 'x' FROM signing_keys WHERE alg = 'EdDSA'").await;
        let public = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&jwks[0]).unwrap();
        for (place, bytes) in [("what was written", &canary.written), ("the database", &canary.stored)] {
            for known in [&b"grace-text"[..], b"service-json", &public] {
                assert!(find(bytes, known).is_some(), "{known:?} is not found in {place}");
            }
            for secret in &canary.secrets {
                assert_eq!(
                    find(bytes, &secret.bytes),
                    None,
                    "{} stands in {place} of {}",
                    secret.what,
                    canary.place.engine()
                );
            }
        }
        let hashed = canary.secrets.iter().find(|s| s.what == "the secret of a session").unwrap();
        assert!(find(&canary.stored, &chancery::secret::sha256(&hashed.bytes)).is_some());
        assert!(find(&canary.stored, b"$argon2id$").is_some() && find(&canary.written, b"$argon2id$").is_none());
        assert!(canary.secrets.len() > 40);
    }
}
