//! The workloads that have a name: which plans each stands for, how a proxy is spoken to by it, and which figure speaks
//! for it. It is data; a combination that is not here needs a plan and no code.

use crate::load::Mode;
use crate::peer;
use crate::plan::{Pace, Plan, Scenario, Stop};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A named workload.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: &'static str,
    /// What it measures, in words.
    pub(crate) measures: &'static str,
    pub(crate) scenarios: &'static [Scenario],
    /// Each number of connections goes with each payload.
    pub(crate) connections: &'static [usize],
    pub(crate) payloads: &'static [usize],
    /// How a proxy is spoken to where nothing else was typed.
    pub(crate) modes: &'static [Mode],
    pub(crate) main: Main,
    /// Why it cannot be run here, or not against Ringway.
    pub(crate) limit: Option<Limit>,
}

/// The figure that speaks for a workload in a closed loop. In an open loop it is the median latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Main {
    Cpu,
    Median,
    Total,
    Memory,
}

/// What stands against a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// No traffic: it is measured elsewhere.
    Code(&'static str),
    /// Ringway cannot do it yet; others may.
    Ringway(&'static str),
}

/// What was typed about the points of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) connections: Option<usize>,
    pub(crate) payload: Option<usize>,
    pub(crate) pace: Pace,
    pub(crate) stop: Stop,
}

const W1: Entry = Entry {
    id: "W1",
    measures: "connect, CONNECT, 15,360 B echo, close, over and over: CPU of the proxy per connection",
    scenarios: &[Scenario::Fresh],
    connections: &[1, 8, 64, 256],
    payloads: &[15_360],
    modes: &[Mode::Connect],
    main: Main::Cpu,
    limit: None,
};

const W3: Entry = Entry {
    id: "W3",
    measures: "GET over warm connections, a body of 2 B: CPU of the proxy per round trip",
    scenarios: &[Scenario::Get],
    connections: &[1, 8, 64],
    payloads: &[2],
    modes: &[Mode::Forward],
    main: Main::Cpu,
    limit: None,
};

const W9: Entry = Entry {
    id: "W9",
    measures: "1 KiB echo over warm tunnels: CPU of the proxy per round trip, and latency",
    scenarios: &[Scenario::Echo],
    connections: &[64, 1_000],
    payloads: &[KIB],
    modes: &[Mode::Connect],
    main: Main::Cpu,
    limit: None,
};

/// WebSockets are measured both as a forward proxy sees them and hidden in a tunnel.
const BOTH: &[Mode] = &[Mode::Forward, Mode::Connect];

const W12: Entry = Entry {
    id: "W12",
    measures: "WebSocket echo, by Upgrade and inside CONNECT: CPU of the proxy per round trip",
    scenarios: &[Scenario::WebSocketEcho],
    connections: &[1, 100, 800],
    payloads: &[17, 125, KIB, 4 * KIB, 64 * KIB, MIB],
    modes: BOTH,
    main: Main::Cpu,
    limit: None,
};

