//! Row "RST from either side: RST to the other side": while idle, in the middle of a transfer, after a half-close, with
//! bytes on the way that nobody reads, and before the tunnel stands.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::MODES;
use crate::support::*;

/// Runs `check` in every mode and for both sides: a tunnel's end that is reset, and the one that must hear of it.
#[track_caller]
fn in_every_mode(options: &[&str], check: impl Fn(TcpEnd, TcpEnd)) {
    for mode in MODES {
        // A tuning under which nearly every read changes how bytes move, and the default.
        for tuning in [None, Some("1,1048576,1,0"), Some("1,1,1000000,0")] {
            let launch = Launch::new(&[&["--zero-copy", mode], options].concat());
            let proxy = tuning.into_iter().fold(launch, Launch::tuning).start();
            let start = proxy.footing();
            for side in Side::BOTH {
                let (resets, hears) = Tunnel::open(&proxy).from(side);
                check(resets, hears);
            }
            proxy.await_gauges(&start);
        }
    }
}

type TcpEnd = std::net::TcpStream;

#[test]
fn rst_from_either_side_of_an_idle_tunnel() {
    in_every_mode(&[], |resets, hears| {
        reset(resets);
        assert_eq!(end_of(&hears), End::Reset);
    });
}

#[test]
fn rst_from_either_side_after_bytes_in_both_directions() {
    in_every_mode(&[], |resets, hears| {
        let bytes = Content::new(1).bytes(200_000);
        let all = bytes.clone();
        let half = resets.try_clone().expect("a descriptor is left");
        let writer =
            thread::spawn(move || (&half).write_all(&all).expect("the tunnel takes bytes"));
        assert_eq!(read_exactly(&hears, bytes.len()), bytes);
        writer.join().expect("all was written");
        ping(&hears, &resets, &bytes[..1000]);
        reset(resets);
        assert_eq!(end_of(&hears), End::Reset);
    });
}

#[test]
fn rst_from_either_side_of_the_one_that_sends_in_the_middle_of_its_transfer() {
    in_every_mode(&[], |resets, hears| {
        let content = Content::new(2);
        let writer = thread::spawn(move || {
            send(&resets, content, 1_500_000, &[65_536, 1, 4095]).expect("the tunnel takes bytes");
            reset(resets); // what has not left this host is lost with it
        });
        let error = receive(&hears, content)
            .expect_err("the transfer was cut off, and must not look whole");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        writer.join().expect("all was written");
    });
}

#[test]
fn rst_from_either_side_of_the_one_that_receives_in_the_middle_of_a_transfer() {
    in_every_mode(&[], |resets, hears| {
        let content = Content::new(3);
        let hearing = hears.try_clone().expect("a descriptor is left");
        let writer = thread::spawn(move || send(&hearing, content, 1 << 30, &[65_536]));
        content.check(0, &read_exactly(&resets, 1_000_000));
        reset(resets);
        let error = writer
            .join()
            .expect("the writer ends")
            .expect_err("nobody receives any more");
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]; // the latter for a write after the first error
        assert!(kinds.contains(&error.kind()), "{error}");
    });
}

#[test]
fn rst_from_either_side_after_its_own_fin() {
    in_every_mode(&[], |resets, hears| {
        resets
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        assert_eq!(end_of(&hears), End::Fin);
        reset(resets);
        await_abort(&hears);
    });
}

#[test]
fn rst_from_either_side_after_the_fin_of_the_other() {
    in_every_mode(&[], |resets, hears| {
        hears
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        assert_eq!(end_of(&resets), End::Fin);
        reset(resets);
        assert_eq!(end_of(&hears), End::Reset);
    });
}

#[test]
fn rst_from_either_side_of_the_slow_reader_while_bytes_wait_for_it() {
    in_every_mode(&[], |resets, hears| {
        write_until_stalled(&hears, 64 << 20, Duration::from_millis(200));
        reset(resets);
        await_abort(&hears);
    });
}

#[test]
fn rst_from_either_side_of_the_writer_while_its_bytes_wait_for_a_slow_reader() {
    in_every_mode(&[], |resets, hears| {
        write_until_stalled(&resets, 64 << 20, Duration::from_millis(200));
        reset(resets);
        await_abort(&hears); // it reads nothing, and hears of it all the same
    });
}

#[test]
fn rst_from_either_side_while_both_directions_are_stalled() {
    in_every_mode(&[], |resets, hears| {
        write_until_stalled(&resets, 64 << 20, Duration::from_millis(200));
        write_until_stalled(&hears, 64 << 20, Duration::from_millis(200));
        reset(resets);
        await_abort(&hears);
    });
}

#[test]
fn rst_from_the_client_while_the_upstream_is_dialled_leaves_nothing_behind() {
    let proxy = Proxy::start(&["--connect-timeout", "60s"]);
    let start = proxy.footing();
    let blackhole = Blackhole::listen();
    let mut client = connect(&proxy);
    client
        .write_all(&head(blackhole.address()))
        .expect("the proxy takes the head");
    proxy.await_snapshot("the connection that waits for its upstream", |snapshot| {
        snapshot.value("connections") == 1
    });
    reset(client);
    proxy.await_gauges(&start); // long before the dialling would have ended by itself
}

#[test]
fn rst_from_the_client_inside_its_head_leaves_nothing_behind() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for part in ["", "C", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost"] {
        let mut client = connect(&proxy);
        client
            .write_all(part.as_bytes())
            .expect("the proxy takes a part of the head");
        reset(client);
    }
    proxy.await_gauges(&start);
}
