//! Who takes part in a comparison: Ringway, the rivals that are installed, the reference relays, and no proxy at all;
//! and what each becomes for a plan: a contender with a command and a mode, or a reason why it cannot.

use std::path::Path;

use crate::args::{Compare, Names};
use crate::host::OfRingway;
use crate::load::Mode;
use crate::plan::Plan;
use crate::result::model::Contender;
use crate::rival::{self, Installed, Site, quoted};

/// Ringway's own name; what is compared with others starts with it.
pub(crate) const RINGWAY: &str = "ringway";

/// The reference relays that are CONNECT proxies, as `relay --kind` calls them.
const REFERENCES: [&str; 3] = ["epoll", "monoio", "tokio-uring"];

/// The bare relay, which is none.
const SPLICE: &str = "splice";

/// No proxy.
const DIRECT: &str = "direct";

/// One of them.
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    source: Source,
}

enum Source {
    /// A command without an address to listen on.
    Ringway {
        command: String,
        says: OfRingway,
    },
    Rival(Installed),
    Reference(&'static str),
    Splice,
    Direct,
}

/// Everybody that was asked for and is here, and the names of those that are not.
pub(crate) fn entrants(
    typed: &Compare,
    own: &Path,
) -> Result<(Vec<Entrant>, Vec<&'static str>), String> {
    let mut entrants = ringways(typed, own)?;
    let mut missing = Vec::new();
    for name in wanted(&typed.peers)? {
        if entrants.iter().any(|entrant| entrant.name == name) {
            continue;
        }
        match source(name) {
            Some(source) => entrants.push(Entrant::new(name.to_owned(), source)),
            None => missing.push(name),
        }
    }
    match &typed.peers {
        Names::These(_) if !missing.is_empty() => Err(format!(
            "not installed: {}; ci/peers installs them",
            missing.join(", ")
        )),
        _ => Ok((entrants, missing)),
    }
}

/// Everybody that was asked for.
pub(super) fn wanted(peers: &Names) -> Result<Vec<&'static str>, String> {
    let rivals = rival::ALL.map(|rival| rival.name());
    let others = REFERENCES.into_iter().chain([SPLICE, DIRECT]);
    let known: Vec<&str> = rivals.into_iter().chain(others).collect();
    let Names::These(names) = peers else {
        return Ok(known);
    };
    let find = |name: &String| {
        let mut all = known.iter();
        let found = all.find(|known| known.eq_ignore_ascii_case(name));
        let unknown = || format!("{name:?} is no peer; there are {}", known.join(", "));
        found.copied().ok_or_else(unknown)
    };
    names.iter().map(find).collect()
}

/// What a known name stands for; none where its program is not installed.
fn source(name: &'static str) -> Option<Source> {
    let rival = rival::ALL.into_iter().find(|rival| rival.name() == name);
    match (rival, name) {
        (Some(rival), _) => rival::find(rival).map(Source::Rival),
        (None, SPLICE) => Some(Source::Splice),
        (None, DIRECT) => Some(Source::Direct),
        (None, reference) => Some(Source::Reference(reference)),
    }
}

/// Ringway under each command that was typed, or the one beside this program.
fn ringways(typed: &Compare, own: &Path) -> Result<Vec<Entrant>, String> {
    let beside = own.with_file_name(RINGWAY);
    let commands = match typed.ringway.as_slice() {
        [] if beside.is_file() => vec![format!("{} serve", quoted(&beside))],
        [] => {
            return Err(format!(
                "there is no {}: build it (cargo build --release -p ringway), or give --ringway 'COMMAND serve'",
                beside.display()
            ));
        }
        commands => commands.to_vec(),
    };
    let entrants = commands.into_iter().enumerate().map(|(place, command)| {
        let options = command
            .split_once(" serve")
            .map_or("", |(_, options)| options);
        let name = match place {
            0 => RINGWAY.to_owned(),
            _ if options.is_empty() => format!("{RINGWAY} {}", place + 1),
            _ => format!("{RINGWAY}{options}"),
        };
        let says = OfRingway::started_by(&command);
        let source = Source::Ringway { command, says };
        Entrant::new(name, source)
    });
    Ok(entrants.collect())
}

impl Entrant {
    fn new(name: String, source: Source) -> Self {
        let version = match &source {
            Source::Ringway { says, .. } => says.version.as_deref().and_then(rival::version_in),
            Source::Rival(installed) => installed.version.clone(),
            Source::Reference(_) | Source::Splice | Source::Direct => None,
        };
        Self {
            name,
            version,
            source,
        }
    }

    /// What it is for `plan`, its configuration written; or why it cannot carry it.
    pub(crate) fn contender(
        &self,
        plan: &Plan,
        site: &Site,
        folder: &Path,
        own: &Path,
    ) -> Result<Contender, String> {
        let own = quoted(own);
        let Site { proxy, origin, .. } = site;
        let by_proxy = if plan.scenario.is_http() {
            Mode::Forward
        } else {
            Mode::Connect
        };
        let (command, mode, notes): (_, _, &[&str]) = match &self.source {
            Source::Ringway { command, .. } => {
                (Some(format!("{command} --listen {proxy}")), by_proxy, &[])
            }
            Source::Rival(Installed { rival, program, .. }) => {
                let way = rival.way(plan)?;
                let folder = folder.join(format!("{}-{}", self.name, way.variant));
                let command = rival::write(*rival, program, &way, site, &folder)
                    .map_err(|error| format!("its configuration cannot be written: {error}"))?;
                (Some(command), way.mode, way.notes)
            }
            Source::Reference(kind) => {
                let command = format!("{own} relay --kind {kind} --listen {proxy}");
                (Some(command), by_proxy, &[])
            }
            Source::Splice => {
                let command = format!("{own} relay --listen {proxy} --target {origin}");
                (
                    Some(command),
                    Mode::Tcp,
                    &["no CONNECT: TCP relay", "splices"],
                )
            }
            Source::Direct => (None, Mode::Tcp, &["no proxy"]),
        };
        let contender = Contender {
            name: self.name.clone(),
            version: self.version.clone(),
            mode,
            address: if command.is_some() { *proxy } else { *origin },
            command,
            notes: notes.iter().map(|&note| note.to_owned()).collect(),
            capabilities: match &self.source {
                Source::Ringway { says, .. } => says.capabilities.clone(),
                _ => None,
            },
        };
        Ok(contender)
    }

    /// Where it can carry none of the plans.
    pub(crate) fn idle(&self, site: &Site) -> Contender {
        Contender {
            name: self.name.clone(),
            version: self.version.clone(),
            command: None,
            mode: Mode::Connect,
            address: site.proxy,
            notes: Vec::new(),
            capabilities: None,
        }
    }
}
