//! Every byte arrives, once, in order, and the ends arrive after them: a matrix of sizes, directions, half-close orders
//! and resets, in each zero-copy mode, under tunings that make a relay change how it moves bytes at every boundary.

mod support;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use support::*;

const SIZES: [u64; 5] = [0, 1, 4095, 65_536, 1 << 20];

/// Tunnels of one proxy that run at the same time.
const AT_ONCE: usize = 6;

/// Under which tuning and options the program runs. The tuning is: full buffers in a row that promote, bytes under
/// which a splice is small, small splices in a row that demote, busy tasks from which small sends go through the ring.
const SETTINGS: [(Option<&str>, &[&str]); 5] = [
    (None, &[]),
    (Some("1,1048576,1,0"), &[]), // changes at nearly every read
    (
        Some("1,1048576,1,0"),
        &["--buffer-size", "512", "--buffers", "16"],
    ),
    (Some("1,4096,2,0"), &["--buffer-size", "4096"]),
    (Some("1,1,1000000,0"), &[]), // splices at the first chance, and for good
];

/// Which end sends FIN first.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The client, when it has sent all; the origin only after it has seen that.
    ClientFirst,
    /// The other way round.
    OriginFirst,
    /// Each when it has sent all.
    Both,
}

/// One tunnel's work.
#[derive(Debug, Clone, Copy)]
struct Plan {
    up: u64,
    down: u64,
    order: Order,
    number: u32,
}

fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for size in SIZES {
        for (up, down) in [(size, 0), (0, size), (size, size)] {
            for order in [Order::ClientFirst, Order::OriginFirst, Order::Both] {
                plans.push(Plan {
                    up,
                    down,
                    order,
                    number: plans.len() as u32,
                });
            }
        }
    }
    plans
}

/// One end of a tunnel: what it sends and receives, and whether it keeps its FIN until it has seen the other's.
struct Part<'plan> {
    stream: &'plan TcpStream,
    sends: (Content, u64),
    receives: (Content, u64),
    fin_last: bool,
}

impl Part<'_> {
    fn play(&self, sizes: &[usize]) -> io::Result<()> {
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                send(self.stream, self.sends.0, self.sends.1, sizes)?;
                if self.fin_last {
                    Ok(())
                } else {
                    self.stream.shutdown(Shutdown::Write)
                }
            });
            let received = receive(self.stream, self.receives.0);
            sender.join().expect("the sender does not panic")?;
            assert_eq!(received?, self.receives.1, "bytes before the FIN");
            if self.fin_last {
                self.stream.shutdown(Shutdown::Write)
            } else {
                Ok(())
            }
        })
    }
}

fn run(proxy: &Proxy, plan: Plan) {
    /// Sizes of writes, in turn, by the number of the plan.
    const WRITES: [&[usize]; 4] = [
        &[65_536],
        &[1, 4095, 17, 511, 512, 513, 65_537],
        &[1 << 20],
        &[16_384, 16_383, 16_385, 1, 100_000],
    ];
    let sizes = WRITES[plan.number as usize % WRITES.len()];
    let Tunnel {
        client,
        origin,
        target,
    } = Tunnel::open(proxy);
    let [up, down] = [2 * plan.number, 2 * plan.number + 1].map(Content::new);
    let client = Part {
        stream: &client,
        sends: (up, plan.up),
        receives: (down, plan.down),
        fin_last: matches!(plan.order, Order::OriginFirst),
    };
    let origin = Part {
        stream: &origin,
        sends: (down, plan.down),
        receives: (up, plan.up),
        fin_last: matches!(plan.order, Order::ClientFirst),
    };
    let ends = thread::scope(|scope| {
        let origin = scope.spawn(|| origin.play(sizes));
        (
            client.play(sizes),
            origin.join().expect("the origin's content is right"),
        )
    });
    assert!(
        ends.0.is_ok() && ends.1.is_ok(),
        "{plan:?} on {target}: client {:?}, origin {:?}",
        ends.0,
        ends.1
    );
}

/// Does every piece of `work`, several at once, and lets the first panic through.
fn all_at_once<T: Copy + Sync + fmt::Debug>(work: &[T], run: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(*piece);
                }
            });
        }
    });
}

/// Runs `check` in one mode under each of the settings, and asserts that nothing is left behind.
fn under_each_setting(mode: &str, mut check: impl FnMut(&Proxy)) {
    for (tuning, options) in SETTINGS {
        let launch = Launch::new(&[&["--zero-copy", mode], options].concat());
        let proxy = tuning.into_iter().fold(launch, Launch::tuning).start();
        let start = proxy.footing();
        check(&proxy);
        proxy.await_gauges(&start);
    }
}

fn sizes_directions_and_half_close_orders(mode: &str) {
    let plans = plans();
    under_each_setting(mode, |proxy| all_at_once(&plans, |plan| run(proxy, plan)));
}

#[test]
fn sizes_directions_and_half_close_orders_auto() {
    sizes_directions_and_half_close_orders("auto");
}

#[test]
fn sizes_directions_and_half_close_orders_splice() {
    sizes_directions_and_half_close_orders("splice");
}

