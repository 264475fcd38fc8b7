//! Who is measured: the candidate, what it is held against, and that once more.

use std::net::SocketAddr;
use std::path::Path;

use crate::args::Gate;
use crate::load::Mode;
use crate::measure::{Bench, From, Opponent};
use crate::reference::Kind;
use crate::result::model::Contender;
use crate::run;

pub(super) const CANDIDATE: usize = 0;
pub(super) const OTHER: usize = 1;
pub(super) const AGAIN: usize = 2;
/// From the first to the last; odd rounds go the other way.
pub(super) const ALL: [usize; 3] = [CANDIDATE, OTHER, AGAIN];

/// The ways in which the workloads of a gate speak to a proxy.
const MODES: [Mode; 2] = [Mode::Connect, Mode::Forward];

/// All three.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) names: [String; 3],
    /// What starts each, as a shell reads it.
    pub(super) commands: [String; 3],
    /// Where each listens, one after the other.
    pub(super) proxy: SocketAddr,
}

impl Sides {
    pub(super) fn of(typed: &Gate) -> Result<Self, String> {
        let listen = typed.proxy;
        let ringway = |program: &Path| {
            let path = program
                .canonicalize()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            Ok::<_, String>(format!("'{}' serve --listen {listen}", path.display()))
        };
        let candidate = ringway(&typed.candidate)?;
        let (name, other) = match (&typed.baseline, typed.reference) {
            (Some(baseline), _) => ("baseline".to_owned(), ringway(baseline)?),
            (None, kind) => {
                let kind = kind.unwrap_or(Kind::Epoll);
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                let (own, name) = (own.display(), kind.name());
                let command = format!("'{own}' relay --kind {name} --listen {listen}");
                (format!("reference {name}"), command)
            }
        };
        Ok(Self {
            names: [
                "candidate".to_owned(),
                name.clone(),
                format!("{name} again"),
            ],
            commands: [candidate, other.clone(), other],
            proxy: listen,
        })
    }

    pub(super) fn opponent(&self, side: usize, mode: Mode) -> Opponent {
        Opponent {
            proxy: self.proxy,
            mode,
            from: From::Command(self.commands[side].clone()),
        }
    }

    /// For the result file: each side in each mode.
    pub(super) fn contenders(&self, bench: &Bench) -> Vec<Contender> {
        let all = MODES
            .iter()
            .flat_map(|mode| (0..3).map(|side| (side, *mode)));
        let contender = |(side, mode)| {
            let mut contender = run::contender(&self.opponent(side, mode), bench);
            contender.name = self.names[side].clone();
            contender
        };
        all.map(contender).collect()
    }

    /// The place of a side among the contenders.
    pub(super) fn place(side: usize, mode: Mode) -> usize {
        3 * usize::from(mode == MODES[1]) + side
    }
}
