//! One worker: a pinned thread with a runtime, its listeners, and everything a connection needs. It serves until it is
//! told to drain or to stop.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::balance::Balance;
use super::config::{BusyPoll, Config, ZeroCopy};
use super::placement;
use super::snapshot::WorkerSnapshot;
use crate::limits;
use crate::net::resolver::{Resolver, ResolverSetup};
use crate::net::{Accepted, CongestionPolicy, Dialler, Listener};
use crate::proxy::{
    Board, Cause, Counters, PipePool, Policy, Proxy, Random, SpliceTuning, UpstreamPool,
    ZeroCopyRoutes, ZeroCopySends,
};
use crate::proxy::{refuse, session, turn_away};
use crate::ring::{Capabilities, Feature, Message, Op, Port, Ring, RingConfig, sys};
use crate::rt::{
    Gate, Inside, Mailbox, MailboxReceiver, News, Notify, Operation, Post, Rt, SpinPolicy,
};

/// What a worker is told.
pub(super) enum Command {
    /// Every worker has its ring: these are their ports. Accept connections.
    Serve(Arc<[Arc<Port>]>),
    /// Stop accepting, and end when the last connection has.
    Drain,
    /// End now.
    Stop,
    /// Say how it is.
    Snapshot(mpsc::Sender<WorkerSnapshot>),
}

/// How far a worker has come.
pub(super) enum Started {
    /// It has its ring.
    Ring { worker: usize, port: Arc<Port> },
    /// It accepts connections.
    Serving,
}

/// What a worker is given.
pub(super) struct Seat {
    pub(super) worker: usize,
    pub(super) core: usize,
    pub(super) config: Arc<Config>,
    pub(super) capabilities: Capabilities,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) listeners: Vec<OwnedFd>,
    pub(super) loads: Arc<[Arc<Inside>]>,
    pub(super) board: Arc<Board>,
    pub(super) connections_max: usize,
    pub(super) congestion: CongestionPolicy,
    pub(super) started: mpsc::Sender<Result<Started, String>>,
}

/// The body of a worker's thread.
pub(super) fn run(seat: Seat, mailbox: MailboxReceiver<Command>) -> Result<(), String> {
    // Pinned before anything is allocated, so that memory is local to the CPU.
    let pinned = placement::pin(seat.core);
    let (rt, sources) = match prepare(&seat) {
        Ok(prepared) => prepared,
        Err(text) => {
            let _ = seat.started.send(Err(text.clone()));
            return Err(text);
        }
    };
    if !pinned {
        warn!(
            worker = seat.worker,
            core = seat.core,
            "not pinned: the kernel refused the core"
        );
    }
    let started = Started::Ring {
        worker: seat.worker,
        port: Arc::clone(rt.ring().port()),
    };
    let _ = seat.started.send(Ok(started));
    rt.run(serve(rt.clone(), seat, mailbox.open(&rt), sources))
        .map_err(|error| format!("the ring failed: {error}"))
}

/// What a worker draws from the system before it serves.
struct Sources {
    resolver: ResolverSetup,
    random: Random,
}

fn prepare(seat: &Seat) -> Result<(Rt, Sources), String> {
    let config = &seat.config;
    let ring_config = RingConfig {
        completion_entries: config.ring_entries,
        buffers: config.buffers,
        buffer_bytes: config.buffer_size,
        capabilities: seat.capabilities,
    };
    let locked = |what: &str, error: std::io::Error| {
        let workers = config.cores.len() as u64;
        let needed = workers * ring_config.locked_bytes(config.zero_copy == ZeroCopy::SendZc);
        let allowed = sys::memory_lock().map_or(0, |limit| limit.bytes);
        format!(
            "cannot {what}: {error}\nmend: for ENOMEM raise RLIMIT_MEMLOCK ('ulimit -l', LimitMEMLOCK= of systemd): \
             {workers} workers lock up to {needed} bytes, and {allowed} are allowed"
        )
    };
    let mut ring = Ring::new(&ring_config).map_err(|error| locked("set up a ring", error))?;
    if config.zero_copy == ZeroCopy::SendZc {
        ring.register_arena()
            .map_err(|error| locked("register the receive buffers", error))?;
    }
    let spin = match config.busy_poll {
        BusyPoll::Off => SpinPolicy::Off,
        BusyPoll::Auto => SpinPolicy::Adaptive,
        BusyPoll::For(window) => SpinPolicy::Fixed(window),
    };
    let resolver = ResolverSetup::system(config.resolver, config.buffer_size)
        .map_err(|error| format!("no randomness for the resolver: {error}"))?;
    let random =
        Random::system().map_err(|error| format!("no randomness for mask keys: {error}"))?;
    let rt = Rt::new(ring, spin);
    rt.set_at_once_tasks(config.relay.at_once_tasks);
    Ok((rt, Sources { resolver, random }))
}

