//! The command `run`: one workload against one proxy, in each mode it is usual for, and without a proxy beside it.

use std::io::{Write, stderr};
use std::net::TcpStream;
use std::time::Duration;

use crate::args::{self, Role};
use crate::crew;
use crate::figures;
use crate::host::{self, OfRingway};
use crate::load::error::LoadError;
use crate::load::{Load, Mode, Target};
use crate::measure::{self, Bench, From, Opponent};
use crate::peer;
use crate::plan::{Pace, Plan};
use crate::progress::Progress;
use crate::report;
use crate::result::file;
use crate::result::model::{
    Cannot, Contender, Figure, Kind, Point, ResultFile, Run, SCHEMA_VERSION, Setting,
};
use crate::rival;

/// What the run without a proxy is called.
const DIRECT: &str = "direct";

pub(crate) fn run(typed: &args::Run) -> Result<(), String> {
    if typed.role == Role::Origin {
        return serve(typed);
    }
    let bench = typed.bench();
    let mut opponents = typed.opponents();
    let plans = typed.plans();
    check_running(&opponents, &bench)?;
    let has_direct = !typed.no_direct
        && plans.iter().any(has_direct)
        && opponents
            .iter()
            .any(|opponent| opponent.proxy != bench.origin);
    if has_direct {
        opponents.push(Opponent::direct(&bench));
    }
    let expected = plans.first().and_then(|plan| bench.expected(plan));
    let mut progress = Progress::new(plans.len() * opponents.len()).expecting(expected);
    let mut points = Vec::new();
    for plan in plans {
        let (mut runs, mut cannot) = (Vec::new(), Vec::new());
        match bench.check_origin(&plan) {
            Ok(()) => runs = point(typed, &bench, &opponents, &plan, &mut progress)?,
            Err(why) => {
                report::cannot(typed.workload.id, &plan, &why)
                    .map_err(|error| error.to_string())?;
                cannot.extend((0..opponents.len()).map(|contender| Cannot {
                    contender,
                    why: why.clone(),
                }));
            }
        }
        points.push(Point {
            workload: typed.workload.id.to_owned(),
            plan,
            runs,
            cannot,
        });
    }
    let Some(path) = &typed.out else {
        return Ok(());
    };
    let result = ResultFile {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Run,
        host: host::facts(),
        setting: setting(&bench, typed.duration, 1),
        contenders: opponents
            .iter()
            .map(|opponent| contender(opponent, &bench))
            .collect(),
        points,
        verdicts: Vec::new(),
    };
    file::write(path, &result)
}

/// Said before anything is measured: a proxy that is not started here runs already.
fn check_running(opponents: &[Opponent], bench: &Bench) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let running = opponents
        .iter()
        .find(|of| matches!(of.from, From::Running(_)) && of.proxy != bench.origin);
    let Some(Opponent { proxy, .. }) = running else {
        return Ok(());
    };
    match TcpStream::connect_timeout(proxy, PATIENCE) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "no proxy answers on {proxy}: {error}; start it there, or give --spawn COMMAND"
        )),
    }
}

/// What all runs have in common, for the result file.
pub(crate) fn setting(bench: &Bench, duration: Duration, rounds: usize) -> Setting {
    Setting {
        origin: bench.origin,
        duration_ms: measure::milliseconds(duration),
        warm_up_ms: measure::milliseconds(bench.warm_up),
        load_wait: format!("{:?}", bench.wait).to_lowercase(),
        proxy_core: bench.core,
        load_cores: bench.load_cores.clone(),
        rounds,
        seed: None,
    }
}

