//! Variables that Kubernetes sets for every service in the namespace of a pod. Those of a service named `chancery`, or
//! `chancery-grpc`, begin as the settings do, but nobody has set them.

use std::{ffi::OsStr, net::IpAddr};

/// Whether a variable, without the prefix of the settings, is one of a service by its name and its value. A setting
/// that somebody meant has another value: `CHANCERY_PORT=8080` remains an error.
pub(super) fn is_service_link(name: &str, value: &OsStr) -> bool {
    let Some(value) = value.to_str() else { return false };
    let words: Vec<&str> = name.split('_').collect();
    // A service's name may have any of these words in it.
    (0..words.len()).any(|at| words.get(at..).is_some_and(|rest| fits(rest, value)))
}

fn fits(rest: &[&str], value: &str) -> bool {
    let is_protocol = |word: &str| ["tcp", "udp", "sctp"].contains(&word);
    let is_address = value.parse::<IpAddr>().is_ok();
    let is_port = value.parse::<u16>().is_ok();
    let is_url = value.split_once("://").is_some_and(|(scheme, rest)| is_protocol(scheme) && rest.contains(':'));
    match rest {
        ["SERVICE", "HOST"] => is_address,
        // A name of the port may follow.
        ["SERVICE", "PORT", ..] => is_port,
        ["PORT"] => is_url,
        ["PORT", number, protocol, more @ ..]
            if number.parse::<u16>().is_ok() && is_protocol(&protocol.to_lowercase()) =>
        {
            match more {
                [] => is_url,
                ["PROTO"] => is_protocol(value),
                ["PORT"] => is_port,
                ["ADDR"] => is_address,
                _ => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::sections;

    /// What Kubernetes sets for a service, in the order of `kubectl exec … env`.
    const LINKS: [(&str, &str); 10] = [
        ("SERVICE_HOST", "10.0.171.239"),
        ("SERVICE_PORT", "50051"),
        ("SERVICE_PORT_GRPC", "50051"),
        ("SERVICE_PORT_HTTP_METRICS", "9464"),
        ("PORT", "tcp://10.0.171.239:50051"),
        ("PORT_50051_TCP", "tcp://[fd00::1]:50051"),
        ("PORT_50051_TCP_PROTO", "tcp"),
        ("PORT_50051_TCP_PORT", "50051"),
        ("PORT_50051_TCP_ADDR", "fd00::1"),
        ("PORT_53_UDP", "udp://10.0.171.239:53"),
    ];

    #[test]
    fn variables_of_services_are_told_from_settings() {
        for service in ["", "GRPC_", "HTTP_", "MAX_CONNECTIONS_", "GUARD_SERVICE_HOST_"] {
            for (name, value) in LINKS {
                assert!(is_service_link(&format!("{service}{name}"), value.as_ref()), "{service}{name}={value}");
            }
        }
        for (name, value) in [
            ("PORT", "8080"),
            ("PORT", "http://10.0.0.1:80"),
            ("PORTS", "tcp://10.0.0.1:80"),
            ("GRPC_PORT", "50051"),
            ("SERVICE_HOST", "id.example.com"),
            ("SERVICE_PORT", "grpc"),
            ("SERVICE", "10.0.0.1"),
            ("HOST", "10.0.0.1"),
            ("PORT_50051_TCP_ADRR", "10.0.0.1"),
            ("PORT_X_TCP_ADDR", "10.0.0.1"),
            ("", ""),
        ] {
            assert!(!is_service_link(name, value.as_ref()), "{name}={value}");
        }
    }

    #[test]
    fn no_setting_has_the_name_of_such_a_variable() {
        for key in sections().into_iter().flat_map(|(_, keys)| keys) {
            for (_, value) in LINKS {
                assert!(!is_service_link(&key.name.to_uppercase(), value.as_ref()), "{}", key.name);
            }
        }
    }
}
