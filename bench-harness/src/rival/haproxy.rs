//! HAProxy: no forward proxy. It relays TCP to the origin, or is a reverse proxy in front of it.

use std::path::Path;

use crate::load::Mode;
use crate::plan::Plan;
use crate::rival::{Rival, Site, Way, is_bulk, is_tunnel, quoted};

pub(super) struct Haproxy;

const TCP: &str = "tcp";
const SPLICE: &str = "splice";
const HTTP: &str = "http";
const HTTP_SPLICE: &str = "http-splice";

/// Bodies from here on fill pipes; below it splicing is only more system calls.
const SPLICED_BYTES_MIN: usize = 64 * 1024;

impl Rival for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version_argument(&self) -> &'static str {
        "-v"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let (variant, notes): (_, &[_]) = match plan.scenario {
            scenario if is_bulk(scenario) => (SPLICE, &["no CONNECT: TCP relay", "splices"]),
            scenario if is_tunnel(scenario) => (TCP, &["no CONNECT: TCP relay"]),
            _ if plan.payload >= SPLICED_BYTES_MIN => (HTTP_SPLICE, &["reverse proxy", "splices"]),
            _ => (HTTP, &["reverse proxy"]),
        };
        Ok(Way {
            mode: Mode::Tcp,
            variant,
            notes,
        })
    }

    fn file_name(&self) -> &'static str {
        "haproxy.cfg"
    }

    /// Splicing is demanded for both directions: `option splice-auto` leaves it to a heuristic, which under these loads
    /// goes on copying. A pipe for each direction of each connection, of the largest size that needs no privilege.
    fn configuration(&self, way: &Way, site: &Site) -> String {
        let (global, defaults) = match way.variant {
            SPLICE | HTTP_SPLICE => (
                "maxconn 400\n    maxpipes 800\n    tune.pipesize 262144",
                "option splice-request\n    option splice-response",
            ),
            _ => ("", ""),
        };
        let maxconn = match global {
            "" => format!("maxconn {}", site.clients_max()),
            _ => String::new(),
        };
        let mode = match way.variant {
            HTTP | HTTP_SPLICE => {
                "mode http\n    http-reuse always\n    timeout http-keep-alive 1h"
            }
            _ => "mode tcp",
        };
        let Site { proxy, origin, .. } = site;
        format!(
            "global
    nbthread 1
    {maxconn}{global}
defaults
    {mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    {defaults}
listen relay
    bind {proxy} backlog 4096
    server origin {origin}
"
        )
    }

    fn command(&self, program: &str, folder: &Path) -> String {
        let file = quoted(&folder.join(self.file_name()));
        format!("{program} -db -f {file}")
    }

    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String> {
        let file = quoted(&folder.join(self.file_name()));
        Some(format!("{program} -c -f {file}"))
    }
}
