//! `/data/{namespace}`: what the application keeps with the session or its user, for scripts of the same origin. Scripts of
//! guests and of users alike: whoever stores something first becomes a guest.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use self::{conditions::Wanted, tags::Tags};
use super::{
    BrowserRequest, BrowserState,
    answer::{retry_after, with_retry_after},
    cross_site::{check_unsafe, is_same_origin_read},
    form::{FormError, MAX_BODY, read_json},
    headers,
    problem::Problem,
};
use crate::{
    domain::session_data::{
        BadValue, DataScope, DataSession, DataValue, MAX_VALUE, Namespace, NotNamespace, StoredData,
    },
    error::{Error, Reason},
    service::{DataAt, DataCaller, NewGuest},
};

mod conditions;
mod tags;

/// The parameter of the query that says what the value belongs to.
const OWNER: &str = "owner";

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/data/{namespace}", get(show).put(store).delete(remove))
}

/// An answer instead of the one that was asked for.
type Refusal = Box<Response>;

/// The name in the path, if it is a text.
type PathOfValue = Result<Path<String>, PathRejection>;

/// Which value is meant.
struct Named {
    scope: DataScope,
    namespace: Namespace,
}

impl Named {
    fn at(&self) -> DataAt<'_> {
        DataAt { session_id: "", scope: self.scope, namespace: self.namespace.as_str() }
    }

    fn tags(&self, caller: &Caller) -> Tags {
        Tags::of(&self.scope.owner(&caller.session), &self.namespace)
    }
}

/// Whoever asks, as the service knows them and as an owner.
struct Caller {
    keeper: DataCaller,
    session: DataSession,
}

async fn show(request: BrowserRequest, path: PathOfValue) -> Response {
    if !is_same_origin_read(&request.headers) {
        return request.data_refused(Problem::CrossSiteRequest, "the request comes from another site");
    }
    let done = async {
        let named = request.data_named(path)?;
        let caller = request.data_caller().await?.ok_or_else(|| Box::new(request.no_data_session()))?;
        let tags = named.tags(&caller);
        let found = request.state.service.data.get(&caller.keeper, named.at()).await;
        Ok::<_, Refusal>(match found.map_err(|error| Box::new(request.no_data(&error, &tags)))? {
            Some(stored) => request.value(&stored, &tags),
            None => request.data_refused(Problem::NotFound, "there is no such value"),
        })
    };
    done.await.unwrap_or_else(|refusal| *refusal)
}

async fn store(request: BrowserRequest, path: PathOfValue, body: Request) -> Response {
    let done = async {
        request.check_data_origin()?;
        let named = request.data_named(path)?;
        let wanted = request.data_condition(true)?;
        let value = request.data_value(body.into_body()).await?;
        let (caller, born) = request.data_caller_or_guest(&wanted).await?;
        let tags = named.tags(&caller);
        let change = (value, wanted.condition(&tags));
        let stored = request.state.service.data.put(&request.ctx, &caller.keeper, named.at(), change).await;
        // Somebody has signed in meanwhile: the cookie would replace theirs.
        let has_ended = matches!(stored, Err(Error::TokenRevoked));
        let mut response = match stored {
            Err(_) if has_ended && born.is_some() => request.session_replaced(),
            Ok(stored) if stored.created => request.stored(StatusCode::CREATED, Some(tags.tag(stored.version))),
            Ok(stored) => request.stored(StatusCode::NO_CONTENT, Some(tags.tag(stored.version))),
            Err(error) => request.no_data(&error, &tags),
        };
        // Whether or not the value was stored, the session is there.
        if let Some(guest) = born.filter(|_| !has_ended) {
            // It takes the place of a cookie that was to be taken away.
            response.headers_mut().remove(header::SET_COOKIE);
            request.set_session_cookies(&mut response, &guest.cookies);
        }
        Ok::<_, Refusal>(response)
    };
    done.await.unwrap_or_else(|refusal| *refusal)
}

async fn remove(request: BrowserRequest, path: PathOfValue) -> Response {
    let done = async {
        request.check_data_origin()?;
        let named = request.data_named(path)?;
        let wanted = request.data_condition(false)?;
        let caller = request.data_caller().await?.ok_or_else(|| Box::new(request.nobody_to_change_data()))?;
        let tags = named.tags(&caller);
        let data = &request.state.service.data;
        let deleted = data.delete(&request.ctx, &caller.keeper, named.at(), wanted.condition(&tags)).await;
        deleted.map_err(|error| Box::new(request.no_data(&error, &tags)))?;
        Ok::<_, Refusal>(request.stored(StatusCode::NO_CONTENT, None))
    };
    done.await.unwrap_or_else(|refusal| *refusal)
}

