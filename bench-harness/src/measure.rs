//! One run: a program is started, loaded by a plan, and what that took is told in figures.
//!
//! The program is started afresh for every run, never kept side by side with another: memory figures need a process
//! without a past, an unloaded rival that looks at its timers would still take the core, and where a program happens
//! to lie in memory is then part of the spread and not of the result.

use std::net::SocketAddr;
use std::time::Duration;

use crate::catalogue::Entry;
use crate::crew::{self, Crew, Order, Post};
use crate::figures::{self, Observed};
use crate::load::error::LoadError;
use crate::load::{Mode, Target, Wait};
use crate::peer::Peer;
use crate::plan::{Pace, Plan, Stop};
use crate::process::{Process, Spent};
use crate::ramp::Ramp;
use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{self, Figure, RampStep};
use crate::scenario::Tally;

/// What a run takes beside its warm-up and its timed part: a process starts and ends.
const AROUND_A_RUN: Duration = Duration::from_millis(700);

/// What all runs of one call have in common.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// Of the first load thread; that of each further one is a port further.
    pub(crate) origin: SocketAddr,
    /// The origin is this program's own.
    pub(crate) has_origin: bool,
    pub(crate) wait: Wait,
    /// Where started programs are pinned.
    pub(crate) core: Option<usize>,
    /// A load thread for each; none is one that the scheduler places.
    pub(crate) load_cores: Vec<usize>,
    pub(crate) warm_up: Duration,
}

/// What a run goes against.
#[derive(Debug, Clone)]
pub(crate) struct Opponent {
    pub(crate) proxy: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) from: From,
}

/// Where an opponent comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// It is started for the run.
    Command(String),
    /// It runs already, as this process if that is known.
    Running(Option<u32>),
}

/// What a run has told.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) figures: Vec<Figure>,
    pub(crate) latencies: Option<Latencies>,
    pub(crate) steps: Vec<RampStep>,
    pub(crate) disturbed_percent: f64,
}

impl Opponent {
    /// No proxy at all: the load goes straight to its origin.
    pub(crate) fn direct(bench: &Bench) -> Self {
        Self {
            proxy: bench.origin,
            mode: Mode::Tcp,
            from: From::Running(None),
        }
    }

    /// What starts it.
    pub(crate) fn command(&self) -> Option<&str> {
        match &self.from {
            From::Command(command) => Some(command),
            From::Running(_) => None,
        }
    }
}

impl Bench {
    /// Why `plan` cannot be measured so, if it cannot.
    pub(crate) fn check(
        &self,
        opponent: &Opponent,
        entry: &Entry,
        plan: &Plan,
    ) -> Result<(), String> {
        entry.check(opponent.command())?;
        plan.check(opponent.mode)?;
        crew::check(
            opponent.mode,
            opponent.proxy == self.origin,
            &self.load_cores,
        )?;
        self.check_origin(plan)
    }

    /// Why the origin of `plan` cannot be where it is, if it cannot.
    pub(crate) fn check_origin(&self, plan: &Plan) -> Result<(), String> {
        match plan.scenario.drives_origin() && !self.has_origin {
            true => Err(LoadError::ElsewhereOrigin.to_string()),
            false => Ok(()),
        }
    }

    /// How long a run takes, where that can be told beforehand.
    pub(crate) fn expected(&self, plan: &Plan) -> Option<Duration> {
        match (plan.pace, plan.stop) {
            (Pace::Ramp { .. }, _) | (_, Stop::Count { .. }) => None,
            (_, Stop::After { ms }) => {
                Some(Duration::from_millis(ms) + self.warm_up + AROUND_A_RUN)
            }
        }
    }

    fn post(&self, opponent: &Opponent) -> Post {
        Post {
            target: Target {
                proxy: opponent.proxy,
                origin: self.origin,
                mode: opponent.mode,
                wait: self.wait,
                has_origin: self.has_origin,
            },
            cores: self.load_cores.clone(),
        }
    }
}

impl Measured {
    /// As the result file has it: run number `round` of `contender`, `order` within that round.
    pub(crate) fn into_run(
        self,
        contender: usize,
        round: usize,
        order: usize,
    ) -> Result<model::Run, String> {
        Ok(model::Run {
            contender,
            round,
            order,
            figures: self.figures,
            latency: self.latencies.as_ref().map(histogram::encode).transpose()?,
            steps: self.steps,
            disturbed_percent: self.disturbed_percent,
        })
    }
}

