//! What is written is what the programs accept; those that are not installed are skipped, and named.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use super::*;
use crate::folder::Folder;
use crate::peer::Peer;
use crate::plan::{Pace, Stop};

const SCENARIOS: [Scenario; 13] = [
    Scenario::Fresh,
    Scenario::Burst,
    Scenario::Echo,
    Scenario::Get,
    Scenario::WebSocketEcho,
    Scenario::WebSocketPing,
    Scenario::WebSocketStream,
    Scenario::WebSocketUpgrade,
    Scenario::BulkTurns,
    Scenario::BulkOneWay,
    Scenario::BulkDuplex,
    Scenario::IdleTunnels,
    Scenario::IdleWebSockets,
];

fn plan(scenario: Scenario, payload: usize) -> Plan {
    Plan {
        scenario,
        pace: Pace::Closed,
        stop: Stop::After { ms: 1 },
        connections: 1,
        payload,
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn site() -> Site {
    Site {
        proxy: free_address(),
        origin: free_address(),
        open_files: 4_000,
    }
}

/// Every way that any plan takes, once.
fn ways(rival: &dyn Rival) -> Vec<Way> {
    let plans = SCENARIOS
        .into_iter()
        .flat_map(|scenario| [2, 10_240, 102_400, 10 << 20].map(|payload| plan(scenario, payload)));
    let mut known = BTreeSet::new();
    plans
        .filter_map(|plan| rival.way(&plan).ok())
        .filter(|way| known.insert(way.variant))
        .collect()
}

#[test]
fn every_program_accepts_its_configurations() {
    for rival in ALL {
        let Some(found) = find(rival) else {
            eprintln!(
                "skipped: {} is not installed; ci/peers does it",
                rival.name()
            );
            continue;
        };
        assert!(found.version.is_some(), "{} has a version", rival.name());
        let folder = Folder::temporary("rival-test").unwrap();
        let ways = ways(rival);
        assert!(!ways.is_empty());
        for way in ways {
            let site = site();
            let place = folder
                .path()
                .join(format!("{} {}", rival.name(), way.variant));
            let command = write(rival, &found.program, &way, &site, &place).unwrap();
            let Some(check) = rival.check_command(&quoted(&found.program), &place) else {
                // It has nothing to check with but its start.
                Peer::start(&command, site.proxy, None).unwrap();
                continue;
            };
            let output = Command::new("sh").args(["-c", &check]).output().unwrap();
            assert!(
                output.status.success(),
                "{check}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn a_configuration_that_is_wrong_is_not_accepted() {
    for rival in ALL {
        let Some(found) = find(rival) else {
            eprintln!(
                "skipped: {} is not installed; ci/peers does it",
                rival.name()
            );
            continue;
        };
        let folder = Folder::temporary("rival-wrong-test").unwrap();
        let path = folder.path().join(rival.file_name());
        fs::write(path, "no such directive { 7\n").unwrap();
        let program = quoted(&found.program);
        if let Some(check) = rival.check_command(&program, folder.path()) {
            let output = Command::new("sh").args(["-c", &check]).output().unwrap();
            assert!(!output.status.success(), "{check} finds what is wrong");
        }
    }
}

#[test]
fn all_can_carry_tunnels_and_only_two_cannot_keep_a_connection_for_http() {
    for rival in ALL {
        for scenario in SCENARIOS {
            let way = rival.way(&plan(scenario, 2));
            let closes = ["tinyproxy", "sing-box"].contains(&rival.name());
            assert_eq!(
                way.is_err(),
                closes && scenario == Scenario::Get,
                "{} {scenario:?}",
                rival.name()
            );
            if let Ok(way) = way {
                let plan = plan(scenario, 2);
                assert_eq!(plan.check(way.mode), Ok(()), "{}", rival.name());
            }
        }
    }
}

#[test]
fn limits_follow_the_limit_of_open_files() {
    let of = |open_files| Site {
        open_files,
        ..site()
    };
    assert_eq!(
        (of(1_024).clients_max(), of(1_024).open_files_needed()),
        (486, 1_024)
    );
    let many = of(1 << 20);
    assert_eq!(
        (many.clients_max(), many.open_files_needed()),
        (9_500, 20_000)
    );
}
