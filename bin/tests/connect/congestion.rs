//! Which TCP congestion control the connections of a tunnel have, as the kernel says: of the accepted one and of the
//! dialled one.

use std::fs;

use rustix::net::getpeername;
use rustix::net::sockopt::tcp_congestion;

use crate::support::*;

fn setting(name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/{name}");
    fs::read_to_string(path)
        .expect("a setting of TCP")
        .trim()
        .to_owned()
}

/// Of both connections of a tunnel through `ringway serve` with these options.
fn of_a_tunnel(options: &[&str]) -> Vec<String> {
    let proxy = Proxy::start(options);
    let tunnel = Tunnel::open(&proxy);
    ping(&tunnel.client, &tunnel.origin, b"up");
    let connected = |socket: &_| getpeername(socket).is_ok();
    let files = proxy.process().descriptors().into_iter();
    files
        .filter(connected)
        .filter_map(|socket| tcp_congestion(socket).ok())
        .collect()
}

#[test]
fn loopback_is_not_paced_and_keeps_the_kernel_s_choice_otherwise() {
    let expected = match setting("tcp_congestion_control") {
        bbr if bbr.starts_with("bbr") => "reno".to_owned(),
        other => other,
    };
    assert_eq!(of_a_tunnel(&[]), [expected.clone(), expected]);
}

#[test]
fn a_chosen_congestion_control_is_that_of_both_connections() {
    for name in setting("tcp_allowed_congestion_control").split(' ') {
        assert_eq!(of_a_tunnel(&["--congestion-control", name]), [name, name]);
    }
}
