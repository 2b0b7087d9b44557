//! The configurations in docs/guard.md, as printed, in real proxies with a real guard, a real server and a small service
//! behind. Only addresses differ.
//!
//! `scripts/proxies` installs the proxies in the target folder. A proxy that cannot be had is named in the variable
//! `CHTEST_WITHOUT_PROXIES`, and its test then says so and does nothing.

mod asked;
mod backend;
mod printed;
mod programs;
mod run;
mod stage;
mod walk;

pub(crate) use self::{asked::free_port, run::Kind};
use self::{
    stage::Stage,
    walk::{
        assert_bodies_and_large_headers_pass, assert_callers_cannot_name_themselves, assert_identity_is_passed_on,
        assert_keys_may_be_rotated, assert_late_issuer_is_503, assert_logged_out_within_a_second,
        assert_many_headers_pass, assert_nothing_passes_without_a_guard, assert_only_websockets_leave_http,
        assert_preflights_pass, assert_refusals_are_passed_on, assert_secret_may_be_rotated,
    },
};

async fn assert_works_as_printed(kind: Kind) {
    let Some(mut stage) = Stage::set(kind).await else { return };
    assert_identity_is_passed_on(&stage).await;
    assert_bodies_and_large_headers_pass(&stage).await;
    assert_refusals_are_passed_on(&stage).await;
    assert_callers_cannot_name_themselves(&stage).await;
    assert_preflights_pass(&stage).await;
    assert_only_websockets_leave_http(&stage).await;
    assert_many_headers_pass(&stage).await;
    assert_secret_may_be_rotated(&stage).await;
    assert_logged_out_within_a_second(&stage).await;
    assert_keys_may_be_rotated(&stage).await;
    assert_nothing_passes_without_a_guard(&mut stage).await;
    assert_late_issuer_is_503(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_works_as_printed() {
    assert_works_as_printed(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_works_as_printed() {
    assert_works_as_printed(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_works_as_printed() {
    assert_works_as_printed(Kind::Envoy).await;
}
