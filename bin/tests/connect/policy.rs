//! Row "policy says no: 403, close", and the row about names that resolve to forbidden addresses. A client that is not
//! on loopback has to be one: these tests run in a network of their own, where 198.51.100.0/24 and 2001:db8::1 are this
//! host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::support::*;

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Where the proxy is reached from outside loopback.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

const OPEN: [&str; 3] = ["--listen", "0.0.0.0:0", "--open-proxy"];

/// An origin on every address of this host at one port, so that whatever is dialled is accepted.
struct Everywhere {
    v4: Origin,
    v6: Origin,
}

impl Everywhere {
    fn listen() -> Self {
        let v4 = Origin::listen_at((Ipv4Addr::UNSPECIFIED, 0));
        let v6 = Origin::listen_at((Ipv6Addr::UNSPECIFIED, v4.port()));
        Self { v4, v6 }
    }

    #[track_caller]
    fn expect_untouched(&self) {
        self.v4.expect_untouched();
        self.v6.expect_untouched();
    }
}

fn outside(proxy: &Proxy) -> SocketAddr {
    SocketAddr::from((OUTSIDE, proxy.address().port()))
}

#[track_caller]
fn expect_prohibited(proxy: &Proxy, target: &str) {
    let request = [head(target), b"payload that must go nowhere".to_vec()].concat();
    let reply = ask_from(CLIENT, outside(proxy), &request);
    assert_eq!(reply.status, 403, "{target}: {}", reply.head);
    assert!(
        reply
            .field("Proxy-Status")
            .is_some_and(|said| said.contains("error=")),
        "{target}: {}",
        reply.head
    );
}

#[test]
fn policy_says_no_is_403_close_for_addresses_that_a_client_beyond_loopback_may_not_reach() {
    let name = "policy::policy_says_no_is_403_close_for_addresses_that_a_client_beyond_loopback_may_not_reach";
    in_own_network(name, || {
        let everywhere = Everywhere::listen();
        let proxy = Proxy::start(&OPEN);
        let hosts = [
            "127.0.0.1",
            "127.9.9.9",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:0.0.0.0]",
            "[::ffff:169.254.169.254]",
            "[::127.0.0.1]",
            "[fe80::1]",
            "[febf::1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b::0.0.0.0]",
            "[fd00:ec2::254]",
        ];
        for host in hosts {
            expect_prohibited(&proxy, &format!("{host}:{}", everywhere.v4.port()));
        }
        expect_prohibited(&proxy, "169.254.169.254:80");
        everywhere.expect_untouched();
    });
}

#[test]
fn policy_says_no_is_403_close_for_the_proxys_own_listeners() {
    in_own_network(
        "policy::policy_says_no_is_403_close_for_the_proxys_own_listeners",
        || {
            let proxy = Proxy::start(&[
                "--listen",
                "0.0.0.0:0",
                "--listen",
                "[2001:db8::1]:0",
                "--open-proxy",
            ]);
            let [first, second] = [0, 1].map(|listener| proxy.addresses()[listener].port());
            for host in [
                "198.51.100.1",
                "198.51.100.200",
                "[::ffff:198.51.100.1]",
                "[64:ff9b::c633:6401]",
            ] {
                expect_prohibited(&proxy, &format!("{host}:{first}"));
            }
            expect_prohibited(&proxy, &format!("[2001:db8::1]:{second}"));
        },
    );
}

#[test]
fn policy_says_yes_to_the_rest_and_to_every_client_on_loopback() {
    in_own_network(
        "policy::policy_says_yes_to_the_rest_and_to_every_client_on_loopback",
        || {
            let everywhere = Everywhere::listen();
            let proxy = Proxy::start(&OPEN);
            let port = everywhere.v4.port();
            for host in ["198.51.100.1", "198.51.100.44", "[::ffff:198.51.100.1]"] {
                let client = connect_from(CLIENT, outside(&proxy));
                std::io::Write::write_all(&mut &client, &head(format!("{host}:{port}")))
                    .expect("the proxy takes the head");
                assert_eq!(read_reply(&client).status, 200, "{host}");
                ping(&client, &everywhere.v4.accept(), host.as_bytes());
            }
            let on_loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.address().port()));
            for host in [
                "127.0.0.1",
                "127.9.9.9",
                "[::ffff:127.0.0.1]",
                "198.51.100.1",
            ] {
                let client = connect_from(Ipv4Addr::LOCALHOST, on_loopback);
                std::io::Write::write_all(&mut &client, &head(format!("{host}:{port}")))
                    .expect("the proxy takes the head");
                assert_eq!(read_reply(&client).status, 200, "{host}");
                ping(&client, &everywhere.v4.accept(), host.as_bytes());
            }
        },
    );
}

