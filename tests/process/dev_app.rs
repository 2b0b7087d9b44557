//! `serve --dev --app URL`: a demo in front of an application, over real sockets.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::server::{Server, command, run};

const PATIENCE: Duration = Duration::from_secs(30);

/// An application: it says what it was asked, and echoes.
async fn application() -> (String, JoinHandle<()>) {
    async fn seen(request: Request) -> Response {
        let headers: Vec<_> =
            request.headers().iter().map(|(n, v)| json!([n.as_str(), String::from_utf8_lossy(v.as_bytes())])).collect();
        let path = request.uri().path_and_query().map(ToString::to_string);
        let answer = Json(json!({ "method": request.method().as_str(), "path": path, "headers": headers }));
        ([(header::SET_COOKIE, "cart=7; Path=/"), (header::CONNECTION, "x-hop"), (header::SERVER, "app")], answer)
            .into_response()
    }
    async fn echo(body: Body) -> Body {
        body
    }
    async fn socket(mut request: Request) -> Response {
        let Some(asked) = request.headers().get(header::UPGRADE).cloned() else {
            return (StatusCode::UPGRADE_REQUIRED, [("x-upgrade", "none")]).into_response();
        };
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let headers = [(header::CONNECTION, header::HeaderValue::from_static("upgrade")), (header::UPGRADE, asked)];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
    let routes = Router::new().route("/echo", post(echo)).route("/socket", get(socket)).fallback(any(seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }))
}

/// A demo in front of an application, and where browsers find it.
struct Front {
    server: Server,
    port: u16,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Front {
    fn start(dir: &std::path::Path, app: &str) -> Self {
        let server = Server::start(dir, &["--dev", "--app", app, "--app-listen", "127.0.0.1:0"]);
        let url = server.ready.split_whitespace().find_map(|word| word.strip_prefix("app=http://localhost:"));
        let port = url.unwrap_or_else(|| panic!("{}", server.ready)).parse().unwrap();
        assert!(server.ready.contains(" check=127.0.0.1:"), "{}", server.ready);
        Self { server, port }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// A request under the declared name.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask_as(&format!("localhost:{}", self.port), method, path, headers, body).await
    }

    async fn ask_as(&self, host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(self.connect().await, host, (method, path), headers, body).await
    }
}

/// Sends one request, and reads the answer to its end.
pub(crate) async fn exchange(
    mut stream: TcpStream,
    host: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut all = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        all.append(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let chunked = all.get(header::TRANSFER_ENCODING).is_some();
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, headers: all, body }
}

fn unchunked(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out += &rest[..size];
        text = rest[size..].strip_prefix("\r\n").unwrap();
    }
    out
}

