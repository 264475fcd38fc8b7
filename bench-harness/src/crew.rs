//! The load threads of one run: one for each load core, each with its own clients, origin, and histogram. They do what
//! they are told, all the same at the same time, and what they have counted is added up here.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::load::error::LoadError;
use crate::load::{Load, Mode, Target};
use crate::peer;
use crate::plan::{Pace, Plan, Stop};
use crate::process::OwnThread;
use crate::scenario::schedule::{Schedule, Share};
use crate::scenario::{self, Tally};

/// From the order to the first planned time: enough for every thread to have woken up.
const LEAD: Duration = Duration::from_millis(1);

/// What all load threads do next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Open,
    Round { pace: Pace, stop: Stop },
    Wake,
    Close,
}

/// Where the load goes, and from which cores.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) target: Target,
    /// One thread for each; none is one thread wherever the scheduler likes.
    pub(crate) cores: Vec<usize>,
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Crew {
    hands: Vec<Hand>,
}

#[derive(Debug)]
struct Hand {
    /// Gone once it shall end.
    orders: Option<Sender<(Order, Instant)>>,
    tallies: Receiver<Result<Tally, LoadError>>,
    thread: Option<JoinHandle<()>>,
}

/// What one thread is there for.
#[derive(Debug, Clone, Copy)]
struct Duty {
    plan: Plan,
    target: Target,
    share: Share,
    core: Option<usize>,
}

impl Post {
    /// Load threads of a plan with so many connections: none without a connection.
    fn threads(&self, connections: usize) -> usize {
        self.cores.len().min(connections).max(1)
    }

    fn duty(&self, plan: &Plan, share: Share) -> Result<Duty, LoadError> {
        let mut target = self.target;
        let is_direct = target.proxy == target.origin;
        target.origin = origin_of(target.origin, share.index)?;
        if is_direct {
            target.proxy = target.origin;
        }
        Ok(Duty {
            plan: *plan,
            target,
            share,
            core: self.cores.get(share.index).copied(),
        })
    }
}

/// The origin of load thread number `index`: the same address, so many ports further.
pub(crate) fn origin_of(first: SocketAddr, index: usize) -> Result<SocketAddr, LoadError> {
    let port = u16::try_from(index)
        .ok()
        .and_then(|index| first.port().checked_add(index));
    match port {
        Some(port) => Ok(SocketAddr::new(first.ip(), port)),
        None => Err(LoadError::Process(format!(
            "there is no port {index} after {first} for the origin"
        ))),
    }
}

/// Why this many load threads cannot be used, if they cannot.
pub(crate) fn check(mode: Mode, is_direct: bool, cores: &[usize]) -> Result<(), String> {
    if cores.len() > 1 && mode == Mode::Tcp && !is_direct {
        return Err(
            "in mode tcp the target is fixed, so that all connections come to the one origin of one load \
             thread: give one load core"
                .to_owned(),
        );
    }
    Ok(())
}

impl Crew {
    /// Starts the threads; their origins listen.
    pub(crate) fn muster(plan: &Plan, post: &Post) -> Result<Self, LoadError> {
        let of = post.threads(plan.connections);
        let mut hands = Vec::with_capacity(of);
        for index in 0..of {
            hands.push(Hand::hire(post.duty(plan, Share { index, of })?)?);
        }
        let mut crew = Self { hands };
        crew.gather()?;
        Ok(crew)
    }

    /// Has all of them do this, and waits until all have.
    pub(crate) fn order(&mut self, order: Order) -> Result<Tally, LoadError> {
        let now = Instant::now();
        for hand in &self.hands {
            if let Some(orders) = &hand.orders {
                let _ = orders.send((order, now)); // a thread that has ended says why in `gather`
            }
        }
        self.gather()
    }

