//! The hosts file: addresses for names that no name server is asked for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::proto::dns::Family;

/// The names of a hosts file.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: HashMap<Box<str>, Addresses>,
}

/// The addresses of one name, in the order of the file.
#[derive(Debug)]
struct Addresses {
    v4: Rc<[IpAddr]>,
    v6: Rc<[IpAddr]>,
}

impl Hosts {
    /// Reads the text of a hosts file: an address, then its names. What is not that is passed over, as libc does.
    pub(super) fn parse(text: &str) -> Self {
        let mut gathered: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for word in words {
                let name = word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase();
                let addresses = gathered.entry(name.into_boxed_str()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        let names = gathered.into_iter().map(|(name, addresses)| {
            let of = |family| {
                let of_family = |address: &IpAddr| Family::of(*address) == family;
                addresses.iter().copied().filter(of_family).collect()
            };
            let addresses = Addresses {
                v4: of(Family::V4),
                v6: of(Family::V6),
            };
            (name, addresses)
        });
        Self {
            names: names.collect(),
        }
    }

    /// The addresses of `name` (lower case, no final dot), none perhaps; `None` when the file does not know the name,
    /// so that a name server may. A name listed with one family only has no address of the other.
    pub(super) fn find(&self, name: &str, family: Family) -> Option<Rc<[IpAddr]>> {
        let addresses = self.names.get(name)?;
        Some(Rc::clone(match family {
            Family::V4 => &addresses.v4,
            Family::V6 => &addresses.v6,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(hosts: &Hosts, name: &str, family: Family) -> Option<Vec<String>> {
        let addresses = hosts.find(name, family)?;
        Some(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_and_aliases_of_both_families() {
        let hosts = Hosts::parse(
            "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\r\n# 192.0.2.9 commented\n\n\
             192.0.2.1   Web.Example web # tail\n\
             192.0.2.2 web. web\n192.0.2.1 web\n2001:db8::1 web\n",
        );
        let v4 = ["192.0.2.1", "192.0.2.2"].map(String::from).to_vec();
        assert_eq!(found(&hosts, "web", Family::V4), Some(v4));
        assert_eq!(
            found(&hosts, "web", Family::V6),
            Some(vec!["2001:db8::1".into()])
        );
        assert_eq!(
            found(&hosts, "web.example", Family::V4),
            Some(vec!["192.0.2.1".into()])
        );
        assert_eq!(
            found(&hosts, "web.example", Family::V6),
            Some(vec![]),
            "known, without such an address"
        );
        assert_eq!(
            found(&hosts, "ip6-localhost", Family::V6),
            Some(vec!["::1".into()])
        );
        assert_eq!(found(&hosts, "commented", Family::V4), None);
        assert_eq!(found(&hosts, "tail", Family::V4), None);
    }

    #[test]
    fn what_is_not_an_address_is_passed_over() {
        let hosts = Hosts::parse(
            "web\nweb web\n1.2.3 web\n1.2.3.4.5 web\nfe80::1%lo web\n192.0.2.1\n\0\u{fffd} web\n",
        );
        assert_eq!(found(&hosts, "web", Family::V4), None);
        assert_eq!(found(&hosts, "web", Family::V6), None);
    }
}