impl Answer {
    /// The headers that the application saw, by name.
    fn seen(&self) -> BTreeMap<String, String> {
        let said: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body));
        let pairs = said["headers"].as_array().unwrap().iter();
        let mut all = BTreeMap::new();
        for pair in pairs {
            let (name, value) = (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
            assert!(all.insert(name, value).is_none(), "twice: {pair}");
        }
        all
    }

    /// The cookies that it sets, as a browser sends them back.
    pub(crate) fn cookies(&self) -> BTreeMap<String, String> {
        let set = self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        set.map(|cookie| {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
    }

    /// The value of a field of a form.
    pub(crate) fn field(&self, name: &str) -> String {
        let tags = self.body.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
        let tag = tags
            .into_iter()
            .find(|tag| tag.contains(&format!(" name=\"{name}\"")))
            .unwrap_or_else(|| panic!("no {name} in {}", self.body));
        tag.split(" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

/// Asks to go on with another protocol. Returns the connection, and the head of the answer in lower case.
async fn upgrade(front: &Front, protocol: &str) -> (BufReader<TcpStream>, String) {
    let mut socket = BufReader::new(front.connect().await);
    let ask = format!(
        "GET /socket HTTP/1.1\r\nhost: localhost:{}\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: {protocol}\r\n\
         HTTP2-Settings: AAMAAABk\r\n\r\n",
        front.port
    );
    socket.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap());
    }
    (socket, String::from_utf8(head).unwrap().to_lowercase())
}

pub(crate) fn cookie_header(cookies: &BTreeMap<String, String>) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn an_application_behind_a_demo_learns_who_is_signed_in_and_nobody_else_can_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _running) = application().await;
    let front = Front::start(&dir.path().join("data"), &app);
    let spoofed = [
        ("x-chancery-subject", "usr_somebody"),
        ("X_Chancery_Token", "canary"),
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1"),
        ("authorization", "Basic b3duOmJ1c2luZXNz"),
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("cookie", "cart=7"),
    ];
    let answer = front.ask("GET", "/shop?a=b", &spoofed, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = answer.seen();
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&said["method"], &said["path"]), (&json!("GET"), &json!("/shop?a=b")));
    assert_eq!(seen["host"], format!("localhost:{}", front.port));
    assert_eq!(seen["x-forwarded-host"], seen["host"]);
    assert_eq!((seen["x-forwarded-proto"].as_str(), seen["x-forwarded-for"].as_str()), ("http", "127.0.0.1"));
    assert_eq!((seen["x-chancery-subject"].as_str(), seen["x-chancery-token"].as_str()), ("", ""));
    // What the application's own clients send it is its own business.
    assert_eq!((seen["authorization"].as_str(), seen["cookie"].as_str()), ("Basic b3duOmJ1c2luZXNz", "cart=7"));
    for gone in ["x_chancery_token", "forwarded", "x-mine"] {
        assert!(!seen.contains_key(gone), "{gone}");
    }
    // Its answer is its own: no cookie of ours, and nothing about the connection.
    assert_eq!(answer.cookies(), BTreeMap::from([("cart".to_owned(), "7".to_owned())]));
    assert_eq!(answer.headers["server"], "app");

    let begun = front.ask("GET", "/auth/login?return_to=/shop", &[], "").await;
    assert_eq!(begun.status, 303, "{}", begun.body);
    let mut cookies = begun.cookies();
    let origin = format!("http://localhost:{}", front.port);
    let path = begun.headers["location"].to_str().unwrap().strip_prefix(&origin).unwrap().to_owned();
    let page = front.ask("GET", &path, &[("cookie", &cookie_header(&cookies))], "").await;
    cookies.extend(page.cookies());
    let form = format!(
        "csrf={}&form={}&username=ada&password=correct+horse+battery+staple",
        page.field("csrf"),
        page.field("form")
    );
    let sent = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
        ("origin", origin.as_str()),
        ("cookie", &cookie_header(&cookies)),
    ];
    let done = front.ask("POST", &path, &sent, &form).await;
    assert_eq!(
        (done.status, done.headers["location"].to_str().unwrap()),
        (303, &*format!("{origin}/shop")),
        "{}",
        done.body
    );
    cookies.extend(done.cookies());

    let cookie = cookie_header(&cookies);
    let answer = front.ask("GET", "/shop", &[("cookie", &cookie), spoofed[0], spoofed[4]], "").await;
    let seen = answer.seen();
    assert!(seen["x-chancery-subject"].starts_with("usr_"), "{seen:?}");
    assert_eq!(seen["authorization"], format!("Bearer {}", seen["x-chancery-token"]));
    assert_eq!(answer.cookies().len(), 1, "{:?}", answer.headers);
    // What a request says about its connection takes nothing of ours away.
    let names = "x-chancery-subject, X-Chancery-Token, authorization, x-forwarded-host, host, x-forwarded-proto";
    let answer = front.ask("GET", "/shop", &[("cookie", &cookie), ("connection", names)], "").await;
    for name in ["x-chancery-subject", "x-chancery-token", "authorization", "x-forwarded-host", "host"] {
        assert_eq!(answer.seen().get(name), seen.get(name), "{name}");
    }
    // With a session, another site cannot send its forms.
    let foreign = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    assert_eq!(front.ask("POST", "/echo", &foreign, "x").await.status, 403);
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(front.ask("POST", "/echo", &own, "x").await.body, "x");
}