    fn gather(&mut self) -> Result<Tally, LoadError> {
        let mut all = Tally::default();
        for hand in &self.hands {
            let gone = |_| Err(LoadError::Process("a load thread has ended".to_owned()));
            all.merge(hand.tallies.recv().unwrap_or_else(gone)?)?;
        }
        Ok(all)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for hand in &mut self.hands {
            hand.orders = None;
        }
        for hand in &mut self.hands {
            if let Some(thread) = hand.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl Hand {
    fn hire(duty: Duty) -> Result<Self, LoadError> {
        let (orders, ordered) = channel();
        let (tally, tallies) = channel();
        let work = move || {
            let done = duty.work(&ordered, &tally);
            if let Err(error) = done {
                let _ = tally.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("load-{}", duty.share.index))
            .spawn(work)
            .map_err(LoadError::io("starting a load thread"))?;
        Ok(Self {
            orders: Some(orders),
            tallies,
            thread: Some(thread),
        })
    }
}

impl Duty {
    /// Follows orders until there are no more, or one fails.
    fn work(
        &self,
        orders: &Receiver<(Order, Instant)>,
        tallies: &Sender<Result<Tally, LoadError>>,
    ) -> Result<(), LoadError> {
        peer::pin(self.core).map_err(LoadError::io("pinning a load thread"))?;
        let mut load = Load::new(self.target, &self.plan)?;
        let mut scene = scenario::scene(&self.plan, self.share);
        let _ = tallies.send(Ok(Tally::default()));
        for (order, at) in orders {
            let tally = match order {
                Order::Open => scene.open(&mut load)?,
                Order::Round { pace, stop } => {
                    let begin = match pace {
                        Pace::Closed => at,
                        _ => at + LEAD,
                    };
                    let mut schedule = Schedule::new(pace, stop, self.share, begin);
                    let before = OwnThread::now()?;
                    let mut tally = scene.round(&mut load, &mut schedule)?;
                    let spent = OwnThread::now()?.since(&before);
                    tally.wall = begin.elapsed();
                    tally.span = schedule.span();
                    tally.load_cpu = spent.cpu;
                    tally.load_waited = spent.waited;
                    tally
                }
                Order::Wake => scene.wake(&mut load)?,
                Order::Close => {
                    scene.close(&mut load)?;
                    Tally::default()
                }
            };
            if tallies.send(Ok(tally)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, TcpListener};

    use crate::load::Wait;
    use crate::plan::Scenario;
    use crate::result::model::Clock;

    /// Two ports in a row that are free.
    fn two_ports() -> SocketAddr {
        loop {
            let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = first.local_addr().unwrap();
            if address.port() < u16::MAX
                && TcpListener::bind((Ipv4Addr::LOCALHOST, address.port() + 1)).is_ok()
            {
                return address;
            }
        }
    }

    fn tally(plan: Plan, cores: Vec<usize>) -> Tally {
        let origin = two_ports();
        let target = Target {
            proxy: origin,
            origin,
            mode: Mode::Tcp,
            wait: Wait::Sleep,
            has_origin: true,
        };
        let mut crew = Crew::muster(&plan, &Post { target, cores }).unwrap();
        crew.order(Order::Open).unwrap();
        let (pace, stop) = (plan.pace, plan.stop);
        let tally = crew.order(Order::Round { pace, stop }).unwrap();
        crew.order(Order::Close).unwrap();
        tally
    }

    /// The core that every machine has, twice: what is tested is the sharing, not the speed.
    const TWO: [usize; 2] = [0, 0];

    #[test]
    fn two_threads_do_one_plan_together() {
        let plan = Plan {
            scenario: Scenario::Echo,
            pace: Pace::Fixed { rate: 500 },
            stop: Stop::Count { operations: 101 },
            connections: 3,
            payload: 1024,
        };
        let tally = tally(plan, TWO.to_vec());
        assert_eq!(tally.operations, 101);
        let latencies = tally.latencies.unwrap();
        assert_eq!(latencies.histogram().len(), 101, "all histograms are in it");
        assert_eq!(latencies.clock(), Clock::Planned);
        let planned = Duration::from_millis(202);
        assert!(
            tally.wall >= planned - Duration::from_millis(5),
            "{:?}",
            tally.wall
        );
        assert!(tally.span.unwrap() >= planned);
    }

    #[test]
    fn every_scenario_goes_straight_to_the_origin_by_count() {
        use Scenario::*;
        let plan = |scenario, pace| Plan {
            scenario,
            pace,
            stop: Stop::Count { operations: 40 },
            connections: 4,
            payload: 100,
        };
        let closed = [
            Fresh,
            Burst,
            Echo,
            Get,
            WebSocketEcho,
            WebSocketPing,
            WebSocketUpgrade,
            BulkTurns,
        ];
        for scenario in closed {
            let tally = tally(plan(scenario, Pace::Closed), TWO.to_vec());
            assert_eq!(tally.operations, 40, "{scenario:?}");
            assert_eq!(tally.failures, 0, "{scenario:?}");
        }
        for scenario in [WebSocketStream, BulkOneWay, BulkDuplex] {
            let tally = tally(plan(scenario, Pace::Closed), TWO.to_vec());
            assert!(tally.operations >= 40, "{scenario:?}"); // what was on its way then counts as well
        }
        let open = [
            Fresh,
            Echo,
            Get,
            WebSocketEcho,
            WebSocketPing,
            WebSocketUpgrade,
            WebSocketStream,
        ];
        for scenario in open {
            for pace in [Pace::Fixed { rate: 1000 }, Pace::Poisson { rate: 1000 }] {
                let tally = tally(plan(scenario, pace), TWO.to_vec());
                assert_eq!(tally.operations, 40, "{scenario:?} {pace:?}");
                let latencies = tally.latencies.unwrap();
                assert_eq!(latencies.histogram().len(), 40, "{scenario:?} {pace:?}");
                assert_eq!(latencies.clock(), Clock::Planned);
            }
        }
    }

    #[test]
    fn more_load_threads_than_one_need_a_proxy_that_is_told_the_origin() {
        assert!(
            check(Mode::Tcp, false, &[0, 1])
                .unwrap_err()
                .contains("one load core")
        );
        check(Mode::Tcp, false, &[0]).unwrap();
        check(Mode::Tcp, true, &[0, 1]).unwrap();
        check(Mode::Forward, false, &[0, 1]).unwrap();
    }
}