/// One run; an error is why it is void.
pub(crate) fn run(
    bench: &Bench,
    opponent: &Opponent,
    entry: &Entry,
    plan: &Plan,
) -> Result<Measured, String> {
    bench.check(opponent, entry, plan)?;
    let mut peer = match &opponent.from {
        From::Command(command) => Some(Peer::start(command, opponent.proxy, bench.core)?),
        From::Running(_) => None,
    };
    let process = match (&peer, &opponent.from) {
        (Some(peer), _) => Process::family(peer.pid()).map(|family| Some(family.on(bench.core))),
        (None, From::Running(pid)) => pid.map(Process::alone).transpose(),
        (None, From::Command(_)) => Ok(None),
    };
    let measured = process.and_then(|process| {
        let run = Underway {
            plan,
            process: process.as_ref(),
            crew: Crew::muster(plan, &bench.post(opponent))?,
            steps: Vec::new(),
        };
        run.carry_out(entry, bench.warm_up)
    });
    let what = |error| format!("{} {plan} is void: {error}", entry.id);
    match (measured, &mut peer) {
        (Ok(measured), _) => Ok(measured),
        (Err(error), None) => Err(what(error.to_string())),
        (Err(error), Some(peer)) => {
            let status = peer
                .ended()
                .map(|status| format!(" (and it ended, {status})"));
            let error = format!("{error}{}", status.unwrap_or_default());
            Err(peer.failed(&what(error)))
        }
    }
}

/// A run while it runs.
#[derive(Debug)]
struct Underway<'a> {
    plan: &'a Plan,
    process: Option<&'a Process>,
    crew: Crew,
    steps: Vec<RampStep>,
}

impl Underway<'_> {
    fn carry_out(mut self, entry: &Entry, warm_up: Duration) -> Result<Measured, LoadError> {
        let (plan, process) = (self.plan, self.process);
        let held = || process.map(Process::held).transpose();
        if plan.scenario.is_idle() {
            std::thread::sleep(warm_up); // so that memory of its start is not taken for memory of tunnels
        }
        let mut observed = Observed {
            before: held()?,
            opened: self.crew.order(Order::Open)?,
            ..Observed::default()
        };
        // Idle ones rest for it: the proxy may give back what only activity needs.
        let stop = Stop::After {
            ms: milliseconds(warm_up),
        };
        self.crew.order(Order::Round {
            pace: plan.pace,
            stop,
        })?;
        match plan.pace {
            Pace::Ramp {
                start,
                bound_us,
                percentile,
            } => {
                let ramp = Ramp::new(start, self.least_rate(percentile));
                self.climb(ramp, (bound_us, percentile), &mut observed)?;
            }
            pace => {
                (observed.timed, observed.spent) = self.timed(pace)?;
                if let Some((planned, achieved)) = observed.timed.late() {
                    return Err(LoadError::Late { planned, achieved });
                }
            }
        }
        observed.after = held()?;
        observed.woken = self.crew.order(Order::Wake)?;
        observed.end = held()?;
        self.crew.order(Order::Close)?;
        let figures = observed.figures(entry, plan);
        Ok(Measured {
            disturbed_percent: figures::disturbed(&figures),
            latencies: observed.latencies().cloned(),
            figures,
            steps: self.steps,
        })
    }

    /// A round, and what the proxy has spent on it; both begin and end at rest.
    fn timed(&mut self, pace: Pace) -> Result<(Tally, Option<Spent>), LoadError> {
        let stop = self.plan.stop;
        let spent = |process: Option<&Process>| process.map(Process::spent).transpose();
        let before = spent(self.process)?;
        let tally = self.crew.order(Order::Round { pace, stop })?;
        let after = spent(self.process)?;
        let both = after.zip(before);
        Ok((tally, both.map(|(after, before)| after.since(&before))))
    }

    /// The lowest rate of a ramp: that at which so many operations of a step are beyond the percentile.
    fn least_rate(&self, percentile: f64) -> u64 {
        const BEYOND: f64 = 2.0;
        let operations = BEYOND / (1.0 - percentile.min(99.999) / 100.0);
        match self.plan.stop {
            Stop::After { ms } => (operations * 1e3 / ms as f64).ceil() as u64,
            Stop::Count { .. } => 1,
        }
    }

    /// One round for each rate that is tried; what is told in the end is that of the highest one that held.
    fn climb(
        &mut self,
        mut ramp: Ramp,
        (bound_us, percentile): (u64, f64),
        observed: &mut Observed,
    ) -> Result<(), LoadError> {
        while let Some(rate) = ramp.next() {
            let (tally, spent) = self.timed(Pace::Fixed { rate })?;
            let at = |quantile| {
                let latencies = tally.latencies.as_ref();
                latencies.map_or(0.0, |latencies| latencies.at_quantile_us(quantile))
            };
            let bounded_us = at(percentile / 100.0);
            let held = tally.late().is_none() && bounded_us <= bound_us as f64;
            self.steps.push(RampStep {
                rate,
                achieved: tally.per_second(),
                held,
                p50_us: at(0.5),
                p99_us: at(0.99),
                bounded_us,
                max_us: at(1.0),
            });
            ramp.tried(held);
            if held {
                (observed.timed, observed.spent) = (tally, spent);
            }
        }
        observed.rate_at_bound = ramp.held();
        match ramp.held() {
            Some(_) => Ok(()),
            None => Err(LoadError::NothingHeld {
                bound_us,
                percentile,
            }),
        }
    }
}

/// At least one.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    (duration.as_millis() as u64).max(1)
}
