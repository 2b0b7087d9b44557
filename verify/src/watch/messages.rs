//! The messages of `chancery.v1` that a watcher needs. They are written by hand, so that users of this crate
//! need no Protocol Buffers compiler. The server's tests compare the field numbers with the `.proto` files.

use prost_types::{Duration, Timestamp};

/// `WatchRevocationsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchRevocationsRequest {
    #[prost(string, tag = "1")]
    pub(super) cursor: String,
}

/// `WatchRevocationsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchRevocationsResponse {
    #[prost(string, tag = "1")]
    pub(super) cursor: String,
    #[prost(oneof = "Event", tags = "2, 3, 4")]
    pub(super) event: Option<Event>,
}

/// The event in a response.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Event {
    #[prost(message, tag = "2")]
    Snapshot(Snapshot),
    #[prost(message, tag = "3")]
    Revocation(Revocation),
    #[prost(message, tag = "4")]
    Heartbeat(Heartbeat),
}

/// `Snapshot`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Snapshot {
    #[prost(message, repeated, tag = "1")]
    pub(super) revocations: Vec<Revocation>,
    #[prost(bool, tag = "2")]
    pub(super) partial: bool,
}

/// `Revocation`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Revocation {
    #[prost(oneof = "Subject", tags = "1, 2, 3, 4")]
    pub(super) subject: Option<Subject>,
    #[prost(message, optional, tag = "6")]
    pub(super) expire_time: Option<Timestamp>,
}

/// The subject of a revocation.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Subject {
    #[prost(string, tag = "1")]
    Session(String),
    #[prost(string, tag = "2")]
    DisabledClient(String),
    #[prost(string, tag = "3")]
    EnabledClient(String),
    #[prost(string, tag = "4")]
    Key(String),
}

/// `Heartbeat`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Heartbeat {
    #[prost(message, optional, tag = "1")]
    pub(super) server_time: Option<Timestamp>,
}

/// `WatchJwksRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchJwksRequest {}

/// `WatchJwksResponse`, only the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchJwksResponse {
    #[prost(string, tag = "1")]
    pub(super) jwks_json: String,
    #[prost(message, optional, tag = "3")]
    pub(super) max_age: Option<Duration>,
}

/// The timestamp in milliseconds since the Unix epoch.
pub(super) fn millis(time: Option<&Timestamp>) -> Option<i64> {
    let time = time?;
    time.seconds.checked_mul(1000)?.checked_add(i64::from(time.nanos) / 1_000_000)
}
