use super::*;
use crate::{
    error::{Error, Reason},
    grpc::status::code,
    time::{Timestamp, Ttl},
};

fn errors() -> Errors {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    Errors::of(&pool, &Comments::of(&pool))
}

#[test]
fn every_reason_has_an_http_status() {
    let errors = errors();
    for reason in Reason::ALL {
        assert!(!errors.connect_codes(reason.as_str()).is_empty(), "{reason:?}");
    }
}

#[test]
fn g03_the_code_in_the_comment_of_a_reason_is_that_of_its_errors() {
    let after = Ttl::from_millis(50);
    let at = Timestamp::from_millis(0);
    let all = [
        Error::invalid("login", "must not be empty"),
        Error::Unauthenticated(Reason::InvalidCredentials),
        Error::Unauthenticated(Reason::CodeInvalid),
        Error::Unauthenticated(Reason::ClientAuthenticationFailed),
        Error::Unauthenticated(Reason::RefreshTokenInvalid),
        Error::Unauthenticated(Reason::RefreshTokenSuperseded),
        Error::Unauthenticated(Reason::SessionExpired),
        Error::Unauthenticated(Reason::SignInTooOld),
        Error::TokenRevoked,
        Error::Reused { session: String::new(), rotated_at: at },
        Error::Ended { cause: "logout" },
        Error::Denied(Reason::ClientNotAllowed, String::new()),
        Error::Lacks("keys.read"),
        Error::TooSlow,
        Error::NotFound("user", String::new()),
        Error::Exists("user", String::new()),
        Error::Precondition(String::new()),
        Error::Needs(Reason::NewPasswordRequired),
        Error::Needs(Reason::OwnTokenRequired),
        Error::Changed,
        Error::Conflict,
        Error::Throttled { after },
        Error::SignInInProgress { after },
        Error::TooManyAttempts { after, by: "account", closed: false },
        Error::RateLimited { after },
        Error::DeadlineExceeded,
        Error::Unavailable("private".into()),
        Error::Internal("private".into()),
    ];
    let errors = errors();
    for error in &all {
        let reason = error.reason().as_str();
        // `InvalidArgument` is `invalid_argument` in Connect.
        let spelled: String = format!("{:?}", code(error));
        let same = |connect: &str| connect.replace('_', "").eq_ignore_ascii_case(&spelled);
        let said = errors.connect_codes(reason);
        assert!(said.len() == 1 && same(said[0]), "{reason}: {said:?}, not {spelled}");
    }
}

#[test]
fn what_numbers_of_javascript_do_not_hold_is_text() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let comments = Comments::of(&pool);
    let mut schemas = Schemas::new(&pool, &comments);
    // The only message with 64 bits is one of a stream.
    let imported = pool.get_message_by_name("chancery.v1.ImportUsersResponse").unwrap();
    assert_eq!(schemas.message(&imported), json!({ "$ref": "#/components/schemas/ImportUsersResponse" }));
    let all = schemas.into_components();
    let wide: Vec<_> = all["ImportUsersResponse"]["properties"]
        .as_object()
        .unwrap()
        .values()
        .filter(|p| p["format"] == "int64")
        .collect();
    assert!(!wide.is_empty() && wide.iter().all(|p| p["type"] == "string"), "{all:?}");
}
