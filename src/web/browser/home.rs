//! `GET /` of the HTTP listener: the issuer's front page, so that whoever opens the printed address sees something. In the
//! demo there is `GET /dev` too, with what to try.

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{BrowserRequest, BrowserState, SiteOf, answer::Page, not_found};
use crate::{
    domain::site::{Site, origin_of},
    web::pages::{Dev, DevUser, Home, Text, Try, View},
};

/// What the demo's page of things to try is told by the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevHints {
    /// The program grpcurl, with the flags by which it trusts the gRPC listener.
    pub grpcurl: String,
    /// The program curl, with the flags by which it trusts the HTTP listener.
    pub curl: String,
    /// The address of the gRPC listener.
    pub grpc: String,
    /// The program curl with the flags for the listener for proxies, and its URL, if there is one.
    pub check: Option<String>,
    /// The URL of the application behind `--app`, if there is one.
    pub app: Option<String>,
    /// The demo user's login.
    pub username: String,
    /// The demo user's password.
    pub password: String,
}

/// The routes.
pub(super) fn routes(state: BrowserState) -> Router {
    let demo = state.hints.is_some();
    let routes = Router::new().route("/", get(front));
    let routes = if demo { routes.route("/dev", get(dev)) } else { routes };
    routes.with_state(state)
}

async fn front(State(state): State<BrowserState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if state.dev
        && let Err(misdirected) = SiteOf::find(&state, &parts)
        && let Some(elsewhere) = misdirected.declared_name()
    {
        return elsewhere;
    }
    if !wants_html(&parts.headers) {
        return plain(&state);
    }
    let request = match at_issuer(&state, parts).await {
        Ok(request) => request,
        Err(answer) => return *answer,
    };
    let session = match request.session().await {
        Ok(session) => session,
        Err(error) => return request.failed(&error),
    };
    let name = session.map(|session| session.name().to_owned());
    let dev = state.hints.as_ref().map(|_| "/dev".to_owned());
    request.page(Page::new(View::Home(Home { name, dev })))
}

async fn dev(State(state): State<BrowserState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let request = match at_issuer(&state, parts).await {
        Ok(request) => request,
        Err(answer) => return *answer,
    };
    let Some(hints) = &state.hints else { return not_found() };
    request.page(Page::new(View::Dev(things_to_try(&request.site, hints))))
}

/// The request, if it was sent to the issuer's own site.
async fn at_issuer(state: &BrowserState, mut parts: Parts) -> Result<BrowserRequest, Box<Response>> {
    let found = SiteOf::find(state, &parts).map_err(|misdirected| Box::new(misdirected.answer(state)))?;
    // The front pages of other sites are their applications'.
    if Some(found.site.origin()) != issuer_origin(state.service.issuer()).as_deref() {
        return Err(Box::new(not_found()));
    }
    parts.extensions.insert(found);
    let mut request = BrowserRequest::from_request_parts(&mut parts, state).await.map_err(Box::new)?;
    // These pages are for people alone.
    request.in_json = false;
    Ok(request)
}

/// The origin of an issuer.
fn issuer_origin(issuer: &str) -> Option<String> {
    let (scheme, rest) = issuer.split_once("://")?;
    let authority = rest.split('/').next()?;
    origin_of(scheme, authority)
}

/// Whether a page is wanted, as browsers say. Other programs say nothing, or that they take anything.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|value| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

/// Where to find what, for other programs.
fn plain(state: &BrowserState) -> Response {
    let issuer = state.service.issuer();
    let text = format!(
        "Chancery, the identity provider {issuer}\n\n\
         metadata  {issuer}/.well-known/oauth-authorization-server\n\
         keys      {issuer}/.well-known/jwks.json\n"
    );
    ([(header::VARY, "accept"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

fn things_to_try(site: &Site, hints: &DevHints) -> Dev {
    let DevHints { grpcurl, curl: _, grpc, check, app, username, password } = hints;
    let link = |about, target: String| Try { about, target };
    let mut links: Vec<Try> = app.iter().map(|app| link(Text::TryApp, app.clone())).collect();
    links.extend([
        link(Text::TrySignIn, site.path("login")),
        link(Text::TryRegister, site.path("register")),
        link(Text::TryAccount, site.path("account")),
        link(Text::TryMail, "/dev/mail".to_owned()),
        link(Text::TryApi, "/dev/api".to_owned()),
        link(Text::TryKeys, "/.well-known/jwks.json".to_owned()),
        link(Text::TryMetadata, "/.well-known/oauth-authorization-server".to_owned()),
    ]);
    let login = format!("{{\"client_id\": \"demo-app\", \"login\": \"{username}\", \"password\": \"{password}\"}}");
    let mut commands = vec![
        link(Text::TryLogin, format!("{grpcurl} -d '{login}' {grpc} chancery.v1.AuthService/Login")),
        link(Text::TryServices, format!("{grpcurl} {grpc} list")),
    ];
    commands.extend(check.iter().map(|check| {
        let command = format!(
            "{check}/auth/check -H 'X-Forwarded-Method: GET' -H 'X-Forwarded-Proto: {}' \
             -H 'X-Forwarded-Host: {}' -H 'X-Forwarded-Uri: /'",
            if site.is_secure() { "https" } else { "http" },
            site.authority()
        );
        link(Text::TryCheck, command)
    }));
    let user = Some(DevUser { username: username.clone(), password: password.clone() });
    Dev { user, links, commands }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_things_to_try_name_the_listeners_that_there_are() {
        let site: Site = "http://localhost:8080/auth".parse().unwrap();
        let hints = DevHints {
            grpcurl: "grpcurl -cacert ca.pem".into(),
            grpc: "127.0.0.1:8081".into(),
            username: "ada".into(),
            ..DevHints::default()
        };
        let dev = things_to_try(&site, &hints);
        let starts = ["grpcurl -cacert ca.pem -d '", "grpcurl -cacert ca.pem 127.0.0.1:8081 list"];
        for (line, start) in dev.commands.iter().zip(starts) {
            assert!(line.target.starts_with(start) && line.target.contains("127.0.0.1:8081"), "{dev:?}");
        }
        assert_eq!(dev.links[0].target, "/auth/login");
        let check = Some("curl -i https://127.0.0.1:8082".into());
        let hints = DevHints { check, app: Some("http://localhost:8000/".into()), ..hints };
        let dev = things_to_try(&site, &hints);
        assert_eq!(dev.links[0].target, "http://localhost:8000/");
        assert!(dev.commands[2].target.starts_with("curl -i https://127.0.0.1:8082/auth/check -H"), "{dev:?}");
    }

    #[test]
    fn only_browsers_get_pages() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_html(&headers)
        };
        assert!(asks("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!asks("*/*") && !asks("application/json") && !wants_html(&HeaderMap::new()));
        assert_eq!(issuer_origin("https://ID.example.com:443/idp").as_deref(), Some("https://id.example.com"));
    }
}
