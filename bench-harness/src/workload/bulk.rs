//! W5: as many bytes as will go, in three shapes, each over fresh tunnels.

use std::time::{Duration, Instant};

use crate::figures::{self, Figure};
use crate::load::error::LoadError;
use crate::load::flow::{ANNOUNCEMENT_BYTES, End, Flow, Shape, Step};
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Ready, Target, socket};
use crate::process::{self, Process};
use crate::workload::{Case, Timing, open_tunnels};

/// The shape whose figure speaks for the workload.
const MAIN: Shape = Shape::Duplex;

pub(super) fn run(
    case: Case,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let mut load = Load::new(target, Service::Bulk, case.bytes)?;
    let bytes = case.bytes as u64;
    let shapes = [
        ("turns", Shape::Turns { bytes }),
        ("oneway", Shape::OneWay),
        ("duplex", Shape::Duplex),
    ];
    let mut figures = Vec::new();
    let mut rates = Vec::new();
    for (name, shape) in shapes {
        let mut bulk = Bulk::open(&mut load, case.connections, shape)?;
        bulk.round(&mut load, timing.warm_up)?;
        let work = || bulk.round(&mut load, timing.duration);
        let (bytes, cost) = process::timed(process, work)?;
        drop(bulk);
        load.finish()?;
        let gb = bytes as f64 / 1e9;
        if let Some(cpu) = cost.proxy_cpu {
            let name = format!("{name}_cpu_s_per_gb");
            let figure = Figure::new(name, "s/GB", cpu.as_secs_f64() / gb);
            figures.push(match shape == MAIN {
                true => figure.main(),
                false => figure,
            });
        }
        let rate = gb / cost.wall.as_secs_f64();
        rates.push(Figure::new(format!("{name}_rate"), "GB/s", rate));
        let busy = figures::busy(&cost);
        rates.extend(busy.map(|figure| Figure {
            name: format!("{name}_{}", figure.name),
            ..figure
        }));
    }
    figures.extend(rates);
    Ok(figures)
}

/// Tunnels with a flow through each.
#[derive(Debug)]
struct Bulk {
    tunnels: Vec<(Tunnel, Flow)>,
}

impl Bulk {
    fn open(load: &mut Load, connections: usize, shape: Shape) -> Result<Self, LoadError> {
        let doing = "announcing a bulk tunnel";
        let mut tunnels = Vec::with_capacity(connections);
        for tunnel in open_tunnels(load, connections)? {
            let flow = Flow::new(shape, End::Client, load.next_seed());
            let sent = socket::send(&tunnel.socket, &flow.announcement());
            if sent.map_err(LoadError::io(doing))? != Some(ANNOUNCEMENT_BYTES) {
                return Err(LoadError::EarlyEnd { doing });
            }
            tunnels.push((tunnel, flow));
        }
        Ok(Self { tunnels })
    }

    /// Moves bytes for `duration`, then waits until all that were sent have arrived; how many that were, each counted
    /// once, whichever way it went.
    fn round(&mut self, load: &mut Load, duration: Duration) -> Result<u64, LoadError> {
        let before = self.received(load);
        let deadline = Instant::now() + duration;
        load.expect_movement();
        self.set_flowing(load, true);
        let mut ready = Vec::new();
        while Instant::now() < deadline {
            load.turn(&mut ready, "moving in bulk")?;
            self.step(load, &ready)?;
        }
        self.set_flowing(load, false);
        while self.received(load) < self.sent(load) {
            load.turn(&mut ready, "waiting for the last bytes in bulk")?;
            self.step(load, &ready)?;
        }
        Ok(self.received(load) - before)
    }

    fn set_flowing(&mut self, load: &mut Load, flowing: bool) {
        load.origin.set_flowing(flowing);
        for (client, (_, flow)) in self.tunnels.iter_mut().enumerate() {
            flow.set_stopped(!flowing);
            load.again(client);
        }
    }

    fn step(&mut self, load: &mut Load, ready: &[Ready]) -> Result<(), LoadError> {
        for event in ready {
            let (tunnel, flow) = &mut self.tunnels[event.client];
            match flow.step(&tunnel.socket, event.readiness, &mut load.scratch)? {
                Step::Wait => {}
                Step::Again => load.again(event.client),
                Step::Ended => {
                    let doing = "moving in bulk";
                    return Err(LoadError::EarlyEnd { doing });
                }
            }
        }
        Ok(())
    }

    fn sent(&self, load: &Load) -> u64 {
        let clients: u64 = self.tunnels.iter().map(|(_, flow)| flow.sent).sum();
        clients + load.origin.bulk_bytes().1
    }

    fn received(&self, load: &Load) -> u64 {
        let clients: u64 = self.tunnels.iter().map(|(_, flow)| flow.received).sum();
        clients + load.origin.bulk_bytes().0
    }
}
