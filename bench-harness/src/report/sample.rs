//! Results that nobody measured, for the tests of what is drawn: as many contenders as asked for, closed and open
//! loops, a ramp, idle tunnels, disturbed runs and contenders that cannot. The same arguments give the same
//! numbers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use crate::load::Mode;
use crate::plan::{Pace, Plan, Scenario, Stop};
use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{
    Cannot, Clock, Contender, Figure, Host, Kind, Point, RampStep, ResultFile, Run, SCHEMA_VERSION,
    Setting,
};

const NAMES: [&str; 12] = [
    "ringway",
    "haproxy",
    "nginx",
    "envoy",
    "sing-box",
    "squid",
    "epoll",
    "monoio",
    "tokio-uring",
    "tinyproxy",
    "ringway-busy-poll",
    "direct",
];
/// How each compares with the first in CPU and in latency.
const WEIGHTS: [f64; 12] = [
    1.0, 1.12, 0.97, 1.7, 1.45, 2.6, 0.92, 1.05, 1.04, 3.2, 1.3, 0.4,
];
const ROUNDS: usize = 3;
/// Of each run.
const LATENCIES: usize = 4_000;

/// Numbers that look measured (the generator of Knuth's MMIX).
struct Noise {
    state: u64,
    slowness: f64,
}

