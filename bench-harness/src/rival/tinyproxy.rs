//! tinyproxy: a forward proxy with a thread for each connection, which takes one request each.

use std::path::Path;

use crate::load::Mode;
use crate::plan::{Plan, Scenario};
use crate::rival::{Rival, Site, Way, is_websocket, quoted};

pub(super) struct Tinyproxy;

impl Rival for Tinyproxy {
    fn name(&self) -> &'static str {
        "tinyproxy"
    }

    fn version_argument(&self) -> &'static str {
        "-v"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let notes: &[_] = match plan.scenario {
            Scenario::Get => return Err("it closes the connection after each request"),
            scenario if is_websocket(scenario) => &["WebSocket by CONNECT", "no half-close"],
            _ => &["no half-close"],
        };
        Ok(Way::proxy(Mode::Connect, notes))
    }

    fn file_name(&self) -> &'static str {
        "tinyproxy.conf"
    }

    /// Who started it is who it runs as. It says what goes wrong on standard output.
    fn configuration(&self, _way: &Way, site: &Site) -> String {
        let (address, port) = (site.proxy.ip(), site.proxy.port());
        let clients = site.clients_max();
        format!(
            "Listen {address}
Port {port}
Timeout 3600
MaxClients {clients}
LogLevel Error
DisableViaHeader Yes
"
        )
    }

    fn command(&self, program: &str, folder: &Path) -> String {
        let file = quoted(&folder.join(self.file_name()));
        format!("{program} -d -c {file}")
    }

    #[cfg(test)]
    fn check_command(&self, _program: &str, _folder: &Path) -> Option<String> {
        None
    }
}
