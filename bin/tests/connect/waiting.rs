//! Rows "a slow reader", "client FIN" and "origin FIN" together: bytes and FIN that wait for a reader. Waiting costs
//! neither CPU nor bytes, however the tunnel's ends stand, and what could not be delivered never looks whole.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crate::MODES;
use crate::support::*;

const LENGTH: u64 = 20 << 20;
const SMALL: u64 = 100;

/// A tunnel in which bytes wait, and the threads that try to send the rest.
struct Waiting {
    what: &'static str,
    reader: TcpStream,
    content: Content,
    length: u64,
    /// What the reader is to find: FIN, because its peer has sent that.
    writer: thread::JoinHandle<TcpStream>,
}

/// Sends `length` bytes and then perhaps FIN, from a thread, because nobody reads yet.
fn send_from_thread(
    stream: TcpStream,
    content: Content,
    length: u64,
) -> thread::JoinHandle<TcpStream> {
    thread::spawn(move || {
        stream
            .set_write_timeout(None)
            .expect("an option of every socket");
        send(&stream, content, length, &[100_000, 1]).expect("the tunnel takes bytes");
        stream
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        stream
    })
}

/// Tunnels in each state in which a proxy may wait.
fn tunnels_that_wait(proxy: &Proxy) -> Vec<Waiting> {
    let mut all = Vec::new();
    for side in Side::BOTH {
        for (what, length) in [
            ("bulk", LENGTH),
            ("bulk after the reader's FIN", LENGTH),
            ("little and FIN", SMALL),
        ] {
            let tunnel = Tunnel::open(proxy);
            let (writer, reader) = tunnel.from(side);
            if what.ends_with("the reader's FIN") {
                reader
                    .shutdown(Shutdown::Write)
                    .expect("the connection stands");
                assert_eq!(end_of(&writer), End::Fin);
            }
            let content = Content::new(all.len() as u32);
            let writer = send_from_thread(writer, content, length);
            all.push(Waiting {
                what,
                reader,
                content,
                length,
                writer,
            });
        }
    }
    all
}

#[test]
fn a_slow_reader_costs_no_cpu_and_no_byte_however_the_tunnel_stands() {
    for mode in MODES {
        for tuning in [None, Some("1,1048576,1,0"), Some("1,1,1000000,0")] {
            let launch = Launch::new(&["--zero-copy", mode]);
            let proxy = tuning.into_iter().fold(launch, Launch::tuning).start();
            let start = proxy.footing();
            let mut waiting = tunnels_that_wait(&proxy);
            let quiet = Tunnel::open(&proxy);
            quiet
                .client
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&quiet.origin), End::Fin);
            await_standstill(&proxy);
            let spent = proxy.process().cpu();
            thread::sleep(Duration::from_millis(500)); // the time over which the cost of waiting is measured
            let spent = proxy.process().cpu() - spent;
            assert!(
                spent <= Duration::from_millis(50),
                "{mode} {tuning:?}: {spent:?} of CPU in 0.5 s of waiting"
            );
            // One after the other, so that a wrong end of one cannot hide in the noise of all.
            for Waiting {
                what,
                reader,
                content,
                length,
                writer,
            } in waiting.drain(..)
            {
                let received = receive_slowly(&reader, content, 200_000);
                let received =
                    received.unwrap_or_else(|error| panic!("{mode} {tuning:?} {what}: {error}"));
                assert_eq!(received, length, "{mode} {tuning:?} {what}");
                drop(reader);
                end_of(&writer.join().expect("all was written"));
            }
            drop(quiet);
            proxy.await_gauges(&start);
        }
    }
}

