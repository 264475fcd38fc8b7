//! What `resolv.conf` says, within bounds.
//!
//! Lines and options that mean nothing here (or nothing at all) are passed over, as libc does.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use resolv_conf::ScopedIp;

use super::servers::Servers;
use crate::limits;
use crate::proto::dns::DomainName;

/// Whom to ask, for what, and how long to wait.
#[derive(Debug)]
pub(super) struct Config {
    /// The name servers, at least one.
    pub(super) servers: Servers,
    /// Domains to look for relative names in.
    pub(super) search: Vec<DomainName>,
    /// Dots from which a name is tried as it is before the search domains.
    pub(super) ndots: usize,
    /// How long one server has to answer, once.
    pub(super) timeout: Duration,
    /// How often the whole list is gone through.
    pub(super) attempts: u32,
}

impl Config {
    /// Reads the text of a `resolv.conf`; an empty one means the name server of this host, as for libc. `instead`, if
    /// any, takes the place of the servers in the text.
    pub(super) fn parse(text: &str, instead: &[SocketAddr]) -> Self {
        let (parsed, _) = resolv_conf::Config::parse_with_errors(text.as_bytes());
        let mut servers = instead.to_vec();
        if servers.is_empty() {
            servers = parsed.nameservers.iter().filter_map(address).collect();
        }
        servers.truncate(limits::DNS_SERVERS_MAX);
        if servers.is_empty() {
            servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        }
        let search = parsed
            .get_last_search_or_domain()
            .filter_map(|domain| DomainName::parse(domain.strip_suffix('.').unwrap_or(domain)))
            .take(limits::DNS_SEARCH_MAX)
            .collect();
        let timeout_seconds = parsed.timeout.clamp(1, limits::DNS_TIMEOUT_SECONDS_MAX);
        Self {
            servers: Servers::new(servers, parsed.rotate),
            search,
            ndots: parsed.ndots.min(limits::DNS_NDOTS_MAX) as usize,
            timeout: Duration::from_secs(u64::from(timeout_seconds)),
            attempts: parsed.attempts.clamp(1, limits::DNS_ATTEMPTS_MAX),
        }
    }

    /// The absolute names that `name` may stand for, in the order to try them; none when it cannot be a host's.
    ///
    /// A final dot makes a name absolute. Otherwise one with at least `ndots` dots is tried as it is first, any other
    /// as it is last (resolv.conf(5)).
    pub(super) fn candidates(&self, name: &str) -> Vec<DomainName> {
        if let Some(absolute) = name.strip_suffix('.') {
            return DomainName::parse(absolute).into_iter().collect();
        }
        let Some(as_it_is) = DomainName::parse(name) else {
            return Vec::new();
        };
        let below = |domain: &DomainName| DomainName::parse(&format!("{name}.{domain}"));
        let mut candidates: Vec<DomainName> = self.search.iter().filter_map(below).collect();
        if name.matches('.').count() >= self.ndots {
            candidates.insert(0, as_it_is);
        } else {
            candidates.push(as_it_is);
        }
        candidates
    }
}

/// The port name servers listen on.
const PORT: u16 = 53;

/// The address of a name server; `None` when it is on a link that does not exist.
fn address(server: &ScopedIp) -> Option<SocketAddr> {
    Some(match server {
        ScopedIp::V4(address) => SocketAddr::V4(SocketAddrV4::new(*address, PORT)),
        ScopedIp::V6(address, None) => SocketAddr::V6(SocketAddrV6::new(*address, PORT, 0, 0)),
        ScopedIp::V6(address, Some(link)) => {
            SocketAddr::V6(SocketAddrV6::new(*address, PORT, 0, interface_index(link)?))
        }
    })
}

