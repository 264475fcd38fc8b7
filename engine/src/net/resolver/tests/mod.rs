//! The resolver on a real ring, against name servers made of threads on loopback.

mod exchange;
mod lookup;

use std::cell::Cell;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};

use super::*;
use crate::ring::{self, Ring, RingConfig};
use crate::rt::SpinPolicy;

/// What a name server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    name: String,
    family: Family,
    id: u16,
    edns_bytes: Option<u16>,
    from: SocketAddr,
    over_tcp: bool,
}

/// A name server on loopback that answers by a function, over UDP and TCP.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

type Answer = dyn Fn(&Asked, Message) -> Vec<Vec<u8>> + Send + Sync;

impl NameServer {
    fn start(answer: impl Fn(&Asked, Message) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (tcp, udp) = sockets();
        let address = udp.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let answer: Arc<Answer> = Arc::new(answer);
        let serve = {
            let (asked, over) = (Arc::clone(&asked), Arc::clone(&over));
            move |query: &[u8], from, over_tcp| {
                if over.load(Ordering::Relaxed) {
                    return None;
                }
                let (question, reply) = understand(query, from, over_tcp);
                asked.lock().expect("the list").push(question.clone());
                Some(answer(&question, reply))
            }
        };
        let serve_tcp = serve.clone();
        let threads = vec![
            thread::spawn(move || {
                let mut query = [0; 1024];
                loop {
                    let (length, from) = udp.recv_from(&mut query).expect("a query");
                    let Some(replies) = serve(&query[..length], from, false) else {
                        return;
                    };
                    for reply in replies {
                        udp.send_to(&reply, from).expect("a reply");
                    }
                }
            }),
            thread::spawn(move || {
                loop {
                    let (mut stream, from) = tcp.accept().expect("a connection");
                    let mut length = [0; 2];
                    if stream.read_exact(&mut length).is_err() {
                        return;
                    }
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut query).expect("a query");
                    let Some(replies) = serve_tcp(&query, from, true) else {
                        return;
                    };
                    // One byte at a time, as far as the network allows.
                    stream.set_nodelay(true).expect("no delay");
                    for reply in replies {
                        let length = u16::try_from(reply.len())
                            .expect("a short reply")
                            .to_be_bytes();
                        for byte in length.iter().chain(&reply) {
                            stream.write_all(&[*byte]).expect("a reply");
                        }
                    }
                }
            }),
        ];
        Self {
            address,
            asked,
            over,
            threads,
        }
    }

    /// One that answers every name with one address of each family.
    fn simple() -> Self {
        Self::start(|asked, reply| vec![with_address(asked, reply, 60)])
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("the list").clone()
    }

    fn names(&self) -> Vec<(String, Family)> {
        self.asked()
            .into_iter()
            .map(|asked| (asked.name, asked.family))
            .collect()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes both threads; one that has failed already does not listen any more.
        let wake = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let _ = wake.and_then(|socket| socket.send_to(&[], self.address));
        let _ = std::net::TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !thread::panicking() {
                panic!("a name server failed");
            }
        }
    }
}

/// Sockets of both kinds on one port.
fn sockets() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")) {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both");
}

fn understand(query: &[u8], from: SocketAddr, over_tcp: bool) -> (Asked, Message) {
    let query = Message::from_vec(query).expect("a query");
    let question = query.queries.first().expect("a question").clone();
    let asked = Asked {
        name: question.name.to_ascii().trim_end_matches('.').to_owned(),
        family: if question.query_type == RecordType::A {
            Family::V4
        } else {
            Family::V6
        },
        id: query.metadata.id,
        edns_bytes: query.edns.as_ref().map(|edns| edns.max_payload()),
        from,
        over_tcp,
    };
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.add_query(question);
    (asked, reply)
}

fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

fn with_address(asked: &Asked, mut reply: Message, ttl: u32) -> Vec<u8> {
    let data = match address(asked.family) {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    let name = reply.queries[0].name.clone();
    reply.add_answer(Record::from_rdata(name, ttl, data));
    reply.to_vec().expect("a reply")
}

fn with_code(mut reply: Message, code: ResponseCode) -> Vec<u8> {
    reply.metadata.response_code = code;
    reply.to_vec().expect("a reply")
}

fn setup(servers: &[&NameServer], configuration: &str) -> ResolverSetup {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file =
        |kind| std::env::temp_dir().join(format!("ringway-{}-{number}-{kind}", std::process::id()));
    let setup = ResolverSetup {
        resolv_conf: file("resolv.conf"),
        hosts: file("hosts"),
        servers: servers.iter().map(|server| server.address).collect(),
        ..ResolverSetup::system(None, 4096).expect("a seed")
    };
    std::fs::write(&setup.resolv_conf, configuration).expect("a temporary file");
    setup
}

fn remove(path: &Path) {
    if path.exists() {
        std::fs::remove_file(path).expect("the temporary file");
    }
}

/// Runs `test` with a resolver on a ring; whatever it started has to be over soon after.
fn run<F: Future<Output = ()> + 'static>(
    setup: ResolverSetup,
    test: impl FnOnce(Rt, Resolver) -> F + 'static,
) {
    let files = [setup.resolv_conf.clone(), setup.hosts.clone()];
    let config = RingConfig {
        completion_entries: 64,
        buffers: 16,
        buffer_bytes: 4096,
        capabilities: ring::capabilities(&[]).capabilities,
    };
    let rt = Rt::new(Ring::new(&config).expect("a ring"), SpinPolicy::Off);
    let resolver = Resolver::new(&rt, setup);
    let tested = Rc::new(Cell::new(false));
    let done = Rc::clone(&tested);
    let handle = rt.clone();
    rt.run(async move {
        let tasks = handle.gauges().tasks;
        test(handle.clone(), resolver.clone()).await;
        let held = || {
            let gauges = handle.gauges();
            (
                resolver.questions(),
                gauges.tasks - tasks,
                gauges.operations,
                gauges.leases,
            )
        };
        let end = Instant::now() + Duration::from_secs(5);
        while held() != (0, 0, 0, 0) && Instant::now() < end {
            handle
                .sleep_until(handle.now() + Duration::from_millis(5))
                .await;
        }
        assert_eq!(held(), (0, 0, 0, 0), "questions, tasks, operations, leases");
        done.set(true);
    })
    .expect("the ring goes on");
    assert!(tested.get(), "the test ran to its end");
    files.iter().for_each(|path| remove(path));
}

fn soon(rt: &Rt) -> Instant {
    rt.now() + Duration::from_secs(5)
}
