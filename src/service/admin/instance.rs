//! The settings and the issuer of the whole deployment.

mod issuer;
mod restore;

use std::{fmt, sync::Arc};

use serde_json::json;

use crate::{
    domain::{audit::AuditKind, feed::ChangeKind, limit::LimitSettings, settings::Settings},
    entropy::Entropy,
    error::{Error, Result},
    keys::SealingKey,
    service::{
        access::Admin,
        runtime::{Live, Runtime},
    },
    store::Store,
    time::Ttl,
};

/// The settings with their minimum and maximum values; durations are in seconds unless the name says otherwise.
const SETTINGS: [(&str, i64, i64); 14] = [
    ("access_token_lifetime_ceiling", 60, 86_400),
    ("refresh_grace", 0, 60),
    ("rotation_period", 3600, 31_536_000),
    ("sessions_per_user", 1, 1000),
    ("confirm_within", 1, 60),
    ("rsa_bits", 2048, 4096),
    ("login_failures_free", 0, 20),
    // NIST SP 800-63B-4 §3.2.2 allows no more than 100.
    ("login_failures_most", 10, 100),
    ("login_wait_most", 1, 86_400),
    ("address_failures", 0, 100_000),
    ("address_failures_per_hour", 1, 3_600_000),
    ("network_failures", 0, 100_000),
    ("network_failures_per_hour", 1, 3_600_000),
    ("audit_retention_days", 0, 36_500),
];

/// The deployment's settings and issuer.
pub struct InstanceSettings {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKey>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for InstanceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceSettings")
    }
}

impl InstanceSettings {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, sealing, entropy } = runtime;
        Self { store, live, sealing, entropy }
    }

    /// Changes one setting; returns all of them. A value that it has already changes nothing.
    ///
    /// # Errors
    /// A violation that names the setting and its range.
    pub async fn set(&self, admin: &Admin, name: &str, value: &str) -> Result<Settings> {
        let Some((_, least, most)) = SETTINGS.iter().find(|(n, ..)| *n == name) else {
            let names = SETTINGS.map(|(n, ..)| n).join(", ");
            return Err(Error::invalid("name", format!("must be one of {names}")));
        };
        let in_range = value.parse::<i64>().ok().filter(|n| (least..=most).contains(&n));
        let n = in_range.ok_or_else(|| Error::invalid("value", format!("must be {least} to {most}")))?;
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let mut settings = tx.settings_hold().await?;
        let before = settings.clone();
        match name {
            // Set again, it must not forget that it was raised or lowered a moment ago.
            "access_token_lifetime_ceiling" if settings.access_token_lifetime_ceiling == Ttl::from_secs(n) => {}
            "access_token_lifetime_ceiling" => {
                // After several changes in short order, waits use the largest ceiling.
                let before = settings.waiting_ceiling(now);
                settings.previous_ceiling = Some((before, now));
                settings.access_token_lifetime_ceiling = Ttl::from_secs(n);
            }
            "refresh_grace" => settings.refresh_grace = Ttl::from_secs(n),
            "rotation_period" => settings.rotation_period = Ttl::from_secs(n),
            "confirm_within" => settings.confirm_within = Ttl::from_secs(n),
            "rsa_bits" if n % 1024 != 0 => return Err(Error::invalid("value", "must be 2048, 3072 or 4096")),
            "rsa_bits" => settings.rsa_bits = n,
            "sessions_per_user" => settings.sessions_per_user = n,
            "audit_retention_days" => settings.audit_retention_days = n,
            limit => set_limit(&mut settings.limits, limit, n),
        }
        if settings == before {
            return Ok(settings);
        }
        tx.settings_set(&settings).await?;
        tx.audit(now, AuditKind::SettingChanged, &admin.actor, name, json!({ "value": n })).await?;
        // Use the new settings: a new ceiling changes when entries expire.
        tx.change(settings.feed_entry(ChangeKind::Settings, name, now));
        self.live.commit(tx).await?;
        Ok(settings)
    }
}

/// Changes one of the limits on guesses.
fn set_limit(limits: &mut LimitSettings, name: &str, n: i64) {
    match name {
        "login_failures_free" => limits.login_failures_free = n,
        "login_failures_most" => limits.login_failures_most = n,
        "login_wait_most" => limits.login_wait_most = Ttl::from_secs(n),
        "address_failures" => limits.address_failures = n,
        "address_failures_per_hour" => limits.address_failures_per_hour = n,
        "network_failures" => limits.network_failures = n,
        _ => limits.network_failures_per_hour = n,
    }
}
