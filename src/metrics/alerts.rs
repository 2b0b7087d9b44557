//! What an operator is to be told of, and what to do then. docs/reference/metrics.md and the rules for Prometheus are
//! written from this.

/// One alert.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// The metric that it is about, without the ending that its kind adds.
    pub metric: &'static str,
    /// When it fires, in `PromQL`.
    pub expr: &'static str,
    /// For how long that has to hold.
    pub hold: &'static str,
    /// `page` if somebody has to get up, `ticket` if it can wait until the morning.
    pub severity: &'static str,
    /// What to do.
    pub action: &'static str,
}

/// Every alert.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "ChanceryGone",
        metric: "chancery_ready",
        expr: "absent(chancery_ready)",
        hold: "2m",
        severity: "page",
        action: "No server is there to be asked: none runs, or its telemetry listener is not reached. Prometheus' own `up` says which of several is missing.",
    },
    Alert {
        name: "ChanceryNotReady",
        metric: "chancery_ready",
        expr: "chancery_ready == 0",
        hold: "1m",
        severity: "page",
        action: "`/readyz` says why. If the database is away or takes no changes, mend that; tokens go on being verified meanwhile.",
    },
    Alert {
        name: "ChanceryErrors",
        metric: "chancery_rpcs",
        expr: "sum(rate(chancery_rpcs_total{code=~\"Unavailable|Internal|Unknown\"}[5m])) > 0.01 * sum(rate(chancery_rpcs_total[5m]))",
        hold: "5m",
        severity: "page",
        action: "The label `reason` says of what kind they are, the log has the cause under the request's id. `chancery doctor` looks at the database.",
    },
    Alert {
        name: "ChanceryRefreshTokensReused",
        metric: "chancery_rpcs",
        expr: "sum(increase(chancery_rpcs_total{reason=\"REFRESH_TOKEN_REUSED\"}[1h])) > 10",
        hold: "0m",
        severity: "ticket",
        action: "Tokens are stolen, or an application keeps two copies of one. The audit event `REFRESH_TOKEN_REUSED` names sessions and clients.",
    },
    Alert {
        name: "ChancerySlow",
        metric: "chancery_rpc_seconds",
        expr: "histogram_quantile(0.99, sum by (le) (rate(chancery_rpc_seconds_bucket{method=~\".*Refresh\"}[5m]))) > 0.25",
        hold: "10m",
        severity: "ticket",
        action: "Look at the time that the database takes for a commit, then at the CPU. More replicas help the CPU alone.",
    },
    Alert {
        name: "ChanceryFallsBehind",
        metric: "chancery_feed_age_seconds",
        expr: "chancery_feed_age_seconds > 3",
        hold: "30s",
        severity: "page",
        action: "The process does not reach its database: after 10 s it stops signing. Look at the network between them and at the number of connections.",
    },
    Alert {
        name: "ChanceryWritesWait",
        metric: "chancery_writes_waiting",
        expr: "chancery_writes_waiting > 1000",
        hold: "1m",
        severity: "page",
        action: "The database commits more slowly than sessions change. Look at its disk; PostgreSQL's `pg_stat_activity` names what it waits for.",
    },
    Alert {
        name: "ChanceryConnectionsUsedUp",
        metric: "chancery_database_connections",
        expr: "chancery_database_connections{state=\"used\"} >= on(instance) chancery_database_connections{state=\"most\"}",
        hold: "5m",
        severity: "ticket",
        action: "Calls wait for a connection. Look for slow statements first, then raise `database_connections` and PostgreSQL's `max_connections`.",
    },
    Alert {
        name: "ChanceryVersionsDiffer",
        metric: "chancery_build_info",
        expr: "count(count by (version) (chancery_build_info)) > 1",
        hold: "1h",
        severity: "ticket",
        action: "An upgrade was left half done. Finish it, or go back: one release reads what the one before writes, not two.",
    },
    Alert {
        name: "ChanceryKeyNotRotated",
        metric: "chancery_signing_key_rotates",
        expr: "time() - min by (alg) (chancery_signing_key_rotates) > 86400",
        hold: "10m",
        severity: "ticket",
        action: "Rotation happens by itself and has not. The log says why (`cannot rotate signing keys`); `chancery keys list` shows the keys.",
    },
    Alert {
        name: "ChanceryCertificateExpires",
        metric: "chancery_tls_certificate_due",
        expr: "time() > chancery_tls_certificate_due",
        hold: "1h",
        severity: "page",
        action: "Whoever renews the certificate has not. Replace its files: they are read again by themselves.",
    },
    Alert {
        name: "ChanceryCertificateFilesUnusable",
        metric: "chancery_tls_files_unusable",
        expr: "chancery_tls_files_unusable == 1",
        hold: "10m",
        severity: "page",
        action: "The last certificate stays in use until it expires. The log names the file and what is wrong with it.",
    },
    Alert {
        name: "ChanceryHandshakesFail",
        metric: "chancery_tls_handshakes",
        expr: "sum by (listener) (rate(chancery_tls_handshakes_total{result=\"failed\"}[5m])) > sum by (listener) (rate(chancery_tls_handshakes_total{result=\"done\"}[5m]))",
        hold: "15m",
        severity: "ticket",
        action: "Clients do not trust the certificate, present none of the authority that is named, or speak without TLS. `chancery=debug,chancery_guard=debug` logs each.",
    },
    Alert {
        name: "ChanceryHashingFull",
        metric: "chancery_hashing_refused",
        expr: "sum(rate(chancery_hashing_refused_total{cause=\"queue_full\"}[5m])) > 1",
        hold: "10m",
        severity: "ticket",
        action: "More people sign in than passwords can be hashed, or somebody guesses. Everything but sign-ins is unharmed. More cores, or replicas, if they are people.",
    },
    Alert {
        name: "ChanceryUnusableHashes",
        metric: "chancery_hashing_unusable_hashes",
        expr: "increase(chancery_hashing_unusable_hashes_total[1h]) > 0",
        hold: "0m",
        severity: "ticket",
        action: "Imported hashes cannot be checked, and their users are told that the password is wrong. The log names the kind of hash.",
    },
    Alert {
        name: "ChanceryGuessing",
        metric: "chancery_guesses_failed",
        expr: "sum(rate(chancery_guesses_failed_total[5m])) > 10",
        hold: "15m",
        severity: "ticket",
        action: "Somebody tries passwords. Limits hold, and owners on known devices are not locked out; the audit event `ACCOUNT_THROTTLED` names accounts.",
    },
    Alert {
        name: "ChanceryMailsWait",
        metric: "chancery_mails_waiting",
        expr: "max(chancery_mails_waiting) > 100",
        hold: "15m",
        severity: "page",
        action: "Mails for verification and passwords do not leave. `chancery_mails_failed_total` and the log say why; `chancery doctor` tries the mail server.",
    },
    Alert {
        name: "ChanceryMailsDropped",
        metric: "chancery_mails_dropped",
        expr: "sum(chancery_mails_dropped_total) > (sum(chancery_mails_dropped_total offset 1h) or vector(0))",
        hold: "0m",
        severity: "ticket",
        action: "Mails were given up. The label says why: refused by the mail server, or too old after an outage.",
    },
    Alert {
        name: "ChanceryTokensTooLarge",
        metric: "chancery_access_tokens_too_large",
        expr: "increase(chancery_access_tokens_too_large_total[1h]) > 0",
        hold: "0m",
        severity: "ticket",
        action: "Somebody has more roles, permissions or claims than fit a token, and gets none. The audit names the change that did it.",
    },
];
