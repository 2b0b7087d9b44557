//! The settings that all servers on one database share: a table with one row for each.

use serde_json::json;

use super::InstanceSettings;
use crate::{
    domain::{audit::AuditKind, feed::ChangeKind, settings::Settings},
    error::{Error, Result},
    service::access::Admin,
    time::{Timestamp, Ttl},
};

/// The unit of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingUnit {
    /// A length of time, counted in seconds.
    Time,
    /// A number.
    Number,
}

impl SettingUnit {
    /// A value as people read it: `5m`, or a number.
    #[must_use]
    pub fn text(self, value: i64) -> String {
        match self {
            Self::Time => Ttl::from_secs(value).in_units(),
            Self::Number => value.to_string(),
        }
    }
}

/// A setting with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its unit.
    pub unit: SettingUnit,
    /// Its value.
    pub value: i64,
    /// The value that it has in a new database.
    pub default: i64,
    /// The smallest value that can be set.
    pub least: i64,
    /// The largest value that can be set.
    pub most: i64,
}

struct Row {
    name: &'static str,
    about: &'static str,
    unit: SettingUnit,
    least: i64,
    most: i64,
    /// Values lie this far apart.
    step: i64,
    get: fn(&Settings) -> i64,
    set: fn(&mut Settings, i64, Timestamp),
}

impl Row {
    const fn time(
        (name, about): (&'static str, &'static str),
        (least, most): (i64, i64),
        get: fn(&Settings) -> i64,
        set: fn(&mut Settings, i64, Timestamp),
    ) -> Self {
        Self { name, about, unit: SettingUnit::Time, least, most, step: 1, get, set }
    }

    const fn number(
        (name, about): (&'static str, &'static str),
        (least, most): (i64, i64),
        get: fn(&Settings) -> i64,
        set: fn(&mut Settings, i64, Timestamp),
    ) -> Self {
        Self { name, about, unit: SettingUnit::Number, least, most, step: 1, get, set }
    }

    fn setting(&self, settings: &Settings) -> Setting {
        Setting {
            name: self.name,
            about: self.about,
            unit: self.unit,
            value: (self.get)(settings),
            default: (self.get)(&Settings::default()),
            least: self.least,
            most: self.most,
        }
    }

    /// Parses a value: a number, or a length of time.
    fn parse(&self, text: &str) -> Result<i64> {
        let value = match self.unit {
            SettingUnit::Time => text.parse::<Ttl>().ok().map(Ttl::seconds),
            SettingUnit::Number => text.parse().ok(),
        };
        let good = value.filter(|n| (self.least..=self.most).contains(n) && (n - self.least) % self.step == 0);
        good.ok_or_else(|| {
            let (least, most) = (self.unit.text(self.least), self.unit.text(self.most));
            let steps = if self.step == 1 { String::new() } else { format!(" in steps of {}", self.step) };
            Error::invalid("value", format!("must be {least} to {most}{steps}"))
        })
    }
}