/// Waits until the proxy has moved no byte for a while.
#[track_caller]
fn await_standstill(proxy: &Proxy) {
    let moved = || {
        let now = proxy.snapshot();
        now.value("bytes_up") + now.value("bytes_down")
    };
    let mut before = moved();
    until("the tunnels to stand still", || {
        thread::park_timeout(Duration::from_millis(300));
        let now = moved();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
}

/// Lets a tunnel stand still, with bytes that the reader does not take, until `options` end it; what the reader then
/// finds must not look whole.
fn undelivered_does_not_look_whole(options: &[&str], reader_closes: bool) {
    thread::scope(|scope| {
        for mode in MODES {
            for side in Side::BOTH {
                scope.spawn(move || {
                    let proxy = Proxy::start(&[&["--zero-copy", mode], options].concat());
                    let tunnel = Tunnel::open(&proxy);
                    let target = tunnel.target;
                    let (writer, reader) = tunnel.from(side);
                    if reader_closes {
                        reader
                            .shutdown(Shutdown::Write)
                            .expect("the connection stands");
                        assert_eq!(end_of(&writer), End::Fin);
                    }
                    let written =
                        write_until_stalled(&writer, 64 << 20, Duration::from_millis(200));
                    proxy.await_closed(&target.to_string());
                    let (bytes, end) = read_until_end(&reader);
                    let received = bytes.len();
                    assert!(
                        received < written,
                        "the kernel's buffers are not that large"
                    );
                    assert_eq!(
                        end,
                        End::Reset,
                        "{mode}: {received} of {written} bytes and then FIN, as if that were all"
                    );
                });
            }
        }
    });
}

#[test]
fn idle_tunnel_ends_after_idle_timeout_and_what_was_not_delivered_does_not_look_whole() {
    undelivered_does_not_look_whole(&["--idle-timeout", "3s"], false);
}

#[test]
fn half_closed_tunnel_ends_after_its_timeout_and_what_was_not_delivered_does_not_look_whole() {
    undelivered_does_not_look_whole(&["--half-close-timeout", "3s"], true);
}

#[test]
fn payload_before_the_200_is_held_back_bounded_and_delivered_whole() {
    let blackhole = Blackhole::listen();
    let proxy = Proxy::start(&["--connect-timeout", "60s"]);
    let before = proxy.process().pss_kib();
    let content = Content::new(4);
    let mut client = connect(&proxy);
    client
        .write_all(&head(blackhole.address()))
        .expect("the proxy takes the head");
    let sending = client.try_clone().expect("a descriptor is left");
    let upload = send_from_thread(sending, content, LENGTH);
    expect_quiet(&client, Duration::from_millis(400));
    let grown = proxy.process().pss_kib().saturating_sub(before);
    // The receive buffers of the worker, 4 MiB, may all have been used for the first time.
    assert!(
        grown < 8 * 1024,
        "{grown} KiB for a client that cannot wait"
    );
    blackhole.answer();
    assert_eq!(read_reply(&client).status, 200);
    let server = blackhole.accept();
    assert_eq!(receive(&server, content).expect("a clean end"), LENGTH);
    upload.join().expect("all was written");
    ping(&server, &client, b"and back");
}

#[test]
fn idle_tunnels_cost_no_cpu() {
    for busy_poll in ["off", "auto"] {
        let proxy = Proxy::start(&["--busy-poll", busy_poll]);
        let tunnels: Vec<Tunnel> = (0..200).map(|_| Tunnel::open(&proxy)).collect();
        tunnels
            .iter()
            .for_each(|tunnel| ping(&tunnel.client, &tunnel.origin, b"warm"));
        await_standstill(&proxy);
        let spent = proxy.process().cpu();
        thread::sleep(Duration::from_secs(2)); // the time over which the cost of idling is measured
        let spent = proxy.process().cpu() - spent;
        assert!(
            spent <= Duration::from_millis(20),
            "--busy-poll {busy_poll}: {spent:?} of CPU in 2 s without traffic"
        );
        tunnels
            .iter()
            .for_each(|tunnel| ping(&tunnel.origin, &tunnel.client, b"awake"));
    }
}