fn proxy(rt: &Rt, seat: &Seat, sources: Sources, ports: &Arc<[Arc<Port>]>) -> Proxy {
    let config = &seat.config;
    let counters = Arc::<Counters>::default();
    let others = (ports.len() > 1).then(|| {
        let post = Post::new(rt, seat.worker as u16, Arc::clone(ports));
        (Arc::clone(&seat.board), post)
    });
    let splices = matches!(config.zero_copy, ZeroCopy::Auto | ZeroCopy::Splice);
    let has_send_zc = seat.capabilities.has(Feature::SendZc);
    let sends = match config.zero_copy {
        ZeroCopy::Auto if has_send_zc => ZeroCopySends::Adaptive,
        ZeroCopy::SendZc if has_send_zc => ZeroCopySends::Always,
        _ => ZeroCopySends::Never,
    };
    Proxy {
        rt: rt.clone(),
        dialler: Dialler::new(rt, Resolver::new(rt, sources.resolver), seat.congestion),
        policy: Policy::new(seat.addresses.clone()),
        connect_timeout: config.timeouts.connect,
        head_timeout: config.timeouts.head,
        idle_timeout: config.timeouts.idle,
        half_close_timeout: config.timeouts.half_close,
        keep_alive_timeout: config.timeouts.keep_alive,
        websocket_idle_timeout: config.timeouts.websocket_idle,
        websocket_inspect: config.websocket_inspect,
        random: sources.random,
        forwarded: config.forwarded,
        splice: splices.then_some(SpliceTuning {
            promote_full_buffers: config.relay.promote_full_buffers,
            demote_bytes: config.relay.demote_bytes,
            demote_small_splices: config.relay.demote_small_splices,
        }),
        zero_copy: ZeroCopyRoutes::new(sends),
        pipes: PipePool::default(),
        upstreams: UpstreamPool::new(rt, Arc::clone(&counters), others),
        scratch: Default::default(),
        draining: Cell::new(false),
        counters,
    }
}

/// What the tasks of a worker share beside the proxy.
struct Worker {
    proxy: Rc<Proxy>,
    gate: Gate,
    /// The listeners that accept; a drain waits until the last connection that the kernel let in has been taken.
    listening: Gate,
    balance: Balance,
    draining: Notify,
    refusals: Cell<usize>,
}

/// The worker's first task: it outlives all others, and its end is the worker's.
async fn serve(rt: Rt, mut seat: Seat, mut mailbox: Mailbox<Command>, sources: Sources) {
    let sockets = std::mem::take(&mut seat.listeners);
    let ports = loop {
        match mailbox.receive().await {
            Some(Command::Serve(ports)) => break ports,
            Some(Command::Snapshot(_)) => {}
            Some(Command::Drain | Command::Stop) | None => return,
        }
    };
    let ports = if seat.capabilities.has(Feature::MsgRing) {
        ports
    } else {
        Arc::new([])
    };
    let Some(inside) = seat.loads.get(seat.worker).cloned() else {
        return;
    };
    let worker = Rc::new(Worker {
        proxy: Rc::new(proxy(&rt, &seat, sources, &ports)),
        gate: Gate::new(&rt, inside),
        listening: Gate::new(&rt, Arc::default()),
        balance: Balance {
            own: seat.worker,
            loads: Arc::clone(&seat.loads),
            ports,
            connections_max: seat.connections_max,
        },
        draining: Notify::new(&rt),
        refusals: Cell::new(0),
    });
    for socket in sockets {
        match Listener::new(&rt, socket) {
            Ok(listener) => drop(rt.spawn(accept(Rc::clone(&worker), listener))),
            Err(error) => error!(%error, "a listener cannot be served"),
        }
    }
    rt.spawn(take_news(Rc::clone(&worker)));
    let Config {
        buffers,
        buffer_size,
        ring_entries,
        ..
    } = *seat.config;
    info!(
        worker = seat.worker,
        core = seat.core,
        ring_entries,
        buffers,
        buffer_size,
        "worker started"
    );
    // By then the listeners have their accept.
    rt.next_turn().await;
    let _ = seat.started.send(Ok(Started::Serving));
    obey(&worker, &mut mailbox, seat.core, seat.config.timeouts.drain).await;
    rt.ring().close_port();
    if rt
        .timeout_at(rt.now() + LAST_ARRIVALS_TIMEOUT, last_arrivals(&rt))
        .await
        .is_err()
    {
        warn!(
            worker = seat.worker,
            "another worker does not finish giving a connection away, which may hang now"
        );
    }
}

