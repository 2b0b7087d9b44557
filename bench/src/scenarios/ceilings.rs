//! Measures the ceilings alone.

use super::Bench;
use crate::{
    args::{CeilingKind, Engine},
    page::{self, Page},
    report::Row,
};

/// Rows in a batched commit.
const BATCH: usize = 64;

/// Measures every ceiling.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    // Ceilings that do not depend on the engine are measured once.
    let first = bench.run.engines.first() == Some(&engine);
    if first {
        raw(bench).await?;
    }
    let deployment = bench.deployment(engine).await?;
    for (name, rows) in [("one by one", 1), ("64 rows each", BATCH)] {
        let mut row = Row::new(format!("durable commits, {engine:?}, {name}"), "rows/s");
        for _ in 0..bench.run.runs {
            row.add(bench.commits(&deployment, rows).await?);
        }
        bench.report.add(row);
    }
    if first {
        echo(bench).await?;
        let server = deployment.serve().await?;
        let page = Page::of(&server.http, super::jwks::PATH).await?;
        drop(server);
        let mut row = Row::new(format!("bare page, {} bytes", page.size()), "/s");
        for _ in 0..bench.run.runs {
            let measured = page::measure(&bench.tools, &page, bench.run.tasks, bench.window()).await?;
            row.add(measured.rate());
            row.detail(measured);
        }
        bench.report.add(row);
    }
    Ok(())
}

async fn raw(bench: &mut Bench) -> anyhow::Result<()> {
    for (name, kind) in [
        ("RS256 sign", CeilingKind::Rs256Sign),
        ("RS256 verify", CeilingKind::Rs256Verify),
        ("ES256 sign", CeilingKind::Es256Sign),
        ("ES256 verify", CeilingKind::Es256Verify),
        ("EdDSA sign", CeilingKind::EddsaSign),
        ("EdDSA verify", CeilingKind::EddsaVerify),
        ("Argon2id, the server's parameters", CeilingKind::Argon2id),
    ] {
        let mut row = Row::new(name, "/s");
        for _ in 0..bench.run.runs {
            row.add(bench.raw_rate(kind).await?);
        }
        bench.report.add(row);
    }
    Ok(())
}

/// Measures echoes of typical sizes; each scenario compares with an echo of its own sizes.
async fn echo(bench: &mut Bench) -> anyhow::Result<()> {
    use crate::echo::Sizes;
    for (tasks, bytes) in [(bench.run.tasks, 100), (bench.run.tasks, 700), (bench.run.chains, 700)] {
        let shape = crate::echo::Shape { tasks, ..bench.shape() };
        let mut row = Row::new(format!("bare echo, {bytes} bytes each way, {tasks} at once"), "/s");
        for _ in 0..bench.run.runs {
            let measured = bench.echo(shape, Sizes::new(bytes, bytes)).await?;
            row.add(measured.rate());
            row.detail(measured);
        }
        bench.report.add(row);
    }
    Ok(())
}