impl Noise {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(crate) fn compare(contenders: usize) -> ResultFile {
    made(contenders, 7, 1.0)
}

/// The same on another day, with programs that are a quarter slower.
pub(crate) fn slower(contenders: usize) -> ResultFile {
    made(contenders, 8, 1.25)
}

/// Histograms take long to encode in a debug build, and most tests begin with the same.
fn made(contenders: usize, seed: u64, slowness: f64) -> ResultFile {
    static MADE: Mutex<BTreeMap<(usize, u64), ResultFile>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    let made = made.entry((contenders, seed));
    made.or_insert_with(|| measured(contenders, seed, slowness))
        .clone()
}

fn measured(contenders: usize, seed: u64, slowness: f64) -> ResultFile {
    let plan = |scenario, pace, connections, payload| Plan {
        scenario,
        pace,
        stop: Stop::After { ms: 3_000 },
        connections,
        payload,
    };
    let mut noise = Noise {
        state: seed,
        slowness,
    };
    let mut points = Vec::new();
    let mut add = |workload: &str, plan| {
        points.push(point(workload, plan, contenders, &mut noise));
    };
    add("W1", plan(Scenario::Fresh, Pace::Closed, 1, 15_360));
    add("W1", plan(Scenario::Fresh, Pace::Closed, 64, 15_360));
    for rate in [5_000, 20_000, 40_000] {
        add("W3", plan(Scenario::Get, Pace::Fixed { rate }, 64, 2));
    }
    let ramp = Pace::Ramp {
        start: 2_000,
        bound_us: 1_000,
        percentile: 99.0,
    };
    add("W3", plan(Scenario::Get, ramp, 64, 2));
    add("W8", plan(Scenario::IdleTunnels, Pace::Closed, 500, 64));
    if let Some(last) = contenders.checked_sub(1).filter(|last| *last > 1) {
        let point = &mut points[1];
        point.runs.retain(|run| run.contender != last);
        let why = "it has no <CONNECT>".to_owned();
        point.cannot.push(Cannot {
            contender: last,
            why,
        });
    }
    ResultFile {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Compare,
        host: host(),
        setting: Setting {
            origin: address(18_080),
            duration_ms: 3_000,
            warm_up_ms: 500,
            load_wait: "sleep".to_owned(),
            proxy_core: Some(1),
            load_cores: vec![0],
            seed: None,
            rounds: ROUNDS,
        },
        contenders: (0..contenders).map(contender).collect(),
        points,
        verdicts: Vec::new(),
    }
}

fn host() -> Host {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    Host {
        unix_time_s: 1_767_225_599,
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        rustc: Some("1.95.0".to_owned()),
        kernel: "6.18.5".to_owned(),
        architecture: "x86_64".to_owned(),
        cpu: "Sample CPU at 2.0 GHz".to_owned(),
        cpus: 2,
        mitigations: pairs(&[
            ("meltdown", "Not affected"),
            ("spectre_v2", "Mitigation: Enhanced IBRS; IBPB: conditional"),
        ]),
        governor: None,
        page_size: 4_096,
        sysctls: pairs(&[
            ("net.core.somaxconn", "4096"),
            ("net.ipv4.tcp_congestion_control", "cubic"),
        ]),
        emulated: false,
        command_line: vec!["ringway-bench".to_owned(), "compare".to_owned()],
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn contender(index: usize) -> Contender {
    let name = NAMES.get(index).copied().unwrap_or("one more");
    let notes: &[&str] = match name {
        "nginx" => &["a reverse proxy: it is told its origin"],
        "sing-box" => &["no keep-alive to the origin: each GET is a new connection"],
        _ => &[],
    };
    Contender {
        name: name.to_owned(),
        version: Some(format!("{}.2", index + 1)),
        command: (name != "direct").then(|| format!("{name} --serve <\"{index}\"> && true")),
        mode: if name == "nginx" || name == "direct" {
            Mode::Tcp
        } else {
            Mode::Connect
        },
        address: address(3_128),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        capabilities: None,
    }
}

fn point(workload: &str, plan: Plan, contenders: usize, noise: &mut Noise) -> Point {
    let mut runs = Vec::new();
    for round in 0..ROUNDS {
        for contender in 0..contenders {
            runs.push(run(plan, contender, round, noise));
        }
    }
    Point {
        workload: workload.to_owned(),
        plan,
        runs,
        cannot: Vec::new(),
    }
}

fn run(plan: Plan, contender: usize, round: usize, noise: &mut Noise) -> Run {
    let weight = WEIGHTS.get(contender).copied().unwrap_or(2.0) * noise.slowness;
    let weight = weight * (0.97 + 0.06 * noise.next());
    let mut figures = Vec::new();
    let mut latency = None;
    if plan.scenario == Scenario::IdleTunnels {
        figures.push(Figure::new("pss_growth_per_tunnel", "KiB", 2.4 * weight).main());
        figures.push(Figure::new("open_all", "ms", 80.0 * weight));
    } else {
        let load = rate_of(plan.pace).map_or(0.3, |rate| rate as f64 / 60_000.0);
        let latencies = latencies(plan.pace, weight, load, noise);
        let cpu = Figure::new("cpu_us_per_round_trip", "us", 11.0 * weight);
        let median = Figure::new("p50_us", "us", latencies.at_quantile_us(0.5));
        match plan.pace {
            Pace::Closed => figures.extend([cpu.main(), median]),
            _ => figures.extend([median.main(), cpu]),
        }
        let rate = rate_of(plan.pace).map_or(70_000.0 / weight, |rate| rate as f64);
        figures.push(Figure::new("round_trips_per_s", "1/s", rate));
        figures.push(Figure::new("proxy_busy", "%", 42.0 * weight.min(2.0)));
        latency = Some(histogram::encode(&latencies).unwrap());
    }
    Run {
        contender,
        round,
        order: contender,
        figures,
        latency,
        steps: steps(plan.pace, weight),
        disturbed_percent: if contender == 3 && round == 2 {
            8.5
        } else {
            0.4
        },
    }
}

fn rate_of(pace: Pace) -> Option<u64> {
    match pace {
        Pace::Closed => None,
        Pace::Fixed { rate } | Pace::Poisson { rate } => Some(rate),
        Pace::Ramp { start, .. } => Some(start),
    }
}

/// A body, a tail, and a few stalls.
fn latencies(pace: Pace, weight: f64, load: f64, noise: &mut Noise) -> Latencies {
    let clock = match pace {
        Pace::Closed => Clock::Asked,
        _ => Clock::Planned,
    };
    let queue = 1.0 / (1.0 - load * weight.min(1.9) / 2.0).max(0.05);
    let one = |_| {
        let tail = (1.0 / (1.0 - noise.next())).powf(0.35 + 0.05 * weight);
        ((40_000.0 * weight + 20_000.0 * queue * tail) as u64, 1)
    };
    Latencies::of(clock, (0..LATENCIES).map(one))
}

fn steps(pace: Pace, weight: f64) -> Vec<RampStep> {
    let Pace::Ramp {
        start, bound_us, ..
    } = pace
    else {
        return Vec::new();
    };
    let rates = (0..8).map(|step| start + 6_000 * step);
    let step = |rate: u64| {
        let room = (1.0 - rate as f64 * weight / 60_000.0).max(0.02);
        let p50_us = 50.0 * weight / room;
        RampStep {
            rate,
            achieved: rate as f64 * 0.999,
            held: 4.0 * p50_us <= bound_us as f64,
            p50_us,
            p99_us: 4.0 * p50_us,
            bounded_us: 4.0 * p50_us,
            max_us: 40.0 * p50_us,
        }
    };
    let mut held = true;
    rates
        .map(step)
        .take_while(|step| std::mem::replace(&mut held, step.held))
        .collect()
}
