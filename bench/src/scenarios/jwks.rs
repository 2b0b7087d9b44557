//! Measures the key set over HTTP/1.1.

use super::Bench;
use crate::{
    args::Engine,
    page::{self, Page},
    report::{Goal, Row},
};

/// The path of the key set.
pub(super) const PATH: &str = "/.well-known/jwks.json";

/// Compares it with a bare page with the same headers and body.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let server = deployment.serve().await?;
    let page = Page::of(&server.http, PATH).await?;
    let mut row = Row::new("JWKS over HTTP/1.1", "/s").against("bare page").goal(Goal::AtLeast(0.8));
    row.note(format!("{} bytes", page.size()));
    for _ in 0..bench.run.runs {
        let bare = page::measure(&bench.tools, &page, bench.run.tasks, bench.window()).await?;
        let measured = page::request_page(&server.http, PATH, bench.run.tasks, server.id(), bench.window()).await?;
        row.add_compared(measured.rate(), bare.rate());
        row.detail(measured);
        row.ceiling_run(bare);
    }
    bench.report.add(row);
    Ok(())
}