/// Who was measured, for the result file: named by the program that was started.
pub(crate) fn contender(opponent: &Opponent, bench: &Bench) -> Contender {
    let command = opponent.command();
    let program = command.and_then(peer::program);
    let program = program.and_then(|program| program.rsplit('/').next());
    let name = match program {
        _ if opponent.proxy == bench.origin => DIRECT.to_owned(),
        Some(program) => program.to_owned(),
        None => opponent.proxy.to_string(),
    };
    let of_ringway = match command {
        Some(command) if crate::catalogue::is_ringway(command) => OfRingway::started_by(command),
        _ => OfRingway::default(),
    };
    Contender {
        name,
        version: of_ringway.version.as_deref().and_then(rival::version_in),
        command: command.map(str::to_owned),
        mode: opponent.mode,
        address: opponent.proxy,
        notes: Vec::new(),
        capabilities: of_ringway.capabilities,
    }
}

/// One point: without a proxy first, so that what each mode adds to it can be said.
fn point(
    typed: &args::Run,
    bench: &Bench,
    opponents: &[Opponent],
    plan: &Plan,
    progress: &mut Progress,
) -> Result<Vec<Run>, String> {
    let entry = typed.workload;
    let mut direct: Option<Vec<Figure>> = None;
    let mut runs = Vec::new();
    let is_direct = |opponent: &Opponent| opponent.proxy == bench.origin && opponents.len() > 1;
    let mut order: Vec<(usize, &Opponent)> = opponents.iter().enumerate().collect();
    order.sort_by_key(|(_, opponent)| !is_direct(opponent));
    for (order, (contender, opponent)) in order.into_iter().enumerate() {
        if is_direct(opponent) {
            if has_direct(plan) {
                progress.step(&format!("{} {plan}, {DIRECT}", entry.id));
                let measured = measure::run(bench, opponent, entry, plan);
                let measured = measured.map_err(|error| format!("without a proxy: {error}"))?;
                direct = Some(measured.figures.clone());
                runs.push(measured.into_run(contender, 0, order)?);
            }
            continue;
        }
        progress.step(&format!("{} {plan}, {}", entry.id, opponent.mode.name()));
        let mut measured = measure::run(bench, opponent, entry, plan)?;
        if let Some(direct) = &direct {
            let added = figures::added(&measured.figures, direct);
            measured.figures.extend(added);
        }
        progress.clear();
        report::run(entry.id, plan, opponent.mode, &measured).map_err(|error| error.to_string())?;
        runs.push(measured.into_run(contender, 0, order)?);
    }
    Ok(runs)
}

/// Whether it says something to have the same without a proxy: a latency, at the same pace.
fn has_direct(plan: &Plan) -> bool {
    plan.scenario.operation().is_some() && !matches!(plan.pace, Pace::Ramp { .. })
}

/// Answers as the origins of a load on another host, until it is ended from outside.
fn serve(typed: &args::Run) -> Result<(), String> {
    // All points of a workload that can be served from afar need the same of their origin.
    let mut plans = typed.plans().into_iter();
    let plan = plans.find(|plan| !plan.scenario.drives_origin());
    let plan = plan.ok_or_else(|| LoadError::ElsewhereOrigin.to_string())?;
    let cores = match typed.load_cores.0.as_slice() {
        [] => vec![None],
        cores => cores.iter().copied().map(Some).collect(),
    };
    let mut threads = Vec::new();
    for (index, core) in cores.into_iter().enumerate() {
        let origin = crew::origin_of(typed.origin, index).map_err(|error| error.to_string())?;
        let target = Target {
            proxy: origin,
            origin,
            mode: Mode::Tcp,
            wait: typed.load_wait,
            has_origin: true,
        };
        threads.push(std::thread::spawn(move || answer(target, plan, core)));
    }
    for thread in threads {
        let ended = thread.join();
        ended.unwrap_or_else(|_| Err("the origin has panicked".to_owned()))?;
    }
    Ok(())
}

/// One origin. A run that goes wrong ends its connections, and no more.
fn answer(target: Target, plan: Plan, core: Option<usize>) -> Result<(), String> {
    peer::pin(core).map_err(|error| error.to_string())?;
    loop {
        let mut load = Load::new(target, &plan).map_err(|error| error.to_string())?;
        if let Err(error) = load.serve() {
            let _ = writeln!(
                stderr().lock(),
                "ringway-bench: {error}; the origin begins again"
            );
        }
    }
}