#[test]
fn policy_sees_through_ipv4_mapped_clients() {
    in_own_network("policy::policy_sees_through_ipv4_mapped_clients", || {
        let everywhere = Everywhere::listen();
        let proxy = Proxy::start(&["--listen", "[::]:0", "--open-proxy"]);
        let port = proxy.address().port();
        let target = format!("127.0.0.1:{}", everywhere.v4.port());
        let sources: [(IpAddr, IpAddr, bool); 4] = [
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), true),
            (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into(), true),
            (CLIENT.into(), OUTSIDE.into(), false),
            (CLIENT_V6.into(), CLIENT_V6.into(), false),
        ];
        for (source, proxy_at, allowed) in sources {
            let proxy_at = SocketAddr::from((proxy_at, port));
            if std::net::TcpStream::connect(proxy_at).is_err() {
                assert!(proxy_at.is_ipv4(), "it listens on [::]");
                continue; // `[::]` is IPv6 only here, and then no client is mapped
            }
            let client = connect_from(source, proxy_at);
            std::io::Write::write_all(&mut &client, &head(&target))
                .expect("the proxy takes the head");
            assert_eq!(
                read_reply(&client).status,
                if allowed { 200 } else { 403 },
                "from {source}"
            );
            if allowed {
                ping(&client, &everywhere.v4.accept(), b"through");
            }
        }
        everywhere.expect_untouched();
    });
}

#[test]
fn names_that_resolve_to_forbidden_addresses_are_refused_on_the_very_address_that_would_be_dialled()
{
    let name = "policy::names_that_resolve_to_forbidden_addresses_are_refused_on_the_very_address_that_would_be_dialled";
    in_own_network(name, || {
        let everywhere = Everywhere::listen();
        let dns = Dns::knows(&[
            ("loopback.example.test", &["127.0.0.1"]),
            ("metadata.example.test", &["169.254.169.254"]),
            ("unspecified.example.test", &["0.0.0.0"]),
            ("six.example.test", &["::1"]),
            ("mapped.example.test", &["::ffff:127.0.0.1"]),
            ("nat64.example.test", &["64:ff9b::7f00:1"]),
            ("link-local.example.test", &["fe80::1"]),
            (
                "several.example.test",
                &["127.0.0.1", "::1", "169.254.1.1", "127.0.0.2"],
            ),
            ("myself.example.test", &["198.51.100.1"]),
        ]);
        let proxy = Proxy::start(&[&OPEN[..], &["--resolver", &dns.address()]].concat());
        let port = everywhere.v4.port();
        let names = [
            "loopback",
            "metadata",
            "unspecified",
            "six",
            "mapped",
            "nat64",
            "link-local",
            "several",
            "localhost",
        ];
        for name in names {
            let suffix = if name == "localhost" {
                ""
            } else {
                ".example.test"
            };
            expect_prohibited(&proxy, &format!("{name}{suffix}:{port}"));
        }
        expect_prohibited(
            &proxy,
            &format!("myself.example.test:{}", proxy.address().port()),
        );
        everywhere.expect_untouched();
    });
}

#[test]
fn names_that_resolve_to_forbidden_addresses_and_a_good_one_only_ever_dial_the_good_one() {
    let name = "policy::names_that_resolve_to_forbidden_addresses_and_a_good_one_only_ever_dial_the_good_one";
    in_own_network(name, || {
        let good = Origin::listen_at((OUTSIDE, 0));
        let port = good.port();
        let forbidden = [
            Origin::listen_at((Ipv4Addr::LOCALHOST, port)),
            Origin::listen_at((Ipv6Addr::LOCALHOST, port)),
        ];
        let dns = Dns::knows(&[
            ("first.example.test", &["127.0.0.1", "::1", "198.51.100.1"]),
            ("last.example.test", &["198.51.100.1", "127.0.0.1", "::1"]),
        ]);
        let proxy = Proxy::start(&[&OPEN[..], &["--resolver", &dns.address()]].concat());
        for name in ["first", "last"] {
            let client = connect_from(CLIENT, outside(&proxy));
            let target = format!("{name}.example.test:{port}");
            std::io::Write::write_all(&mut &client, &head(&target))
                .expect("the proxy takes the head");
            match read_reply(&client).status {
                200 => ping(&client, &good.accept(), b"to the good one"),
                403 => good.expect_untouched(), // refusing such a name as a whole is as safe
                status => panic!("{target}: {status}"),
            }
        }
        forbidden.iter().for_each(Origin::expect_untouched);
    });
}

#[test]
fn names_that_resolve_anew_are_checked_anew() {
    in_own_network("policy::names_that_resolve_anew_are_checked_anew", || {
        let everywhere = Everywhere::listen();
        let answers = std::sync::atomic::AtomicUsize::new(0);
        // The first answer is good and holds for no time; each later one points inside.
        let dns = Dns::start(move |query| {
            let first =
                query.kind != A || answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let address = if first {
                IpAddr::from(OUTSIDE)
            } else {
                IpAddr::from(Ipv4Addr::LOCALHOST)
            };
            vec![query.addresses(&[address], 0)]
        });
        let proxy = Proxy::start(&[&OPEN[..], &["--resolver", &dns.address()]].concat());
        let target = format!("rebound.example.test:{}", everywhere.v4.port());
        for _ in 0..8 {
            let client = connect_from(CLIENT, outside(&proxy));
            std::io::Write::write_all(&mut &client, &head(&target))
                .expect("the proxy takes the head");
            if read_reply(&client).status == 200 {
                let dialled = everywhere
                    .v4
                    .accept()
                    .local_addr()
                    .expect("a connected socket has an address")
                    .ip();
                assert_eq!(
                    dialled,
                    IpAddr::from(OUTSIDE),
                    "checked one address, dialled another"
                );
            }
        }
        everywhere.expect_untouched();
    });
}
