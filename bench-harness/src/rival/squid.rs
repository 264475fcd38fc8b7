//! Squid: a forward proxy of HTTP and CONNECT, here without its cache.

use std::path::Path;

use crate::load::Mode;
use crate::plan::Plan;
use crate::rival::{Rival, Site, Way, is_tunnel, quoted};

pub(super) struct Squid;

impl Rival for Squid {
    fn name(&self) -> &'static str {
        "squid"
    }

    fn version_argument(&self) -> &'static str {
        "-v"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let (mode, notes): (_, &[_]) = match is_tunnel(plan.scenario) {
            true => (Mode::Connect, &["no half-close"]),
            false => (Mode::Forward, &["caching off"]),
        };
        Ok(Way::proxy(mode, notes))
    }

    fn file_name(&self) -> &'static str {
        "squid.conf"
    }

    /// One process without helpers, and without a file of its own: started as root it goes on as another user, who may
    /// not write here.
    fn configuration(&self, _way: &Way, site: &Site) -> String {
        let Site { proxy, .. } = site;
        let files = site.open_files_needed();
        format!(
            "http_port {proxy}
http_access allow all
visible_hostname ringway-bench
cache deny all
cache_mem 8 MB
access_log none
cache_log /dev/null
pid_filename none
coredump_dir none
pinger_enable off
client_db off
forwarded_for delete
max_filedescriptors {files}
client_persistent_connections on
server_persistent_connections on
client_idle_pconn_timeout 1 hour
server_idle_pconn_timeout 1 hour
shutdown_lifetime 1 second
http_upgrade_request_protocols websocket allow all
"
        )
    }

    /// Under a name of its own: a Squid that runs here as a service is not meant.
    fn command(&self, program: &str, folder: &Path) -> String {
        let file = quoted(&folder.join(self.file_name()));
        format!("{program} -N -d 0 -n ringwaybench -f {file}")
    }

    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String> {
        let file = quoted(&folder.join(self.file_name()));
        Some(format!("{program} -k parse -n ringwaybench -f {file}"))
    }
}
