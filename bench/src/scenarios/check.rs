//! Measures the check for applications behind a proxy, the pages, and how fast a sign-out holds at another process.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use tokio::time::{Instant, sleep_until};

use super::Bench;
use crate::{
    args::Engine,
    browser::{Browser, SITE},
    deployment::{Deployment, PASSWORD},
    http1::HttpGetter,
    load::{closed_loop, open_loop},
    page::{self, Page},
    report::{Goal, Row, progress},
    stats::Latencies,
};

/// The path of the check.
const CHECK: &str = "/auth/check";
/// Pages per second that are asked for.
const PAGES: f64 = 500.0;
/// Sign-outs for each run that the flags ask for: 200 with the usual five.
const SIGN_OUTS: usize = 40;
/// How long a sign-out may take to hold elsewhere before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// Asks about the same browser over and over, and compares that with a bare page of the same headers.
pub(super) async fn run_check(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let (deployment, user) = site(bench, engine).await?;
    let server = deployment.serve_for_browsers().await?;
    let mut browser = Browser::new(&server.http);
    browser.sign_in(&user, PASSWORD).await?;
    let (check, headers) = (server.process.ready_value("check")?, browser.check_headers());
    let page = Page::of_with(check, CHECK, &headers).await?;
    let mut row = Row::new("checks of a browser in use", "/s").against("bare page").goal(Goal::AtLeast(0.6));
    row.note(format!("{} bytes of headers", page.header_size()));
    for _ in 0..bench.run.runs {
        let bare = page::measure_with(&bench.tools, &page, &headers, bench.run.tasks, bench.window()).await?;
        let getters = HttpGetter::several(bench.run.tasks, check, CHECK, &headers).await?;
        let (measured, _) = closed_loop(getters, bench.window(), server.id()).await?;
        row.add_compared(measured.rate(), bare.rate());
        row.detail(measured);
        row.ceiling_run(bare);
    }
    bench.report.add(row);
    Ok(())
}

/// Asks for the sign-in page at a fixed rate.
pub(super) async fn run_pages(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let (deployment, _) = site(bench, engine).await?;
    let server = deployment.serve_for_browsers().await?;
    let mut browser = Browser::new(&server.http);
    let path = browser.login_path().await?;
    let mut row = Row::new(format!("sign-in pages at {PAGES:.0}/s, p99"), "ms").goal(Goal::AtMost(10.0));
    for _ in 0..bench.run.runs {
        let getters = HttpGetter::several(bench.run.tasks, &server.http, &path, &browser.headers()).await?;
        let (measured, _) = open_loop(getters, PAGES, bench.window(), server.id()).await?;
        ensure!(measured.ok.count() > 0, "nothing succeeded: {:?}", measured.failed.keys().collect::<Vec<_>>());
        row.add(measured.ok.percentile(99.0));
        row.note(format!("p50 {:.2} ms, {:.0}/s", measured.ok.percentile(50.0), measured.rate()));
        row.detail(measured);
    }
    bench.report.add(row);
    Ok(())
}

/// Signs out at one process, and asks another about the browser until that knows.
pub(super) async fn run_sign_out(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let (deployment, user) = site(bench, engine).await?;
    let (here, there) = (deployment.serve_for_browsers().await?, deployment.serve_for_browsers().await?);
    let mut row = Row::new(format!("sign-out at one process to 401 at another, p99, {engine:?}"), "ms");
    row = row.goal(Goal::AtMost(200.0));
    let (mut all, rounds) = (Latencies::default(), SIGN_OUTS * bench.run.runs);
    for round in 0..rounds {
        if round % SIGN_OUTS == 0 {
            progress(&format!("  {round} of {rounds} sign-outs"));
        }
        let mut browser = Browser::new(&here.http);
        browser.sign_in(&user, PASSWORD).await?;
        let (token, headers) = (browser.sign_out_token().await?, script(browser.check_headers()));
        let mut at_other = HttpGetter::connect_with(there.process.ready_value("check")?, CHECK, &headers).await?;
        ensure!(at_other.status().await? == 200, "the other process does not know the session");
        browser.sign_out(&token).await?;
        let began = Instant::now();
        while at_other.status().await? != 401 {
            ensure!(began.elapsed() < LOST_AFTER, "a sign-out has not reached the other process");
            sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
        all.add(began.elapsed());
    }
    row.add(all.percentile(99.0));
    row.note(format!(
        "{rounds} rounds, from the answer to the sign-out; p50 {:.0} ms, max {:.0} ms",
        all.percentile(50.0),
        all.percentile(100.0)
    ));
    bench.report.add(row);
    Ok(())
}

/// The headers of a request by a script: it is answered with 401, where a page would lead to the form.
fn script(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let other = |(name, value): (String, String)| match name.as_str() {
        "sec-fetch-mode" => (name, "cors".to_owned()),
        "sec-fetch-dest" => (name, "empty".to_owned()),
        _ => (name, value),
    };
    headers.into_iter().map(other).collect()
}

/// A deployment of its own with an application that has a site, and a user.
async fn site(bench: &mut Bench, engine: Engine) -> anyhow::Result<(Arc<Deployment>, String)> {
    let deployment = Arc::new(Deployment::new(&bench.tools, &bench.run, engine).await?);
    let client = ["--public", "--first-party", "--alg", "ES256", "--scope", "read", "--site", SITE];
    deployment.create_client("bench-site", &client).await?;
    let user = "browser".to_owned();
    deployment.create_user(&user).await?;
    Ok((deployment, user))
}
