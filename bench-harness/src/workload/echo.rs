//! Warm connections, each with at most one question under way: echoes (W9, the ping), GETs (W3, W4), WebSocket messages
//! (W12). In a closed loop the next is asked as soon as the last is answered; in an open loop questions have their
//! planned times, and one that finds no free connection waits on the clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::figures::{self, Figure};
use crate::load::error::LoadError;
use crate::load::exchange::Exchange;
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Target};
use crate::process::{self, Process};
use crate::workload::{Case, Timing, open_tunnels};

/// Least share of its planned rate that an open loop has to achieve.
const RATE_SHARE_MIN: f64 = 0.99;

/// Who answers, and which figure it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) service: Service,
    pub(super) main: Main,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Main {
    Cpu,
    Median,
}

pub(super) fn run(
    plan: Plan,
    case: Case,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let mut load = Load::new(target, plan.service, case.bytes)?;
    let tunnels = open_tunnels(&mut load, case.connections)?;
    round(&mut load, &tunnels, timing.rate, timing.warm_up)?;
    let accepted = load.origin.accepted();
    let work = || round(&mut load, &tunnels, timing.rate, timing.duration);
    let (latencies, cost) = process::timed(process, work)?;
    let accepted = load.origin.accepted() - accepted;
    drop(tunnels);
    load.finish()?;
    let count = latencies.len();
    let achieved = count as f64 / cost.wall.as_secs_f64();
    if let Some(rate) = timing.rate
        && achieved < rate as f64 * RATE_SHARE_MIN
    {
        return Err(LoadError::Late { rate, achieved });
    }
    let mut percentiles = figures::percentiles(&latencies);
    let cpu = figures::cpu_us_per("round_trip", count, &cost);
    let mut figures = Vec::new();
    match plan.main {
        Main::Cpu if timing.rate.is_none() => figures.extend(cpu.map(Figure::main)),
        _ => {
            figures.extend(percentiles.next().map(Figure::main));
            figures.extend(cpu);
        }
    }
    figures.extend(percentiles);
    figures.push(Figure::new("round_trips_per_s", "1/s", achieved));
    if plan.service == Service::Http {
        let name = "origin_connections";
        figures.push(Figure::new(name, "1", accepted as f64));
    }
    figures.extend(figures::busy(&cost));
    Ok(figures)
}

/// When questions may be asked.
#[derive(Debug)]
enum Pace {
    /// At any time before this.
    Closed { deadline: Instant },
    /// At their planned times: the next one is number `asked` of `count`.
    Open {
        started: Instant,
        rate: u64,
        asked: u64,
        count: u64,
    },
}

impl Pace {
    fn new(rate: Option<u64>, duration: Duration) -> Self {
        let now = Instant::now();
        match rate {
            None => Self::Closed {
                deadline: now + duration,
            },
            Some(rate) => Self::Open {
                started: now,
                rate,
                asked: 0,
                count: ((duration.as_secs_f64() * rate as f64) as u64).max(1),
            },
        }
    }

    /// When the next question is planned for; none if there is no further one.
    fn next(&self, now: Instant) -> Option<Instant> {
        match *self {
            Self::Closed { deadline } => (now < deadline).then_some(now),
            Self::Open {
                started,
                rate,
                asked,
                count,
            } => {
                let since = Duration::from_secs_f64(asked as f64 / rate as f64);
                (asked < count).then_some(started + since)
            }
        }
    }

    /// One more question is under way.
    fn count(&mut self) {
        if let Self::Open { asked, .. } = self {
            *asked += 1;
        }
    }
}

/// Questions and answers over the same connections for a while.
struct Round<'a> {
    tunnels: &'a [Tunnel],
    exchanges: Vec<Option<Exchange>>,
    /// Clients with nothing under way; who has waited longest is next.
    idle: VecDeque<usize>,
    pace: Pace,
}

/// Asks for `duration`, then waits for the last answers.
fn round(
    load: &mut Load,
    tunnels: &[Tunnel],
    rate: Option<u64>,
    duration: Duration,
) -> Result<Histogram<u64>, LoadError> {
    let mut latencies = figures::latencies();
    let mut ready = Vec::new();
    load.expect_movement();
    let mut round = Round {
        tunnels,
        exchanges: tunnels.iter().map(|_| None).collect(),
        idle: (0..tunnels.len()).collect(),
        pace: Pace::new(rate, duration),
    };
    while round.ask_due(load)? {
        load.turn(&mut ready, "waiting for answers")?;
        for event in &ready {
            let tunnel = &tunnels[event.client];
            let Some(exchange) = &mut round.exchanges[event.client] else {
                // Nothing is owed: an end of the connection is the only thing that can come.
                if event.readiness.ended {
                    let doing = "resting between questions";
                    return Err(LoadError::EarlyEnd { doing });
                }
                continue;
            };
            let answer = exchange.advance(&tunnel.socket, event.readiness, &mut load.scratch)?;
            let Some(latency) = answer else { continue };
            figures::record(&mut latencies, latency);
            round.exchanges[event.client] = None;
            round.idle.push_back(event.client);
            round.ask_due(load)?;
        }
    }
    load.set_alarm(None);
    Ok(latencies)
}

impl Round<'_> {
    /// Asks what is due, as far as there are clients for it; false once all has been asked and answered.
    fn ask_due(&mut self, load: &mut Load) -> Result<bool, LoadError> {
        loop {
            let now = Instant::now();
            let planned = self.pace.next(now);
            let Some(&client) = self.idle.front() else {
                load.set_alarm(None); // an answer has to come first
                return Ok(true);
            };
            match planned {
                None => {
                    load.set_alarm(None);
                    return Ok(self.idle.len() < self.tunnels.len());
                }
                Some(planned) if planned > now => {
                    load.set_alarm(Some(planned));
                    return Ok(true);
                }
                Some(planned) => {
                    self.idle.pop_front();
                    self.exchanges[client] = Some(ask(load, client, self.tunnels, planned)?);
                    self.pace.count();
                }
            }
        }
    }
}

/// Sends the next question of `client`, whose clock started at `started`.
pub(super) fn ask(
    load: &mut Load,
    client: usize,
    tunnels: &[Tunnel],
    started: Instant,
) -> Result<Exchange, LoadError> {
    let mut exchange = Exchange::new(load.question(client), started);
    exchange.push(&tunnels[client].socket, &load.scratch)?;
    Ok(exchange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_keeps_to_its_plan_however_late_it_is() {
        let mut pace = Pace::new(Some(100), Duration::from_millis(50));
        let Pace::Open { started, count, .. } = pace else {
            panic!("{pace:?}");
        };
        assert_eq!(count, 5);
        let late = started + Duration::from_secs(9);
        for expected in [0, 10, 20, 30, 40] {
            let planned = pace.next(late).unwrap();
            assert_eq!(planned - started, Duration::from_millis(expected));
            pace.count();
        }
        assert!(pace.next(late).is_none());
    }

    #[test]
    fn a_closed_loop_asks_until_its_time_is_over() {
        let pace = Pace::new(None, Duration::from_secs(1));
        let Pace::Closed { deadline } = pace else {
            panic!("{pace:?}");
        };
        let before = deadline - Duration::from_millis(1);
        assert_eq!(pace.next(before), Some(before));
        assert_eq!(pace.next(deadline), None);
    }
}
