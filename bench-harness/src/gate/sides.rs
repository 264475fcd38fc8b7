//! Who is measured: the candidate, what it is held against, and that once more.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::args::Gate;
use crate::load::Mode;
use crate::measure::{Bench, From, Opponent};
use crate::peer::Peer;
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

/// What to do about a program that does not start.
const STARTED_AS: &str = "Builds are started as `PROGRAM serve --listen ADDRESS`. One whose command line is another needs \
                          a script that takes these words and ends in `exec PROGRAM ...`: give that as the program.";

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
    /// All listen on `proxy`.
    pub(super) fn of(typed: &Gate, proxy: SocketAddr) -> Result<Self, String> {
        let candidate = serve("candidate", &typed.candidate, proxy)?;
        let (name, other) = match (&typed.baseline, typed.reference) {
            (Some(baseline), _) => ("baseline".to_owned(), serve("baseline", baseline, proxy)?),
            (None, kind) => {
                let kind = kind.unwrap_or(Kind::Epoll);
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                let (own, name) = (own.display(), kind.name());
                let command = format!("'{own}' relay --kind {name} --listen {proxy}");
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
            proxy,
        })
    }

    /// Starts each once, for the fault of a program must not look like one of a run.
    pub(super) fn check(&self, core: Option<usize>) -> Result<(), String> {
        for side in [CANDIDATE, OTHER] {
            Peer::start(&self.commands[side], self.proxy, core).map_err(|error| {
                format!(
                    "the {} cannot be measured: {error}\n{STARTED_AS}",
                    self.names[side]
                )
            })?;
        }
        Ok(())
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

/// How a shell starts a build of Ringway.
fn serve(option: &str, program: &Path, listen: SocketAddr) -> Result<String, String> {
    let named = program.display();
    let path = program.canonicalize().map_err(|error| {
        format!(
            "--{option} {named}: {error}; build it (cargo build --release -p ringway) and give the path of the program"
        )
    })?;
    let data = fs::metadata(&path).map_err(|error| format!("--{option} {named}: {error}"))?;
    if data.is_dir() {
        return Err(format!(
            "--{option} {named} is a folder; give the program in it"
        ));
    }
    if data.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "--{option} {named} is not executable: chmod +x {named}, or give the program itself"
        ));
    }
    match path.to_str().filter(|path| !path.contains('\'')) {
        Some(path) => Ok(format!("'{path}' serve --listen {listen}")),
        None => Err(format!(
            "--{option} {named}: a shell starts it, so its path must be UTF-8 without a quotation mark: copy it \
             elsewhere"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv4Addr;

    #[test]
    fn a_program_that_cannot_be_started_is_refused_with_the_mend() {
        let folder =
            std::env::temp_dir().join(format!("ringway-bench-sides-{}", std::process::id()));
        fs::create_dir_all(folder.join("it's")).unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let file = |name: &str, mode| {
            let path = folder.join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let right = serve("candidate", &file("right", 0o755), listen).unwrap();
        assert!(
            right.ends_with("/right' serve --listen 127.0.0.1:9"),
            "{right}"
        );
        for (path, words) in [
            (folder.join("missing"), "cargo build"),
            (folder.clone(), "is a folder"),
            (file("plain", 0o644), "chmod +x"),
            (file("it's/quoted", 0o755), "copy it elsewhere"),
        ] {
            let error = serve("baseline", &path, listen).unwrap_err();
            assert!(
                error.starts_with("--baseline ") && error.contains(words),
                "{error}"
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
