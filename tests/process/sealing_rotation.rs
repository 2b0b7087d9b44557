//! The sealing key is rotated under two running servers: what was made before goes on, and nobody is signed out.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

use chancery::grpc::pb::{
    ConfirmTotpRequest, ContinueLoginRequest, EnrollTotpRequest, LoginRequest, LoginResponse,
    RequestPasswordResetRequest, StartGuestSessionRequest, TokenPair, account_service_client::AccountServiceClient,
    auth_service_client::AuthServiceClient, continue_login_response, login_response,
};
use tonic::{Request, transport::Channel};

use crate::{
    calls::{CLIENT, PASSWORD, log_in, login_request, refresh, refresh_as},
    place::Place,
    server::{Server, command, run},
};

/// Two servers on one database, and the files with the sealing keys.
pub(crate) struct Deployment {
    pub(crate) place: Place,
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
}

impl Deployment {
    pub(crate) fn serve(&self, keys: &[&PathBuf]) -> Server {
        let flags = with(keys);
        Server::on(&self.place, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs `chancery sealing …`. Returns whether it succeeded, and all that it printed.
    pub(crate) fn sealing(&self, args: &[&str], keys: &[&PathBuf]) -> (bool, String) {
        let mut command = command(&["sealing"]);
        let out = run(command.args(args).args(self.place.flags()).args(with(keys)), b"");
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8(text).unwrap())
    }

    async fn sealed_under(&self, version: i64) -> Vec<String> {
        let count = format!(
            "SELECT CAST((SELECT count(*) FROM signing_keys WHERE sealing_version = {version}) \
             + (SELECT count(*) FROM totp_factors WHERE sealing_version = {version}) \
             + (SELECT count(*) FROM mails WHERE sealing_version = {version}) AS TEXT)"
        );
        self.place.texts(&count).await
    }
}

pub(crate) fn with(keys: &[&PathBuf]) -> Vec<String> {
    keys.iter().flat_map(|key| ["--sealing-key-file".to_owned(), key.display().to_string()]).collect()
}

/// What the secret of an app shows so many seconds from now.
fn code_of(secret: &str, ahead: u64) -> String {
    let value = |c: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap();
    let bits: Vec<usize> = secret.chars().map(value).flat_map(|v| (0..5).rev().map(move |at| v >> at & 1)).collect();
    let bytes = bits.chunks_exact(8).map(|byte| u8::try_from(byte.iter().fold(0, |v, b| v << 1 | b)).unwrap());
    let secret: [u8; 20] = bytes.collect::<Vec<_>>().try_into().unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    app.generate(now + ahead).to_string()
}

fn with_bearer<T>(pair: &TokenPair, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", pair.access_token).parse().unwrap());
    request
}

/// Sets up an app for a user. Returns its secret.
async fn enrol(server: &Server, login: &str) -> String {
    let request = LoginRequest { audience: server.issuer.clone(), ..login_request(login, PASSWORD) };
    let answer = AuthServiceClient::new(server.channel().await).login(request).await.unwrap().into_inner();
    let Some(login_response::Result::Tokens(pair)) = answer.result else { panic!("{answer:?}") };
    let mut rpc = AccountServiceClient::new(server.channel().await);
    let begun = rpc.enroll_totp(with_bearer(&pair, EnrollTotpRequest::default())).await.unwrap().into_inner();
    let confirm = ConfirmTotpRequest { enrolment: begun.enrolment, code: code_of(&begun.secret, 0) };
    rpc.confirm_totp(with_bearer(&pair, confirm)).await.unwrap();
    begun.secret
}

/// Gives the password of a user with an app. Returns the challenge.
async fn challenge(channel: Channel, login: &str) -> String {
    let answer = AuthServiceClient::new(channel).login(login_request(login, PASSWORD)).await.unwrap().into_inner();
    let LoginResponse { result: Some(login_response::Result::Challenge(challenge)), .. } = answer else {
        panic!("no challenge")
    };
    challenge.challenge
}

async fn go_on(channel: Channel, challenge: String, code: String) -> TokenPair {
    let request = ContinueLoginRequest { client_id: CLIENT.into(), challenge, code, ..Default::default() };
    let answer = AuthServiceClient::new(channel).continue_login(request).await.unwrap().into_inner();
    let Some(continue_login_response::Result::Tokens(pair)) = answer.result else { panic!("{answer:?}") };
    pair
}

pub(crate) fn start(place: &Place) -> (Deployment, [Server; 2]) {
    let one = Server::on(place, &[]);
    one.command(&["user", "create", "grace", "--password-stdin", "--email", "grace@example.com"], PASSWORD);
    one.command(&["user", "create", "ada", "--password-stdin"], PASSWORD);
    let flags = ["--public", "--first-party", "--audience", "api", "--alg", "ES256"];
    let of_server = ["--audience", one.issuer.as_str()];
    one.command(&[&["client", "create", CLIENT], &flags[..], &of_server].concat(), "");
    let grants = ["--grant", "guest", "--grant", "refresh_token"];
    one.command(&[&["client", "create", "kiosk"], &flags[..], &grants].concat(), "");
    let new = place.dir.with_extension("next.key");
    let made = run(command(&["sealing-key", "generate", "--out"]).arg(&new), b"");
    assert!(made.status.success());
    let two = Server::on(place, &[]);
    (Deployment { place: place.clone(), old: place.dir.join("sealing.key"), new }, [one, two])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_two_servers_is_noticed_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let (deployment, [one, two]) = start(&place);
        let Deployment { old, new, .. } = &deployment;
        let mut grace = log_in(one.channel().await, "grace", PASSWORD).await.unwrap().refresh_token;
        let request = StartGuestSessionRequest { client_id: "kiosk".into(), ..Default::default() };
        let guest = AuthServiceClient::new(two.channel().await).start_guest_session(request).await.unwrap();
        let guest = guest.into_inner().tokens.unwrap().refresh_token;
        let reset =
            RequestPasswordResetRequest { client_id: CLIENT.into(), login: "grace".into(), ..Default::default() };
        AccountServiceClient::new(one.channel().await).request_password_reset(reset).await.unwrap();
        let secret = enrol(&one, "ada").await;
        let pending = challenge(two.channel().await, "ada").await;

        let (done, said) = deployment.sealing(&["rotate"], &[old]);
        assert!(!done && said.contains("there is no next version"), "{said}");
        // One after the other is started again with both keys. In between, one of them lacks the new one.
        one.terminate();
        assert!(one.wait().success());
        let one = deployment.serve(&[old, new]);
        grace = refresh(two.channel().await, &grace, "").await.unwrap().refresh_token;
        let (done, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(!done && said.contains("is not held by prc_"), "{said}");
        let (_, listed) = deployment.sealing(&["list"], &[old]);
        assert!(listed.contains("in use") && listed.contains("loaded") && listed.contains("prc_"), "{listed}");
        two.terminate();
        assert!(two.wait().success());
        let two = deployment.serve(&[new, old]);
        let (done, said) = deployment.sealing(&["rotate"], &[old]);
        assert!(!done && said.contains("does not hold version 2"), "{said}");
        let (done, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(done && said.contains("version 2 of the sealing key is in use"), "{said}");
        assert_eq!(deployment.sealed_under(1).await, ["0"]);

        for server in [&one, &two, &one] {
            grace = refresh(server.channel().await, &grace, "").await.unwrap().refresh_token;
        }
        refresh_as(two.channel().await, "kiosk", &guest, "").await.unwrap();
        go_on(one.channel().await, pending, code_of(&secret, 30)).await;
        log_in(two.channel().await, "grace", PASSWORD).await.unwrap();
        let (done, said) = deployment.sealing(&["drop", "1"], &[old, new]);
        assert!(!done && said.contains("is needed until 2") && said.contains("--now"), "{said}");
        assert!(deployment.sealing(&["list"], &[old, new]).1.contains("verify only"));
        // A start with one of them names what is missing.
        for (key, says) in [(old, "is not the one in use, which is version 2"), (new, "version 1 of the sealing key")] {
            let refused =
                run(command(&["serve"]).args(place.flags()).args(with(&[key])).args(crate::server::FREE_PORTS), b"");
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains(says), "{said}");
        }
        drop((one, two));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_half_way_is_finished_by_the_next_one_and_by_servers() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let (deployment, servers) = start(&place);
        let Deployment { old, new, .. } = &deployment;
        let mut grace = log_in(servers[0].channel().await, "grace", PASSWORD).await.unwrap().refresh_token;
        for server in servers {
            server.terminate();
            server.wait();
        }
        let one = deployment.serve(&[old, new]);
        // It says so before it seals rows again, and is killed at that moment.
        let mut rotate = command(&["sealing-key", "rotate"])
            .args(place.flags())
            .args(with(&[old, new]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(rotate.stdout.take().unwrap()).read_line(&mut line).unwrap();
        rotate.kill().unwrap();
        rotate.wait().unwrap();
        assert!(line.contains("version 2 of the sealing key is in use"), "{line}");
        grace = refresh(one.channel().await, &grace, "").await.unwrap().refresh_token;
        // Whether it had come that far or not.
        let two = deployment.serve(&[old, new]);
        refresh(two.channel().await, &grace, "").await.unwrap();
        let (_, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(said.contains("rows sealed again") || said.contains("there is no next version"), "{said}");
        assert_eq!(deployment.sealed_under(1).await, ["0"]);
        drop((one, two));
    }
}

#[tokio::test]
async fn a_key_among_the_credentials_of_systemd_needs_no_flag() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    for name in ["sealing.key", "sealing-2.key"] {
        let made = run(command(&["sealing-key", "generate", "--out"]).arg(credentials.join(name)), b"");
        assert!(made.status.success());
    }
    std::fs::write(credentials.join("other.key"), "no key at all").unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let variables = [("CREDENTIALS_DIRECTORY".to_owned(), credentials.display().to_string())];
    let server = Server::with_variables(&place, &variables, &[]);
    assert!(!place.dir.join("sealing.key").exists());
    let list = run(command(&["sealing-key", "list", "--json"]).args(place.flags()).envs(variables.clone()), b"");
    let listed = String::from_utf8(list.stdout).unwrap();
    let states: Vec<_> = listed.lines().map(|line| line.contains("SEALING_KEY_STATE_IN_USE")).collect();
    assert_eq!(states, [true, false], "{listed}");
    assert!(listed.contains("SEALING_KEY_STATE_LOADED") && !listed.contains("prc_"), "{listed}");
    drop(server);
    // The same keys by the variable, in another order.
    let keys = ["sealing-2.key", "sealing.key"].map(|name| std::fs::read_to_string(credentials.join(name)).unwrap());
    let variables = [("CHANCERY_SEALING_KEY".to_owned(), keys.join(","))];
    drop(Server::with_variables(&place, &variables, &[]));
}