/// All of them.
pub(crate) const ALL: &[Entry] = &[
    W1,
    Entry {
        id: "W2",
        measures: "W1 through an HTTP parent, which the proxy's own command names: CPU of the proxy per connection",
        limit: Some(Limit::Ringway("it has no parent proxies")),
        ..W1
    },
    W3,
    Entry {
        id: "W4",
        measures: "GET over warm connections, larger bodies: CPU of the proxy per round trip",
        payloads: &[KIB, 10 * KIB, 100 * KIB, 10 * MIB],
        ..W3
    },
    Entry {
        id: "W5",
        measures: "bulk: each way by turns, then one way (origin to client), then both ways at once: CPU of the proxy \
                   per GB relayed",
        scenarios: &[
            Scenario::BulkTurns,
            Scenario::BulkOneWay,
            Scenario::BulkDuplex,
        ],
        connections: &[1, 4, 16, 64],
        payloads: &[MIB],
        ..W9
    },
    Entry {
        id: "W6",
        measures: "4 B ping, first over a fresh tunnel each, then over a warm one: median latency",
        scenarios: &[Scenario::Fresh, Scenario::Echo],
        connections: &[1],
        payloads: &[4],
        main: Main::Median,
        ..W9
    },
    Entry {
        id: "W7",
        measures: "1,000 simultaneous CONNECTs with a 4 B ping each: total time, latency of each, failures",
        scenarios: &[Scenario::Burst],
        connections: &[1_000],
        payloads: &[4],
        main: Main::Total,
        ..W9
    },
    Entry {
        id: "W8",
        measures: "open tunnels, ping each once, leave them idle: memory (PSS) of the proxy per tunnel",
        scenarios: &[Scenario::IdleTunnels],
        connections: &[500, 9_000],
        payloads: &[64],
        main: Main::Memory,
        ..W9
    },
    W9,
    W12,
    Entry {
        id: "W13",
        measures: "WebSocket messages of 1 KiB in one direction, from the origin: CPU of the proxy per message",
        scenarios: &[Scenario::WebSocketStream],
        connections: &[1, 64],
        payloads: &[KIB],
        ..W12
    },
    Entry {
        id: "W14",
        measures: "connect, upgrade to a WebSocket, close, over and over: CPU of the proxy per upgrade, upgrades per second",
        scenarios: &[Scenario::WebSocketUpgrade],
        connections: &[1, 64],
        payloads: &[0],
        ..W12
    },
    Entry {
        id: "W15",
        measures: "WebSocket ping frame and its pong: median latency",
        scenarios: &[Scenario::WebSocketPing],
        connections: &[1],
        payloads: &[4],
        main: Main::Median,
        ..W12
    },
    Entry {
        id: "W16",
        measures: "open WebSockets, leave them idle, then one message to each: memory (PSS) of the proxy per WebSocket",
        scenarios: &[Scenario::IdleWebSockets],
        connections: &[9_000],
        payloads: &[17],
        modes: &[Mode::Forward],
        main: Main::Memory,
        ..W12
    },
    Entry {
        id: "ping",
        measures: "64 B echo over one warm tunnel: median latency",
        connections: &[1],
        payloads: &[64],
        main: Main::Median,
        ..W9
    },
    Entry {
        id: "R1",
        measures: "a routing decision with 1 to 100,000 rules, hit and miss",
        scenarios: &[],
        limit: Some(Limit::Code(
            "Ringway has no routing rules; once it has, their instructions are counted by the benches of the engine",
        )),
        ..W1
    },
    Entry {
        id: "M1",
        measures: "masking and unmasking of WebSocket payload",
        scenarios: &[],
        limit: Some(Limit::Code(
            "this is pure code without traffic, which the instruction benches of the engine are for; Ringway relays \
             frames as they are and masks nothing",
        )),
        ..W1
    },
];

/// Payload that all connections of a point may hold at once; more is asked of no machine unless it is typed.
const HELD_BYTES_MAX: usize = 256 * MIB;

impl Entry {
    /// The workload of this name, in any case.
    pub(crate) fn named(name: &str) -> Result<&'static Self, String> {
        ALL.iter()
            .find(|entry| entry.id.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let names: Vec<&str> = ALL.iter().map(|entry| entry.id).collect();
                format!("{name:?} is not a workload; there are {}", names.join(", "))
            })
    }

    /// Why it cannot be run against what this command starts, if it cannot.
    pub(crate) fn check(&self, command: Option<&str>) -> Result<(), String> {
        match self.limit {
            Some(Limit::Code(why)) => Err(format!("{} cannot be run: {why}", self.id)),
            Some(Limit::Ringway(why)) if command.is_some_and(is_ringway) => {
                Err(format!("{} cannot be run against Ringway: {why}", self.id))
            }
            _ => Ok(()),
        }
    }

    /// Its points: each scenario with each number of connections and each payload, where nothing else was typed.
    pub(crate) fn plans(&self, choice: &Choice) -> Vec<Plan> {
        let of = |typed: Option<usize>, usual: &[usize]| {
            typed.map_or_else(|| usual.to_vec(), |typed| vec![typed])
        };
        let connections = of(choice.connections, self.connections);
        let payloads = of(choice.payload, self.payloads);
        let is_typed = choice.connections.is_some() && choice.payload.is_some();
        let mut plans = Vec::new();
        for &scenario in self.scenarios {
            for &connections in &connections {
                for &payload in &payloads {
                    let is_held = scenario == Scenario::WebSocketEcho;
                    if is_held && !is_typed && connections * payload > HELD_BYTES_MAX {
                        continue;
                    }
                    plans.push(Plan {
                        scenario,
                        pace: choice.pace,
                        stop: choice.stop,
                        connections,
                        payload,
                    });
                }
            }
        }
        plans
    }

    /// Whether this figure speaks for the workload at this pace.
    pub(crate) fn is_main(&self, pace: Pace, figure: &str) -> bool {
        match (pace, self.main) {
            (Pace::Ramp { .. }, _) => figure == "rate_at_bound",
            (Pace::Fixed { .. } | Pace::Poisson { .. }, _) | (_, Main::Median) => {
                figure == "p50_us"
            }
            (_, Main::Cpu) => {
                figure.starts_with("cpu_us_per_") || figure.ends_with("_cpu_s_per_gb")
            }
            (_, Main::Total) => figure == "total_ms",
            (_, Main::Memory) => figure == "pss_growth_per_tunnel",
        }
    }
}