#[test]
fn sizes_directions_and_half_close_orders_send_zc() {
    sizes_directions_and_half_close_orders("send-zc");
}

#[test]
fn sizes_directions_and_half_close_orders_off() {
    sizes_directions_and_half_close_orders("off");
}

/// Bytes of one step of [`bursts_and_trickles`]: around every boundary at which a relay may change its ways.
const STEPS: [usize; 20] = [
    1, 300_001, 1, 2, 512, 511, 16_384, 16_385, 3, 262_144, 262_145, 7, 4095, 4096, 4097, 65_536,
    1, 1, 131_072, 513,
];

/// Sends step after step, each only when the one before it has arrived whole, so that each is a read of its own at the
/// proxy: bulk after small, small after bulk.
fn step_by_step(from: &TcpStream, to: &TcpStream, content: Content, rounds: usize) {
    let (arrived, arrivals) = mpsc::channel::<u64>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut received = 0;
            while received < (rounds * STEPS.iter().sum::<usize>()) as u64 {
                let mut buffer = [0; 40_000];
                let read = io::Read::read(&mut &*to, &mut buffer).expect("bytes still come");
                assert_ne!(read, 0, "FIN after {received} bytes");
                content.check(received, &buffer[..read]);
                received += read as u64;
                let _ = arrived.send(received); // the sender has its last word already
            }
        });
        let mut sent = 0;
        for (step, seen) in STEPS.iter().cycle().take(rounds * STEPS.len()).zip(0..) {
            let mut bytes = vec![0; *step];
            content.fill(sent, &mut bytes);
            // Some steps leave in two writes, so that a small rest follows a large piece at once.
            let cut = if seen % 3 == 0 {
                bytes.len() - bytes.len().min(5)
            } else {
                0
            };
            (&mut &*from)
                .write_all(&bytes[..cut])
                .expect("the tunnel takes bytes");
            (&mut &*from)
                .write_all(&bytes[cut..])
                .expect("the tunnel takes bytes");
            sent += *step as u64;
            while arrivals.recv_timeout(PATIENCE).expect("the step arrives") < sent {}
        }
    });
}

fn bursts_and_trickles(mode: &str) {
    const ROUNDS: usize = 4;
    let (mut promotions, mut demotions, mut zero_copy_sends) = (0, 0, 0);
    under_each_setting(mode, |proxy| {
        all_at_once(&[1, 3, 5, 7], |seed| {
            let Tunnel { client, origin, .. } = Tunnel::open(proxy);
            thread::scope(|scope| {
                scope.spawn(|| step_by_step(&client, &origin, Content::new(seed), ROUNDS));
                step_by_step(&origin, &client, Content::new(seed + 1), ROUNDS);
            });
            client
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&origin), End::Fin);
            drop(origin);
            assert_eq!(end_of(&client), End::Fin);
        });
        let counted = proxy.snapshot();
        promotions += counted.value("promotions");
        demotions += counted.value("demotions");
        zero_copy_sends += counted.value("zero_copy_sends");
    });
    eprintln!("{mode}: {promotions} promotions, {demotions} demotions, {zero_copy_sends} SEND_ZC");
    // The mode is what it is called, and the boundaries were crossed, hundreds of times.
    let splices = ["auto", "splice"].contains(&mode);
    assert!(if splices {
        promotions.min(demotions) > 200
    } else {
        promotions + demotions == 0
    });
    assert!(if mode == "send-zc" {
        zero_copy_sends > 500
    } else {
        zero_copy_sends == 0
    });
}

#[test]
fn bursts_and_trickles_auto() {
    bursts_and_trickles("auto");
}

#[test]
fn bursts_and_trickles_splice() {
    bursts_and_trickles("splice");
}

#[test]
fn bursts_and_trickles_send_zc() {
    bursts_and_trickles("send-zc");
}

#[test]
fn bursts_and_trickles_off() {
    bursts_and_trickles("off");
}

/// A reader that takes little at a time makes every write of the proxy a partial one.
#[test]
fn slow_readers_of_bulk_lose_nothing() {
    const LENGTH: u64 = 1 << 20;
    for mode in ["auto", "splice", "send-zc", "off"] {
        under_each_setting(mode, |proxy| {
            all_at_once(
                &[Side::Client, Side::Origin, Side::Client, Side::Origin],
                |side| {
                    let (writes, reads) = Tunnel::open_narrow(proxy).from(side);
                    let content = Content::new(u32::from(side == Side::Client));
                    thread::scope(|scope| {
                        scope.spawn(move || {
                            send(&writes, content, LENGTH, &[300_000, 1])
                                .expect("the tunnel takes bytes");
                            writes
                                .shutdown(Shutdown::Write)
                                .expect("the connection stands");
                            end_of(&writes);
                        });
                        assert_eq!(
                            receive_slowly(&reads, content, 3001).expect("a clean end"),
                            LENGTH
                        );
                        drop(reads);
                    });
                },
            );
        });
    }
}