/// Every setting.
const SETTINGS: [Row; 24] = [
    Row::time(
        ("access_token_lifetime_ceiling", "longest lifetime of an access token"),
        (60, 86_400),
        |s| s.access_token_lifetime_ceiling.seconds(),
        |s, n, now| {
            if s.access_token_lifetime_ceiling == Ttl::from_secs(n) {
                // Set again, it must not forget that it was raised or lowered a moment ago.
                return;
            }
            // After several changes in short order, waits use the largest ceiling.
            s.previous_ceiling = Some((s.waiting_ceiling(now), now));
            s.access_token_lifetime_ceiling = Ttl::from_secs(n);
        },
    ),
    Row::time(
        ("refresh_grace", "how long an exchanged refresh token still yields the same successor"),
        (0, 60),
        |s| s.refresh_grace.seconds(),
        |s, n, _| s.refresh_grace = Ttl::from_secs(n),
    ),
    Row::time(
        ("rotation_period", "how often signing keys are rotated"),
        (3600, 31_536_000),
        |s| s.rotation_period.seconds(),
        |s, n, _| s.rotation_period = Ttl::from_secs(n),
    ),
    Row::number(
        (
            "sessions_per_user",
            "live sessions of a user, and twice as many that these have opened; beyond it, the oldest ends",
        ),
        (1, 1000),
        |s| s.sessions_per_user,
        |s, n, _| s.sessions_per_user = n,
    ),
    Row::time(
        ("confirm_within", "how long a server that is cut off from the database goes on signing"),
        (1, 60),
        |s| s.confirm_within.seconds(),
        |s, n, _| s.confirm_within = Ttl::from_secs(n),
    ),
    Row {
        step: 1024,
        ..Row::number(
            ("rsa_bits", "size of new RSA keys, in bits"),
            (2048, 4096),
            |s| s.rsa_bits,
            |s, n, _| s.rsa_bits = n,
        )
    },
    Row::number(
        ("login_failures_free", "failures of an account before waits begin"),
        (0, 20),
        |s| s.limits.login_failures_free,
        |s, n, _| s.limits.login_failures_free = n,
    ),
    // NIST SP 800-63B-4 §3.2.2 allows no more than 100.
    Row::number(
        ("login_failures_most", "failures in a row after which unknown devices are refused"),
        (10, 100),
        |s| s.limits.login_failures_most,
        |s, n, _| s.limits.login_failures_most = n,
    ),
    Row::time(
        ("login_wait_most", "longest wait after failures"),
        (1, 86_400),
        |s| s.limits.login_wait_most.seconds(),
        |s, n, _| s.limits.login_wait_most = Ttl::from_secs(n),
    ),
    Row::number(
        ("address_failures", "failures from one address at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.address_failures,
        |s, n, _| s.limits.address_failures = n,
    ),
    Row::number(
        ("address_failures_per_hour", "failures from one address in the long run"),
        (1, 3_600_000),
        |s| s.limits.address_failures_per_hour,
        |s, n, _| s.limits.address_failures_per_hour = n,
    ),
    Row::number(
        ("network_failures", "failures from one network at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.network_failures,
        |s, n, _| s.limits.network_failures = n,
    ),
    Row::number(
        ("network_failures_per_hour", "failures from one network in the long run"),
        (1, 3_600_000),
        |s| s.limits.network_failures_per_hour,
        |s, n, _| s.limits.network_failures_per_hour = n,
    ),
    Row::number(
        ("address_guests", "new guests from one address at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.address_guests,
        |s, n, _| s.limits.address_guests = n,
    ),
    Row::number(
        ("address_guests_per_hour", "new guests from one address in the long run"),
        (1, 3_600_000),
        |s| s.limits.address_guests_per_hour,
        |s, n, _| s.limits.address_guests_per_hour = n,
    ),
    Row::number(
        ("network_guests", "new guests from one network at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.network_guests,
        |s, n, _| s.limits.network_guests = n,
    ),
    Row::number(
        ("network_guests_per_hour", "new guests from one network in the long run"),
        (1, 3_600_000),
        |s| s.limits.network_guests_per_hour,
        |s, n, _| s.limits.network_guests_per_hour = n,
    ),
    Row::number(
        ("guests_per_client", "stored sessions of guests of one client; beyond it, there are no new ones"),
        (0, 10_000_000),
        |s| s.limits.guests_per_client,
        |s, n, _| s.limits.guests_per_client = n,
    ),
    Row::number(
        ("guest_data_bytes", "bytes kept with a guest's session, and as many for the guest"),
        (16_384, 1_048_576),
        |s| s.limits.guest_data_bytes,
        |s, n, _| s.limits.guest_data_bytes = n,
    ),
    Row::number(
        ("session_writes", "changes of session data for one session at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.session_writes,
        |s, n, _| s.limits.session_writes = n,
    ),
    Row::number(
        ("session_writes_per_hour", "changes of session data for one session in the long run"),
        (1, 3_600_000),
        |s| s.limits.session_writes_per_hour,
        |s, n, _| s.limits.session_writes_per_hour = n,
    ),
    Row::number(
        ("address_guest_writes", "changes of session data by guests from one address at once; 0 for no limit"),
        (0, 100_000),
        |s| s.limits.address_guest_writes,
        |s, n, _| s.limits.address_guest_writes = n,
    ),
    Row::number(
        ("address_guest_writes_per_hour", "changes of session data by guests from one address in the long run"),
        (1, 3_600_000),
        |s| s.limits.address_guest_writes_per_hour,
        |s, n, _| s.limits.address_guest_writes_per_hour = n,
    ),
    Row::number(
        ("audit_retention_days", "days for which audit events are kept; 0 for ever"),
        (0, 36_500),
        |s| s.audit_retention_days,
        |s, n, _| s.audit_retention_days = n,
    ),
];

impl Setting {
    /// A setting with the value that a text has for it.
    ///
    /// # Errors
    /// A violation of `name`, which names all settings, or of `value`, which names the range.
    pub fn read(name: &str, text: &str) -> Result<Self> {
        let row = row(name)?;
        let value = row.parse(text)?;
        Ok(Self { value, ..row.setting(&Settings::default()) })
    }
}

impl InstanceSettings {
    /// Every setting with its value.
    #[must_use]
    pub fn list(&self, _: &Admin) -> Vec<Setting> {
        let snapshot = self.live.snapshot();
        SETTINGS.iter().map(|row| row.setting(&snapshot.settings)).collect()
    }

    /// One setting with its value.
    ///
    /// # Errors
    /// A violation that names all settings.
    pub fn get(&self, _: &Admin, name: &str) -> Result<Setting> {
        Ok(row(name)?.setting(&self.live.snapshot().settings))
    }

    /// Changes one setting. A value that it has already changes nothing.
    ///
    /// # Errors
    /// A violation that names the setting and its range.
    pub async fn set(&self, admin: &Admin, name: &str, value: &str) -> Result<Setting> {
        let row = row(name)?;
        let n = row.parse(value)?;
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let mut settings = tx.settings_hold().await?;
        let before = settings.clone();
        (row.set)(&mut settings, n, now);
        if settings == before {
            return Ok(row.setting(&settings));
        }
        tx.settings_set(&settings).await?;
        tx.audit(now, AuditKind::SettingChanged, &admin.actor, name, json!({ "value": n })).await?;
        // Use the new settings: a new ceiling changes when entries expire.
        tx.change(settings.feed_entry(ChangeKind::Settings, name, now));
        self.live.commit(tx).await?;
        Ok(row.setting(&settings))
    }
}

fn row(name: &str) -> Result<&'static Row> {
    let found = SETTINGS.iter().find(|row| row.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = SETTINGS.iter().map(|row| row.name).collect();
        Error::invalid("name", format!("must be one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_back_what_was_set_and_changes_no_other() {
        let now = Timestamp::from_millis(1_893_456_000_000);
        for (at, row) in SETTINGS.iter().enumerate() {
            for value in [row.least, row.most] {
                let mut settings = Settings::default();
                (row.set)(&mut settings, value, now);
                for (other, another) in SETTINGS.iter().enumerate() {
                    let want = if other == at { value } else { (another.get)(&Settings::default()) };
                    assert_eq!((another.get)(&settings), want, "{} after {}", another.name, row.name);
                }
                assert_eq!(row.parse(&row.unit.text(value)).unwrap(), value, "{}", row.name);
                assert_eq!(row.parse(&value.to_string()).unwrap(), value, "{}", row.name);
            }
            let default = row.setting(&Settings::default());
            assert!(
                (row.least..=row.most).contains(&default.value) && default.value == default.default,
                "{}",
                row.name
            );
            assert!(row.parse(&(row.most + 1).to_string()).is_err() && row.parse("soon").is_err(), "{}", row.name);
        }
        assert!(row("rsa_bits").unwrap().parse("3000").is_err());
    }
}
