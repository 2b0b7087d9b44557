//! The lifetimes of a client's tokens and sessions: how long a token is valid, how long a session may be idle, and how
//! long it may last. None is longer than the next.

use crate::{
    domain::client::ClientConfig,
    error::Violations,
    time::{Timestamp, Ttl},
};

/// The three lifetimes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes<T> {
    pub(super) token: T,
    pub(super) idle: T,
    pub(super) absolute: T,
}

/// The lifetimes of a new client. Those that are not given fit those that are.
pub(super) fn new_lifetimes(
    violations: &mut Violations,
    asked: Lifetimes<Option<i64>>,
    ceiling: Ttl,
) -> Lifetimes<Ttl> {
    let given = |seconds: Option<i64>| seconds.map(Ttl::from_secs);
    let absolute = given(asked.absolute);
    let idle = given(asked.idle).unwrap_or_else(|| ClientConfig::SESSION_IDLE.min(absolute.unwrap_or(Ttl::MAX)));
    let lifetimes = Lifetimes {
        token: given(asked.token).unwrap_or(ClientConfig::TOKEN_LIFETIME.min(ceiling).min(idle.max(SECOND))),
        idle,
        absolute: absolute.unwrap_or(ClientConfig::SESSION_ABSOLUTE.max(idle)),
    };
    check(violations, asked, lifetimes, ceiling);
    lifetimes
}

/// Changes the lifetimes that are given.
pub(super) fn change_lifetimes(
    violations: &mut Violations,
    asked: Lifetimes<Option<i64>>,
    config: &mut ClientConfig,
    (ceiling, now): (Ttl, Timestamp),
) {
    let lifetimes = Lifetimes {
        token: asked.token.map_or(config.token_lifetime, Ttl::from_secs),
        idle: asked.idle.map_or(config.session_idle, Ttl::from_secs),
        absolute: asked.absolute.map_or(config.session_absolute, Ttl::from_secs),
    };
    check(violations, asked, lifetimes, ceiling);
    config.set_token_lifetime(lifetimes.token, now);
    (config.session_idle, config.session_absolute) = (lifetimes.idle, lifetimes.absolute);
}

/// The shortest lifetime.
const SECOND: Ttl = Ttl::from_secs(1);

/// Checks those that are given, by themselves and beside the others.
fn check(violations: &mut Violations, asked: Lifetimes<Option<i64>>, all: Lifetimes<Ttl>, ceiling: Ttl) {
    let mut ok = true;
    for (field, given, value, most) in [
        ("token_lifetime", asked.token, all.token, ceiling),
        ("session_idle", asked.idle, all.idle, ClientConfig::MAX_SESSION),
        ("session_absolute", asked.absolute, all.absolute, ClientConfig::MAX_SESSION),
    ] {
        if given.is_some() && (value < SECOND || value > most) {
            violations.add(field, format!("must be 1 to {} seconds", most.seconds()));
            ok = false;
        }
    }
    if !ok {
        return;
    }
    let seconds = |ttl: Ttl| ttl.seconds();
    if all.idle < all.token && asked.idle.is_some() {
        violations
            .add("session_idle", format!("must not be less than the lifetime of a token, {} s", seconds(all.token)));
    } else if all.idle < all.token && asked.token.is_some() {
        let text = format!("must not be more than a session may be idle, {} s", seconds(all.idle));
        violations.add("token_lifetime", text);
    }
    if all.absolute < all.idle && asked.absolute.is_some() {
        let text = format!("must not be less than a session may be idle, {} s", seconds(all.idle));
        violations.add("session_absolute", text);
    } else if all.absolute < all.idle && asked.idle.is_some() {
        violations
            .add("session_idle", format!("must not be more than a session may last, {} s", seconds(all.absolute)));
    }
}