/// What a reset leaves is a prefix of what was sent, and it never looks whole.
fn resets(mode: &str) {
    let mut cases = Vec::new();
    for size in SIZES {
        for sender in Side::BOTH {
            for resets in Side::BOTH {
                cases.push((size, sender, resets));
            }
        }
    }
    under_each_setting(mode, |proxy| {
        all_at_once(&cases, |(size, sender, resets)| {
            let (sends, receives) = Tunnel::open(proxy).from(sender);
            let content = Content::new(size as u32);
            if resets == sender {
                let writer = thread::spawn(move || {
                    send(&sends, content, size, &[65_536, 1]).expect("the tunnel takes bytes");
                    reset(sends);
                });
                let error = receive(&receives, content).expect_err("RST, not FIN");
                assert_eq!(
                    error.kind(),
                    ErrorKind::ConnectionReset,
                    "{size} bytes from {sender:?}: {error}"
                );
                writer.join().expect("all was written");
            } else {
                let reading = thread::spawn(move || {
                    let half = usize::try_from(size / 2).expect("it fits");
                    content.check(0, &read_exactly(&receives, half));
                    reset(receives);
                });
                let sent = send(&sends, content, size, &[65_536, 1]);
                reading.join().expect("the first half is right");
                match sent {
                    Ok(()) => await_abort(&sends),
                    Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "{error}"), // it came in the middle
                }
            }
        });
    });
}

#[test]
fn resets_auto() {
    resets("auto");
}

#[test]
fn resets_splice() {
    resets("splice");
}

#[test]
fn resets_send_zc() {
    resets("send-zc");
}

#[test]
fn resets_off() {
    resets("off");
}

/// More directions at once than there are pipes: those without one copy.
#[test]
fn more_bulky_tunnels_than_pipes_lose_nothing() {
    const TUNNELS: u32 = 80;
    const LENGTH: u64 = 2_000_000;
    for tuning in ["1,1,1000000,0", "1,1048576,1,0"] {
        let proxy = Launch::new(&["--zero-copy", "splice"])
            .tuning(tuning)
            .start();
        let start = proxy.footing();
        thread::scope(|scope| {
            for number in 0..TUNNELS {
                let proxy = &proxy;
                let plan = Plan {
                    up: LENGTH,
                    down: LENGTH,
                    order: Order::Both,
                    number,
                };
                scope.spawn(move || run(proxy, plan));
            }
        });
        assert!(
            proxy.snapshot().value("promotions") >= u64::from(TUNNELS),
            "hardly anything was spliced"
        );
        proxy.await_gauges(&start);
    }
}

/// The paths of older kernels, which this one takes when it is told that a feature is missing.
#[test]
fn features_forced_off_lose_nothing() {
    const MISSING: [&str; 6] = [
        "multishot-recv",
        "multishot-accept",
        "send-zc",
        "msg-ring",
        "no-sqarray,ring-fd,no-iowait",
        "multishot-recv,multishot-accept,send-zc,msg-ring,no-sqarray,ring-fd,no-iowait",
    ];
    let plans = plans();
    for missing in MISSING {
        for options in [
            &["--zero-copy", "auto"][..],
            &[
                "--zero-copy",
                "off",
                "--buffers",
                "2",
                "--buffer-size",
                "512",
            ],
        ] {
            let launch = Launch::new(options).environment("RINGWAY_FORCE_OFF", missing);
            let proxy = launch.tuning("1,1048576,1,0").start();
            let start = proxy.footing();
            all_at_once(&plans, |plan| run(&proxy, plan));
            proxy.await_gauges(&start);
        }
    }
}

/// Looking at the ring before sleeping changes when things happen, and nothing else.
#[test]
fn busy_polling_loses_nothing() {
    let plans = plans();
    for busy_poll in ["auto", "20us", "5ms"] {
        let proxy = Launch::new(&["--busy-poll", busy_poll])
            .tuning("1,1048576,1,0")
            .start();
        let start = proxy.footing();
        all_at_once(&plans, |plan| run(&proxy, plan));
        proxy.await_gauges(&start);
    }
}

fn one_gib(mode: &str, sender: Side) {
    const LENGTH: u64 = 1 << 30;
    let proxy = Proxy::start(&["--zero-copy", mode]);
    let start = proxy.footing();
    let tunnel = Tunnel::open(&proxy);
    let target = tunnel.target;
    let (sends, receives) = tunnel.from(sender);
    let content = Content::new(11);
    thread::scope(|scope| {
        scope.spawn(move || {
            send(&sends, content, LENGTH, &[256 * 1024]).expect("the tunnel takes bytes");
            sends
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            end_of(&sends);
        });
        assert_eq!(receive(&receives, content).expect("a clean end"), LENGTH);
        drop(receives);
    });
    let line = proxy.await_closed(&target.to_string());
    let direction = if sender == Side::Client { "up" } else { "down" };
    assert!(line.contains(&format!("{direction}={LENGTH} ")), "{line}");
    proxy.await_gauges(&start);
}

#[test]
fn one_gib_down_auto() {
    one_gib("auto", Side::Origin);
}

#[test]
fn one_gib_up_off() {
    one_gib("off", Side::Client);
}