/// Follows commands until the end.
async fn obey(
    worker: &Rc<Worker>,
    mailbox: &mut Mailbox<Command>,
    core: usize,
    drain_timeout: Duration,
) {
    let rt = &worker.proxy.rt;
    let mut cut_off_at = None;
    loop {
        let drained = async {
            match cut_off_at {
                Some(at) => {
                    worker.listening.wait_empty().await;
                    let last = async {
                        last_arrivals(rt).await;
                        worker.gate.wait_empty().await;
                    };
                    let _ = rt.timeout_at(at, last).await;
                }
                None => std::future::pending().await,
            }
            Some(Command::Stop)
        };
        match futures_lite::future::or(mailbox.receive(), drained).await {
            Some(Command::Snapshot(reply)) => {
                let number = worker.balance.own;
                let _ = reply.send(WorkerSnapshot::take(
                    number,
                    core,
                    worker.gate.inside(),
                    &worker.proxy,
                ));
            }
            Some(Command::Drain) if cut_off_at.is_none() => {
                debug!(
                    worker = worker.balance.own,
                    connections = worker.gate.inside(),
                    "worker drains"
                );
                rt.ring().close_port();
                worker.draining.notify_all();
                worker.proxy.draining.set(true);
                worker.proxy.upstreams.close();
                // Those who wait for another request of their client learn that they need not.
                rt.wake_all();
                cut_off_at = Some(rt.now() + drain_timeout);
            }
            Some(Command::Serve(_) | Command::Drain) => {}
            Some(Command::Stop) | None => return,
        }
    }
}

/// Accepts on one listener until the worker drains.
async fn accept(worker: Rc<Worker>, mut listener: Listener) {
    let _listening = worker.listening.enter();
    let draining = worker.draining.wait();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok(Accepted::Connection(socket)) => {
                    worker.proxy.counters.accepted.add(1);
                    place(&worker, socket);
                }
                Ok(Accepted::Shed(socket)) => {
                    worker.proxy.upstreams.clear();
                    shed(&worker, socket, Cause::Exhausted);
                }
                Err(error) => {
                    error!(%error, "this listener accepts no more");
                    return;
                }
            }
        }
    };
    futures_lite::future::or(accepting, draining).await;
    for socket in listener.stop().await {
        worker.proxy.counters.accepted.add(1);
        admit(&worker, socket);
    }
}

/// Takes what other workers send: connections that they give away, and what they ask and answer about idle ones.
async fn take_news(worker: Rc<Worker>) {
    let rt = &worker.proxy.rt;
    let upstreams = &worker.proxy.upstreams;
    loop {
        let news = poll_fn(|_| {
            let mut ring = rt.ring();
            ring.listen_for_messages(rt.owner());
            match ring.next_message() {
                Some(news) => Poll::Ready(news),
                None => Poll::Pending,
            }
        })
        .await;
        match news {
            News::Connection(socket) => {
                worker.proxy.counters.taken_over.add(1);
                admit(&worker, socket);
            }
            News::Question { asker, slip } => upstreams.answer(asker, slip),
            News::Answer { slip, socket } => upstreams.answered(slip, socket),
        }
    }
}

/// How long an end waits for what other workers are giving away; for them it is a turn.
const LAST_ARRIVALS_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it looks whether they have: only they could wake it.
const LAST_ARRIVALS_LOOK: Duration = Duration::from_millis(1);

