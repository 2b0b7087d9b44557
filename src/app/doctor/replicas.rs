//! The servers that run on the database.

use std::collections::BTreeMap;

use super::{super::database::explain, Finding};
use crate::{domain::process::named, service::Service};

pub(super) async fn examine(service: &Service) -> Finding {
    let running = match service.presence.running().await {
        Ok(running) => running,
        Err(error) => return Finding::problem("replicas", explain(&error).to_string()),
    };
    let mut hosts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for process in &running {
        hosts.entry(&process.version).or_default().push(process.host.clone());
    }
    let said: Vec<_> = hosts.iter().map(|(version, hosts)| format!("{version} on {}", named(hosts))).collect();
    let said = said.join("; ");
    match hosts.len() {
        0 => Finding::warning("replicas", "no server has said lately that it runs on this database"),
        1 => Finding::good("replicas", format!("{} run, all of one version: {said}", running.len())),
        _ => Finding::warning(
            "replicas",
            format!("servers of different versions run: {said}; finish the upgrade, or go back"),
        ),
    }
}