/// The index behind the zone of a link-local address (RFC 4007 11), given as a number or as an interface's name.
fn interface_index(zone: &str) -> Option<u32> {
    if let Ok(index) = zone.parse() {
        return Some(index);
    }
    if zone.contains('/') {
        return None;
    }
    let index = std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?;
    index.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn servers(text: &str, instead: &[&str]) -> Vec<String> {
        let instead = instead
            .iter()
            .map(|server| server.parse().expect("a socket address"));
        let config = Config::parse(text, &instead.collect::<Vec<_>>());
        let order = config.servers.order(Instant::now());
        order.map(|server| server.address.to_string()).collect()
    }

    fn candidates(text: &str, name: &str) -> Vec<String> {
        let candidates = Config::parse(text, &[]).candidates(name);
        candidates.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_is_read() {
        let text = "# made by hand\n; another comment\nnameserver 192.0.2.1 # first\nnameserver 2001:db8::1\n\
                    search Corp.Example. example.org\noptions ndots:3 timeout:2 attempts:4 rotate edns0 what:ever\n\
                    nonsense\n";
        let config = Config::parse(text, &[]);
        assert_eq!(
            config
                .search
                .iter()
                .map(DomainName::as_str)
                .collect::<Vec<_>>(),
            ["corp.example", "example.org"]
        );
        assert_eq!(
            (config.ndots, config.timeout.as_secs(), config.attempts),
            (3, 2, 4)
        );
        let first = |config: &Config| {
            config
                .servers
                .order(Instant::now())
                .next()
                .map(|server| server.address)
        };
        assert_ne!(first(&config), first(&config), "rotate");
        assert_eq!(
            servers("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", &[]),
            ["192.0.2.1:53", "[2001:db8::1]:53"]
        );
    }

    #[test]
    fn defaults_are_those_of_libc() {
        for text in [
            "",
            "nameserver\n",
            "nameserver nobody\n",
            "\u{fffd}\u{0}\n",
            "options",
        ] {
            let config = Config::parse(text, &[]);
            assert_eq!(
                (config.ndots, config.timeout.as_secs(), config.attempts),
                (1, 5, 2),
                "{text:?}"
            );
            assert!(config.search.is_empty(), "{text:?}");
            assert_eq!(servers(text, &[]), ["127.0.0.1:53"], "{text:?}");
        }
    }

    #[test]
    fn everything_is_bounded() {
        let mut text = String::from("options ndots:99 timeout:9999 attempts:4294967295\nsearch");
        (0..100).for_each(|number| text.push_str(&format!(" d{number}.example")));
        text.push('\n');
        (1..100).for_each(|number| text.push_str(&format!("nameserver 192.0.2.{number}\n")));
        let config = Config::parse(&text, &[]);
        assert_eq!(config.search.len(), limits::DNS_SEARCH_MAX);
        assert_eq!(
            (config.ndots, config.timeout.as_secs(), config.attempts),
            (15, 30, 5)
        );
        assert_eq!(servers(&text, &[]).len(), limits::DNS_SERVERS_MAX);
        let config = Config::parse("options timeout:0 attempts:0 ndots:0\n", &[]);
        assert_eq!(
            (config.ndots, config.timeout.as_secs(), config.attempts),
            (0, 1, 1)
        );
    }

    #[test]
    fn a_given_server_replaces_the_servers_only() {
        let text = "nameserver 192.0.2.1\nsearch example.org\noptions attempts:3\n";
        assert_eq!(servers(text, &["198.51.100.7:5353"]), ["198.51.100.7:5353"]);
        let config = Config::parse(text, &[SocketAddr::from((Ipv4Addr::LOCALHOST, 5353))]);
        assert_eq!((config.search.len(), config.attempts), (1, 3));
    }

    #[test]
    fn the_last_of_search_and_domain_counts() {
        assert_eq!(
            candidates("search a.example b.example\ndomain c.example\n", "h"),
            ["h.c.example", "h"]
        );
        assert_eq!(
            candidates("domain c.example\nsearch a.example b.example\n", "h"),
            ["h.a.example", "h.b.example", "h"]
        );
    }

    #[test]
    fn a_zone_is_a_number_or_an_interface() {
        let zones = ["7", "lo", "no-such-link", "../lo"];
        let text: String = zones
            .map(|zone| format!("nameserver fe80::1%{zone}\n"))
            .concat();
        assert_eq!(servers(&text, &[]), ["[fe80::1%7]:53", "[fe80::1%1]:53"]);
    }

    #[test]
    fn dots_decide_the_order_of_candidates() {
        let search = "search a.example b.example\n";
        assert_eq!(
            candidates(search, "host"),
            ["host.a.example", "host.b.example", "host"]
        );
        assert_eq!(
            candidates(search, "Host.Net"),
            ["host.net", "host.net.a.example", "host.net.b.example"]
        );
        assert_eq!(candidates(search, "host."), ["host"]);
        assert_eq!(candidates(search, "host.net."), ["host.net"]);
        let five = "search a.example\noptions ndots:5\n";
        assert_eq!(
            candidates(five, "a.b.c.d.e"),
            ["a.b.c.d.e.a.example", "a.b.c.d.e"]
        );
        assert_eq!(
            candidates(five, "a.b.c.d.e.f"),
            ["a.b.c.d.e.f", "a.b.c.d.e.f.a.example"]
        );
        assert_eq!(
            candidates("search a.example\noptions ndots:0\n", "host"),
            ["host", "host.a.example"]
        );
        assert_eq!(candidates("", "host"), ["host"]);
    }

    #[test]
    fn what_no_host_is_called_has_no_candidates() {
        for name in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a/b",
            "a\\b",
            "bücher.example",
            "a\0",
            "a:b",
        ] {
            assert!(
                candidates("search a.example\n", name).is_empty(),
                "{name:?}"
            );
        }
        let long = "x".repeat(60);
        let name = [long.as_str(); 4].join(".");
        assert_eq!(
            candidates("search domain.example\n", &name),
            [name.as_str()],
            "the joined name is too long"
        );
    }
}