/// Waits until every connection that another worker has sent is admitted here. The port is closed, so none follows.
async fn last_arrivals(rt: &Rt) {
    while rt.ring().port().in_use() {
        rt.sleep_until(rt.now() + LAST_ARRIVALS_LOOK).await;
    }
    // The ring brings the last ones with this turn, and `take_news` admits them in the next.
    rt.next_turn().await;
    rt.next_turn().await;
}

/// Serves a new connection here or where there is less to do.
fn place(worker: &Rc<Worker>, socket: OwnedFd) {
    let Some(passage) = worker.balance.better_port().and_then(Port::enter) else {
        return admit(worker, socket);
    };
    let news = News::Connection(socket);
    let message = Message { passage, news };
    let message = Operation::start(&worker.proxy.rt, Op::Message(message));
    let worker = Rc::clone(worker);
    let rt = worker.proxy.rt.clone();
    let pass = worker.gate.enter();
    rt.spawn(async move {
        // A socket that comes back was not delivered: the other worker is gone or its queue is full.
        match message.await {
            (_, Some(socket)) => admit(&worker, socket),
            (_, None) => worker.proxy.counters.handed_off.add(1),
        }
        drop(pass);
    });
}

fn admit(worker: &Rc<Worker>, socket: OwnedFd) {
    if worker.balance.full() {
        return shed(worker, socket, Cause::ConnectionLimit);
    }
    let proxy = Rc::clone(&worker.proxy);
    worker
        .proxy
        .rt
        .spawn(session(proxy, socket, worker.gate.enter()));
}

/// Tells a connection that there is no room, if there are not too many to tell.
fn shed(worker: &Rc<Worker>, socket: OwnedFd, cause: Cause) {
    worker.proxy.counters.shed.add(1);
    if worker.refusals.get() >= limits::REFUSALS_MAX {
        return turn_away(&worker.proxy, socket, cause);
    }
    worker.refusals.set(worker.refusals.get() + 1);
    let worker = Rc::clone(worker);
    let rt = worker.proxy.rt.clone();
    let refused = refuse(Rc::clone(&worker.proxy), socket, cause);
    rt.spawn(async move {
        refused.await;
        worker.refusals.set(worker.refusals.get() - 1);
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;
    use crate::ring::capabilities;

    fn runtime() -> Rt {
        let config = RingConfig {
            completion_entries: 8,
            buffers: 1,
            buffer_bytes: 512,
            capabilities: capabilities(&[]).capabilities,
        };
        Rt::new(Ring::new(&config).expect("a ring"), SpinPolicy::Off)
    }

    #[test]
    fn what_was_sent_before_the_port_closed_has_arrived_when_the_wait_is_over() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let socket = TcpStream::connect(listener.local_addr().expect("its address"));
        let socket = OwnedFd::from(socket.expect("a connection"));
        let (known, port) = mpsc::channel();
        let (sent, queued) = mpsc::channel();
        let receiver = std::thread::spawn(move || {
            let rt = runtime();
            known.send(Arc::clone(rt.ring().port())).expect("heard");
            let arrived = Rc::new(Cell::new(false));
            let (seen, handle) = (Rc::clone(&arrived), rt.clone());
            // Asleep outside the ring until it is too late for anything but the wait for the last arrivals.
            queued.recv().expect("told");
            let main = async move {
                handle.ring().close_port();
                last_arrivals(&handle).await;
                seen.set(handle.ring().next_message().is_some());
            };
            rt.run(main).expect("an orderly end");
            arrived.get()
        });
        let port: Arc<Port> = port.recv().expect("told");
        let rt = runtime();
        let handle = rt.clone();
        let main = async move {
            let passage = port.enter().expect("it is open");
            let news = News::Connection(socket);
            let message = Op::Message(Message { passage, news });
            let message = Operation::start(&handle, message);
            sent.send(()).expect("heard");
            // The receiver has closed its port before this is submitted.
            while port.enter().is_some() {
                std::thread::yield_now();
            }
            let (result, socket) = message.await;
            assert_eq!((result, socket.is_none()), (0, true), "it is given away");
        };
        rt.run(main).expect("an orderly end");
        assert!(receiver.join().expect("no panic"), "the socket is lost");
    }
}
