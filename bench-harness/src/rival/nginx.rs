//! nginx: no forward proxy before 1.31. It relays TCP to the origin, or is a reverse proxy in front of it.

use std::path::Path;

use crate::load::Mode;
use crate::plan::Plan;
use crate::rival::{Rival, Site, Way, is_bulk, is_tunnel, is_websocket, quoted};

pub(super) struct Nginx;

const STREAM: &str = "stream";
const STREAM_BULK: &str = "stream-bulk";
const HTTP: &str = "http";
const HTTP_MEDIUM: &str = "http-medium";
const HTTP_LARGE: &str = "http-large";
const WEBSOCKET: &str = "websocket";

/// Answers that do not fit the buffer of 4 KiB that it has by itself.
const MEDIUM_BYTES_MIN: usize = 3 * 1024;

/// Answers that do not fit one of 16 KiB.
const LARGE_BYTES_MIN: usize = 15 * 1024;

impl Rival for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version_argument(&self) -> &'static str {
        "-v"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let (variant, notes): (_, &[_]) = match plan.scenario {
            scenario if is_bulk(scenario) => (STREAM_BULK, &["no CONNECT: TCP relay"]),
            scenario if is_tunnel(scenario) => (STREAM, &["no CONNECT: TCP relay"]),
            scenario if is_websocket(scenario) => (WEBSOCKET, &["reverse proxy"]),
            _ if plan.payload >= LARGE_BYTES_MIN => (HTTP_LARGE, &["reverse proxy"]),
            _ if plan.payload >= MEDIUM_BYTES_MIN => (HTTP_MEDIUM, &["reverse proxy"]),
            _ => (HTTP, &["reverse proxy"]),
        };
        Ok(Way {
            mode: Mode::Tcp,
            variant,
            notes,
        })
    }

    fn file_name(&self) -> &'static str {
        "nginx.conf"
    }

    /// One worker, the process itself, so that no other is beside it.
    fn configuration(&self, way: &Way, site: &Site) -> String {
        let server = match way.variant {
            STREAM => stream(site, ""),
            STREAM_BULK => stream(site, "proxy_buffer_size 256k;"),
            HTTP => http(site, KEEP_ALIVE, ""),
            HTTP_MEDIUM => http(site, KEEP_ALIVE, &buffers(16)),
            HTTP_LARGE => http(site, KEEP_ALIVE, &buffers(128)),
            _ => http(site, UPGRADE, ""),
        };
        let module = match Path::new(DEBIAN_STREAM).exists() {
            true => format!("load_module {DEBIAN_STREAM};\n"),
            false => String::new(),
        };
        let files = site.open_files_needed();
        // Both sides of a client count.
        let connections = 2 * site.clients_max() + 100;
        format!(
            "{module}daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {files};
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
{server}"
        )
    }

    fn command(&self, program: &str, folder: &Path) -> String {
        format!(
            "{program} -e stderr -p {} -c {}",
            quoted(folder),
            self.file_name()
        )
    }

    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String> {
        Some(format!("{} -t", self.command(program, folder)))
    }
}

/// Connections to the origin are kept.
const KEEP_ALIVE: &str = r#"proxy_set_header Connection "";"#;

/// They become the client's own.
const UPGRADE: &str =
    r#"proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";"#;

/// Where Debian has the module for `stream`, which is built in elsewhere.
const DEBIAN_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// An answer in few reads and writes, and none of it on a disk.
fn buffers(kib: usize) -> String {
    let twice = 2 * kib;
    format!(
        "proxy_buffer_size {kib}k; proxy_buffers 8 {kib}k; proxy_busy_buffers_size {twice}k; \
         proxy_max_temp_file_size 0;"
    )
}

fn stream(site: &Site, buffers: &str) -> String {
    let Site { proxy, origin, .. } = site;
    format!(
        "stream {{
    access_log off;
    tcp_nodelay on;
    proxy_timeout 1h;
    {buffers}
    server {{
        listen {proxy} backlog=4096;
        proxy_pass {origin};
    }}
}}
"
    )
}

/// Connections to the origin are kept over HTTP/1.1, enough of them idle; none is ended for its age.
fn http(site: &Site, connection: &str, buffers: &str) -> String {
    let Site { proxy, origin, .. } = site;
    format!(
        "http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream origin {{
        server {origin};
        keepalive 1024;
        keepalive_timeout 1h;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {proxy} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            {connection}
            {buffers}
        }}
    }}
}}
"
    )
}
