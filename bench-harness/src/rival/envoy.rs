//! Envoy as a forward proxy: its dynamic one for requests in absolute-form, and CONNECT ended at it.

use std::path::Path;

use crate::load::Mode;
use crate::plan::Plan;
use crate::rival::{Rival, Site, Way, is_tunnel, quoted};

pub(super) struct Envoy;

impl Rival for Envoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    fn version_argument(&self) -> &'static str {
        "--version"
    }

    fn way(&self, plan: &Plan) -> Result<Way, &'static str> {
        let (mode, notes): (_, &[_]) = match is_tunnel(plan.scenario) {
            true => (Mode::Connect, &["no half-close"]),
            false => (Mode::Forward, &[]),
        };
        Ok(Way::proxy(mode, notes))
    }

    fn file_name(&self) -> &'static str {
        "envoy.yaml"
    }

    /// As its FAQ advises for benchmarks: no request ids, no dynamic statistics, no circuit breakers in the way.
    fn configuration(&self, _way: &Way, site: &Site) -> String {
        TEMPLATE
            .replace("ADDRESS", &site.proxy.ip().to_string())
            .replace("PORT", &site.proxy.port().to_string())
    }

    fn command(&self, program: &str, folder: &Path) -> String {
        let file = quoted(&folder.join(self.file_name()));
        format!("{program} -c {file} --concurrency 1 --disable-hot-restart --log-level critical")
    }

    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String> {
        let file = quoted(&folder.join(self.file_name()));
        Some(format!("{program} --mode validate -c {file}"))
    }
}

const TEMPLATE: &str = r#"static_resources:
  listeners:
  - name: proxy
    address: { socket_address: { address: "ADDRESS", port_value: PORT } }
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          generate_request_id: false
          stream_idle_timeout: 0s
          upgrade_configs: [{ upgrade_type: CONNECT }, { upgrade_type: websocket }]
          route_config:
            virtual_hosts:
            - name: any
              domains: ["*"]
              routes:
              - match: { connect_matcher: {} }
                route:
                  cluster: named
                  timeout: 0s
                  upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]
              - match: { prefix: "/" }
                route: { cluster: named, timeout: 0s }
          http_filters:
          - name: envoy.filters.http.dynamic_forward_proxy
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig
              dns_cache_config: &cache { name: cache, dns_lookup_family: ALL }
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              dynamic_stats: false
              suppress_envoy_headers: true
  clusters:
  - name: named
    lb_policy: CLUSTER_PROVIDED
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }]
    cluster_type:
      name: envoy.clusters.dynamic_forward_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
        dns_cache_config: *cache
"#;
