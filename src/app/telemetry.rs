//! Logs.

use anyhow::Context;
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::config::LogFormat;

/// Libraries that log payloads. They never log below INFO, whatever the filter says.
const PAYLOAD_LOGGERS: [&str; 9] = ["h2", "hyper", "hyper_util", "rustls", "sqlx", "tonic", "tower", "reqwest", "axum"];

/// Starts logging to standard error.
///
/// # Errors
/// If `filter` is not a valid filter.
pub fn init(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let parsed = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(filter);
    let filter = parsed.with_context(|| format!("log: {filter:?} is not a filter such as info or chancery=debug"))?;
    let quiet = tracing_subscriber::filter::filter_fn(|meta| {
        let root = meta.target().split("::").next().unwrap_or_default();
        !PAYLOAD_LOGGERS.contains(&root) || *meta.level() <= tracing::Level::INFO
    });
    let text = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => text.with_ansi(false).boxed(),
        LogFormat::Json => text.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(quiet).with_filter(filter)).init();
    Ok(())
}