/// Whether a shell command starts Ringway, as far as its first word says so.
pub(crate) fn is_ringway(command: &str) -> bool {
    let file = peer::program(command).and_then(|program| program.rsplit('/').next());
    file == Some("ringway")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_USUAL: Choice = Choice {
        connections: None,
        payload: None,
        pace: Pace::Closed,
        stop: Stop::After { ms: 1 },
    };

    #[test]
    fn every_plan_can_be_carried_out_and_stays_the_same_as_json() {
        let paces = [
            Pace::Closed,
            Pace::Fixed { rate: 15_000 },
            Pace::Poisson { rate: 7 },
            Pace::Ramp {
                start: 100,
                bound_us: 1_000,
                percentile: 99.9,
            },
        ];
        let stops = [Stop::After { ms: 3_000 }, Stop::Count { operations: 7 }];
        for entry in ALL {
            for plan in entry.plans(&AS_USUAL) {
                for mode in entry.modes {
                    plan.check(*mode).unwrap();
                }
                for (pace, stop) in paces
                    .iter()
                    .flat_map(|pace| stops.map(|stop| (*pace, stop)))
                {
                    let plan = Plan { pace, stop, ..plan };
                    let json = serde_json::to_string(&plan).unwrap();
                    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "{json}");
                }
            }
        }
    }

    #[test]
    fn workloads_have_the_points_they_are_known_for() {
        let points = |name: &str| {
            let plans = Entry::named(name).unwrap().plans(&AS_USUAL);
            plans
                .into_iter()
                .map(|plan| (plan.connections, plan.payload))
        };
        let w1: Vec<_> = points("w1").collect();
        assert_eq!(w1, [(1, 15_360), (8, 15_360), (64, 15_360), (256, 15_360)]);
        assert_eq!(points("W5").count(), 3 * 4);
        assert_eq!(points("W7").collect::<Vec<_>>(), [(1_000, 4)]);
        assert!(points("W12").any(|point| point == (100, MIB)));
        assert!(
            points("W12").all(|point| point != (800, MIB)),
            "it would hold 800 MiB"
        );
        let typed = Choice {
            connections: Some(800),
            payload: Some(MIB),
            ..AS_USUAL
        };
        assert_eq!(Entry::named("W12").unwrap().plans(&typed).len(), 1);
        assert!(Entry::named("W99").unwrap_err().contains("W1, W2"));
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let check = |name: &str, command| Entry::named(name).unwrap().check(command);
        assert!(check("R1", None).unwrap_err().contains("rules"));
        assert!(check("M1", None).unwrap_err().contains("instruction"));
        let ringway = Some("'/a b/ringway' serve --listen 127.0.0.1:1");
        assert!(check("W2", ringway).unwrap_err().contains("parent"));
        assert!(check("W2", Some("target/release/ringway serve")).is_err());
        check("W2", Some("squid -N")).unwrap();
        check("W1", ringway).unwrap();
    }
}
