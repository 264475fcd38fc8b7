//! sing-box: a forward proxy in Go; one thread runs Go code at a time.

use std::path::Path;

use serde_json::json;

use crate::load::Mode;
use crate::plan::{Plan, Scenario};
use crate::rival::{Rival, Site, Way, is_tunnel, quoted};

pub(super) struct SingBox;

impl Rival for SingBox {
    fn name(&self) -> &'static str {
        "sing-box"
    }

    fn version_argument(&self) -> &'static str {
        "version"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let (mode, notes): (_, &[_]) = match plan.scenario {
            // As HTTP/1.1 clients ask. It would not for those that send the old Proxy-Connection.
            Scenario::Get => return Err("it closes the connection after each request"),
            scenario if is_tunnel(scenario) => (Mode::Connect, &["answers before it dials"]),
            _ => (Mode::Forward, &[]),
        };
        Ok(Way::proxy(mode, notes))
    }

    fn file_name(&self) -> &'static str {
        "sing-box.json"
    }

    fn configuration(&self, _way: &Way, site: &Site) -> String {
        let (address, port) = (site.proxy.ip(), site.proxy.port());
        let configuration = json!({
            "log": { "disabled": true },
            "inbounds": [{ "type": "http", "tag": "in", "listen": address, "listen_port": port }],
            "outbounds": [{ "type": "direct", "tag": "out" }],
        });
        format!("{configuration:#}\n")
    }

    fn command(&self, program: &str, folder: &Path) -> String {
        let file = quoted(&folder.join(self.file_name()));
        format!("env GOMAXPROCS=1 {program} run -c {file}")
    }

    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String> {
        let file = quoted(&folder.join(self.file_name()));
        Some(format!("{program} check -c {file}"))
    }
}