fn add_tag(response: &mut Response, tag: String) {
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

impl BrowserRequest {
    /// Fails if the request may change something and does not come from this origin.
    fn check_data_origin(&self) -> Result<(), Refusal> {
        check_unsafe(&self.headers, &self.site, false).map_err(|why| {
            tracing::info!(request_id = %self.ctx.request_id, why = why.as_str(), "data from elsewhere are refused");
            Box::new(self.data_refused(Problem::CrossSiteRequest, "the request comes from another site"))
        })
    }

    /// What the value belongs to; the user, unless it says otherwise: a cart follows a person.
    fn data_scope(&self) -> Result<DataScope, Refusal> {
        // A parameter that is spelt wrong must not mean the other owner.
        if self.query.has_others_than(OWNER) {
            return Err(Box::new(self.data_refused(Problem::InvalidArgument, "owner is the only parameter")));
        }
        match self.query.get(OWNER) {
            Ok(None | Some("user")) => Ok(DataScope::User),
            Ok(Some("session")) => Ok(DataScope::Session),
            _ => Err(Box::new(self.data_refused(Problem::InvalidArgument, "owner must be user or session"))),
        }
    }

    /// The value that the path and the query name.
    fn data_named(&self, path: PathOfValue) -> Result<Named, Refusal> {
        let scope = self.data_scope()?;
        let parsed = path.map_err(|_| NotNamespace).and_then(|Path(name)| name.parse());
        let namespace = parsed.map_err(|problem| {
            Box::new(self.data_refused(Problem::InvalidArgument, &format!("namespace: {problem}")))
        })?;
        Ok(Named { scope, namespace })
    }

    fn data_condition(&self, storing: bool) -> Result<Wanted, Refusal> {
        let read = conditions::read(&self.headers, storing);
        read.map_err(|detail| Box::new(self.data_refused(Problem::InvalidArgument, detail)))
    }

    /// The value that was sent.
    async fn data_value(&self, body: Body) -> Result<DataValue, Refusal> {
        let too_large = || format!("a value is at most {MAX_VALUE} bytes of JSON");
        // It is judged as it is stored, without spaces.
        let sent = read_json(&self.headers, body, MAX_BODY).await.map_err(|error| {
            let detail = match error {
                FormError::TooLarge => too_large(),
                FormError::OtherType => "a value must be sent as application/json".to_owned(),
                FormError::Json => "the value is no JSON".to_owned(),
                _ => "the value did not arrive in time".to_owned(),
            };
            let problem =
                if error == FormError::TooLarge { Problem::RequestTooLarge } else { Problem::InvalidArgument };
            Box::new(self.data_problem(problem.answer_as(error.status(), &detail)))
        })?;
        DataValue::new(sent).map_err(|problem| {
            Box::new(match problem {
                BadValue::TooLarge => self.data_refused(Problem::RequestTooLarge, &too_large()),
                _ => self.data_refused(Problem::InvalidArgument, &format!("value: {problem}")),
            })
        })
    }

    /// The session behind the browser's cookie, be it a user's or a guest's. It is in use.
    async fn data_caller(&self) -> Result<Option<Caller>, Refusal> {
        let session = self.any_session().await.map_err(|error| Box::new(self.data_failed(&error)))?;
        let browser = &self.state.service.browser;
        Ok(session
            .map(|session| Caller { keeper: browser.data_caller(&session), session: browser.data_session(&session) }))
    }

    /// The same or, without a session, a guest who is born now, with the cookies. Only in a browser that keeps cookies:
    /// for any other, each request would make another guest.
    async fn data_caller_or_guest(&self, wanted: &Wanted) -> Result<(Caller, Option<Arc<NewGuest>>), Refusal> {
        if let Some(caller) = self.data_caller().await? {
            return Ok((caller, None));
        }
        let browser = &self.state.service.browser;
        if self.has_replaced_session() || !browser.has_guests(&self.client) {
            return Err(Box::new(self.nobody_to_change_data()));
        }
        if self.has_just_signed_out().await? {
            return Err(Box::new(self.no_data_session()));
        }
        if wanted.needs_value() {
            // A guest who comes now has none.
            let detail = Error::VersionMismatch { current: None }.to_string();
            return Err(Box::new(self.data_refused(Problem::VersionMismatch, &detail)));
        }
        let Some(visitor) = self.visitor_id() else {
            let detail = "this browser had no visitor's cookie; it has one now, send the request again";
            let mut response = self.data_refused(Problem::VisitorUnknown, detail);
            self.add_cookies(&mut response);
            return Err(Box::new(response));
        };
        match &*browser.begin_guest(&self.ctx, (&self.client, &self.site), visitor).await {
            Ok(guest) => {
                let session = browser.data_session(&guest.session);
                Ok((Caller { keeper: browser.data_caller_of(guest), session }, Some(guest.clone())))
            }
            // Somebody has just signed in there.
            Err(Error::Conflict) => Err(Box::new(self.session_replaced())),
            Err(error) => Err(Box::new(self.data_failed(error))),
        }
    }

    /// Whether the session of the cookie has ended a moment ago. What was on its way belongs to its user, and must not be left
    /// to whoever uses the browser next.
    async fn has_just_signed_out(&self) -> Result<bool, Refusal> {
        let Some(cookie) = self.cookies.session().filter(|_| self.has_dead_session()) else { return Ok(false) };
        let ended = self.state.service.browser.just_ended(cookie, &self.site, self.ctx.now).await;
        ended.map(|ended| ended.is_some()).map_err(|error| Box::new(self.data_failed(&error)))
    }

    /// A value, unless the script has it.
    fn value(&self, stored: &StoredData, tags: &Tags) -> Response {
        let mut response = if conditions::has(&self.headers, tags, stored.version) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Body::from(stored.value.as_json().to_owned()).into_response()
        };
        headers::json(&mut response, &self.site);
        add_tag(&mut response, tags.tag(stored.version));
        self.add_cookies(&mut response);
        response
    }

    /// It is done, and there is nothing more to say.
    fn stored(&self, status: StatusCode, tag: Option<String>) -> Response {
        let mut response = status.into_response();
        headers::json(&mut response, &self.site);
        response.headers_mut().remove(header::CONTENT_TYPE);
        if let Some(tag) = tag {
            add_tag(&mut response, tag);
        }
        self.add_cookies(&mut response);
        response
    }

    fn no_data_session(&self) -> Response {
        self.data_refused(Problem::NoSession, "nobody is signed in; sign in first")
    }

    /// The same for whoever wants to change something, and would be another caller with the cookie that replaces theirs.
    fn nobody_to_change_data(&self) -> Response {
        if self.has_replaced_session() { self.session_replaced() } else { self.no_data_session() }
    }

    fn session_replaced(&self) -> Response {
        self.data_refused(
            Problem::SessionReplaced,
            "another session has just replaced this one; send the request again",
        )
    }

    /// The answer to an error, with the tag of what is stored.
    fn no_data(&self, error: &Error, tags: &Tags) -> Response {
        let mut response = self.data_failed(error);
        if let Error::VersionMismatch { current: Some(version) } = error {
            add_tag(&mut response, tags.tag(*version));
        }
        response
    }

    fn data_failed(&self, error: &Error) -> Response {
        match error {
            Error::TokenRevoked | Error::Denied(Reason::ClientNotAllowed, _) => self.no_data_session(),
            Error::VersionMismatch { .. } => self.data_refused(Problem::VersionMismatch, &error.to_string()),
            Error::Precondition(text) => self.data_refused(Problem::TooManyValues, text),
            Error::TooManyAttempts { .. } => {
                let response = self.data_refused(Problem::TooManyAttempts, &error.to_string());
                with_retry_after(response, retry_after(error))
            }
            Error::Conflict => self.data_refused(Problem::Unavailable, &error.to_string()),
            _ => {
                let (problem, detail) = Problem::of(error);
                if matches!(problem, Problem::Internal | Problem::Unavailable) {
                    tracing::error!(request_id = %self.ctx.request_id, cause = ?error, "data cannot be read or stored");
                }
                self.data_refused(problem, &detail)
            }
        }
    }

    /// A refusal. A cookie that stands for no session is taken away with it.
    fn data_refused(&self, problem: Problem, detail: &str) -> Response {
        super::session::refused(self, problem, detail)
    }

    fn data_problem(&self, mut response: Response) -> Response {
        headers::problem(&mut response, &self.site);
        response
    }
}
