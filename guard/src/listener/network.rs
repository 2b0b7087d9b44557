//! Where connections come from: an address, and the networks that contain it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The networks of an IPv6 address that are counted, by the lengths of their prefixes. The narrowest is what one customer
/// of a provider has at least; a larger customer has up to a /48, and a provider a /32.
const V6: [u32; LEVELS] = [64, 56, 48, 32];
/// The networks of an IPv4 address.
const V4: [u32; 2] = [32, 24];
const LEVELS: usize = 4;
/// How many times as many connections as one address each network may have.
const V6_TIMES: [usize; LEVELS] = [1, 2, 4, 16];
const V4_TIMES: [usize; 2] = [1, 16];

/// A network, by its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr, u32);

/// Where a connection comes from: the networks that contain its address, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source([Option<Network>; LEVELS]);

impl Source {
    /// The source of a connection. One over loopback has no networks: a proxy on this machine brings everybody's. A
    /// private address has none but itself: the networks around it are one's own.
    pub(super) fn of(peer: SocketAddr) -> Self {
        let mut networks = [None; LEVELS];
        match peer.ip().to_canonical() {
            ip if ip.is_loopback() => {}
            IpAddr::V4(ip) => {
                for (network, length) in networks.iter_mut().zip(V4) {
                    let first = ip.to_bits() >> (32 - length) << (32 - length);
                    *network = Some(Network(Ipv4Addr::from_bits(first).into(), length));
                    if ip.is_private() {
                        break;
                    }
                }
            }
            IpAddr::V6(ip) => {
                for (network, length) in networks.iter_mut().zip(V6) {
                    let first = ip.to_bits() >> (128 - length) << (128 - length);
                    *network = Some(Network(Ipv6Addr::from_bits(first).into(), length));
                    if ip.is_unique_local() {
                        break;
                    }
                }
            }
        }
        Self(networks)
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = Network> {
        self.0.into_iter().flatten()
    }
}

/// How many connections a network may have at most. A wider one may have more, but leaves half, a quarter, an eighth
/// of what one address leaves to all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    all: usize,
    per_address: usize,
}

impl Caps {
    pub(super) const fn new(all: usize, per_address: usize) -> Self {
        Self { all, per_address }
    }

    pub(super) fn of(&self, network: Network) -> usize {
        if self.per_address == 0 {
            return usize::MAX;
        }
        let (levels, times) = match network.0 {
            IpAddr::V4(_) => (&V4[..], &V4_TIMES[..]),
            IpAddr::V6(_) => (&V6[..], &V6_TIMES[..]),
        };
        let level = levels.iter().position(|length| *length == network.1).unwrap_or_default();
        let left = self.all.saturating_sub(self.per_address) >> level;
        let times = times.get(level).copied().unwrap_or(1);
        self.per_address.saturating_mul(times).min(self.all.max(self.per_address) - left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_network_may_have_more_but_never_all() {
        let cap = |all, per_address, address: &str, level: usize| {
            let network = Source::of(SocketAddr::new(address.parse().unwrap(), 1)).0[level].unwrap();
            Caps::new(all, per_address).of(network)
        };
        let v6 = |all, per_address| [0, 1, 2, 3].map(|level| cap(all, per_address, "2001:db8::1", level));
        assert_eq!(v6(4096, 2048), [2048, 3072, 3584, 3840]);
        assert_eq!(v6(4096, 10), [10, 20, 40, 160]);
        assert_eq!(v6(4096, 4096), [4096; 4], "no limit but the cap of all");
        assert_eq!(v6(4096, 0), [usize::MAX; 4]);
        assert_eq!([0, 1].map(|level| cap(4096, 2048, "192.0.2.1", level)), [2048, 3072]);
        assert_eq!([0, 1].map(|level| cap(4096, 10, "192.0.2.1", level)), [10, 160]);
    }

    #[test]
    fn a_private_address_counts_by_itself_and_loopback_not_at_all() {
        let networks = |address: &str| Source::of(SocketAddr::new(address.parse().unwrap(), 1)).networks().count();
        let counted =
            ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "fd00::1", "192.0.2.1", "2001:db8::1"].map(networks);
        assert_eq!(counted, [0, 0, 1, 1, 1, 2, 4]);
    }
}