#[tokio::test]
async fn bodies_flow_both_ways_and_connections_go_on_with_another_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _running) = application().await;
    let front = Front::start(&dir.path().join("data"), &app);
    // The answer begins before the request has ended.
    let (send, receive) = mpsc::channel::<Bytes>(1);
    let stream = futures_util::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|bytes| (Ok::<_, std::io::Error>(bytes), receive))
    });
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = http::Request::post(format!("http://127.0.0.1:{}/echo", front.port))
        .header("host", format!("localhost:{}", front.port))
        .body(Body::from_stream(stream))
        .unwrap();
    let answer = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
    let mut body = Body::new(answer.into_body()).into_data_stream();
    for part in ["one", "two"] {
        send.send(Bytes::from(part)).await.unwrap();
        assert_eq!(timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap(), part);
    }
    drop(send);
    assert!(timeout(PATIENCE, body.next()).await.unwrap().is_none());

    let (mut socket, head) = upgrade(&front, "websocket").await;
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    for part in [b"ping", b"pong"] {
        socket.write_all(part).await.unwrap();
        let mut back = [0; 4];
        timeout(PATIENCE, socket.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, part);
    }
    // What would carry further requests past the check stays as it is.
    for other in ["h2c", "echo", "websocket, h2c"] {
        let (_, head) = upgrade(&front, other).await;
        assert!(head.starts_with("http/1.1 426") && head.contains("x-upgrade: none"), "{other}: {head}");
    }
    // An open socket does not keep the server from stopping.
    front.server.terminate();
    let stopped = tokio::task::spawn_blocking(move || front.server.wait());
    assert!(timeout(PATIENCE, stopped).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_demo_says_when_its_application_is_down_and_serves_no_other_name() {
    let dir = tempfile::tempdir().unwrap();
    let (app, running) = application().await;
    let front = Front::start(&dir.path().join("data"), &app);
    assert_eq!(front.ask("GET", "/", &[], "").await.status, 200);
    running.abort();
    let _ = running.await;
    let mut down = front.ask("GET", "/", &[], "").await;
    assert_eq!(down.status, 502);
    // The connection of before may end only when it is used again.
    if down.body.contains("broke off") {
        down = front.ask("GET", "/", &[], "").await;
    }
    assert!(down.body.contains(&format!("The application at {app} cannot be reached")), "{}", down.body);
    assert!(down.body.contains("Start the application"), "{}", down.body);
    // The pages are still there.
    assert_eq!(front.ask("GET", "/auth/login", &[], "").await.status, 303);
    let other = front.ask_as(&format!("127.0.0.1:{}", front.port), "GET", "/cart?x=1", &[], "").await;
    assert_eq!(other.status, 307);
    assert_eq!(other.headers["location"], format!("http://localhost:{}/cart?x=1", front.port));
    for host in ["evil.example", "localhost:1"] {
        assert_eq!(front.ask_as(host, "GET", "/", &[], "").await.status, 421, "{host}");
    }
}

#[tokio::test]
async fn a_demo_in_front_of_an_application_says_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let serve = |args: &[&str]| {
        let mut serve = command(&["serve", "--data-dir", data]);
        serve.args(crate::server::FREE_PORTS).args(args);
        let out = run(&mut serve, b"");
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    for (args, says) in [
        (&["--dev", "--app", "http://127.0.0.1:5000", "--app-listen", &*busy][..], "(--app-listen)"),
        (&["--dev", "--app", "https://127.0.0.1:5000"], "--app: must be a URL such as http://127.0.0.1:5000"),
        (&["--dev", "--app", "http://127.0.0.1:5000", "--app-listen", "0.0.0.0:0"], "--app-listen: --dev listens on"),
        (&["--app", "http://127.0.0.1:5000"], "--app does nothing without --dev"),
        (&["--dev", "--app-listen", "127.0.0.1:0"], "--app-listen does nothing without --app"),
        (&["--check", "127.0.0.1:0"], "--trusted-proxy (trusted_proxies): is required for the check"),
    ] {
        let (code, stderr) = serve(args);
        assert!(code != Some(0) && stderr.contains(says), "{args:?}: {stderr}");
    }
}

/// A demo that was made before there were guests gets them at its next start, unless it was given other grants.
#[tokio::test]
async fn an_older_demo_may_have_guests_too() {
    let dir = tempfile::tempdir().unwrap();
    let grants = |server: &Server| {
        let client = server.command(&["client", "show", "demo-app", "--json"], "");
        serde_json::from_str::<Value>(&client).unwrap()["grants"].clone()
    };
    let mut older = vec!["client", "update", "demo-app", "--grant", "direct_login", "--grant", "refresh_token"];
    let server = Server::start(dir.path(), &["--dev"]);
    assert_eq!(grants(&server), json!(["GRANT_DIRECT_LOGIN", "GRANT_REFRESH_TOKEN", "GRANT_GUEST"]));
    server.command(&older, "");
    assert_eq!(grants(&server), json!(["GRANT_DIRECT_LOGIN", "GRANT_REFRESH_TOKEN"]));
    drop(server);
    let server = Server::start(dir.path(), &["--dev"]);
    assert_eq!(grants(&server), json!(["GRANT_DIRECT_LOGIN", "GRANT_REFRESH_TOKEN", "GRANT_GUEST"]));
    older.truncate(5);
    server.command(&older, "");
    drop(server);
    let server = Server::start(dir.path(), &["--dev"]);
    assert_eq!(grants(&server), json!(["GRANT_DIRECT_LOGIN"]));
}
