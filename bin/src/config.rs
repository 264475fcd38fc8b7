//! From what was typed to the engine's configuration: every value read, then the values against each other. Errors
//! name the flag, what was typed, what is wrong with it, and what mends it.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use ringway_engine::limits;

use ringway_engine::server::{
    BusyPoll, Config, CongestionControl, Feature, ForwardedField, RelayTuning, Timeouts,
    UnknownFeature, ZeroCopy,
};
use tracing::Level;

use crate::args::Serve;
use crate::exit::{Failure, Reason};
use crate::values;

/// Kernel features to treat as missing, for trying what a lesser kernel would do.
const FORCE_OFF: &str = "RINGWAY_FORCE_OFF";
/// When a relay's direction changes between copying and splicing, for tests that want it at every boundary.
const RELAY_TUNING: &str = "RINGWAY_RELAY_TUNING";
/// Longest `--busy-poll`: past it a worker that waits for nothing looks busy to everyone else.
const BUSY_POLL_MAX: Duration = Duration::from_millis(10);

/// The engine's configuration, on a host where this process may use the cores `allowed`.
pub(crate) fn config(
    typed: &Serve,
    force_off: Vec<Feature>,
    allowed: &[usize],
) -> Result<Config, Failure> {
    let defaults = Config::default();
    let cores = typed.cores.as_deref().unwrap_or("all");
    let buffer_sizes = limits::BUFFER_BYTES_MIN..=limits::BUFFER_BYTES_MAX;
    let ring_entries = limits::RING_ENTRIES_MIN..=limits::RING_ENTRIES_MAX;
    Ok(Config {
        listen: listen(&typed.listen)?.unwrap_or(defaults.listen),
        cores: read("--cores", cores, |text| values::cores(text, allowed))?,
        max_connections: option("--max-connections", &typed.max_connections, |text| {
            values::number(text, 1..=u32::MAX)
        })?,
        timeouts: timeouts(typed, defaults.timeouts)?,
        zero_copy: option("--zero-copy", &typed.zero_copy, zero_copy)?
            .unwrap_or(defaults.zero_copy),
        congestion_control: option(
            "--congestion-control",
            &typed.congestion_control,
            congestion_control,
        )?,
        buffers: option("--buffers", &typed.buffers, buffers)?.unwrap_or(defaults.buffers),
        buffer_size: option("--buffer-size", &typed.buffer_size, |text| {
            values::bytes(text, buffer_sizes)
        })?
        .unwrap_or(defaults.buffer_size),
        ring_entries: option("--ring-entries", &typed.ring_entries, |text| {
            values::power_of_two(text, ring_entries)
        })?
        .unwrap_or(defaults.ring_entries),
        busy_poll: option("--busy-poll", &typed.busy_poll, busy_poll)?
            .unwrap_or(defaults.busy_poll),
        resolver: option("--resolver", &typed.resolver, values::resolver_address)?,
        forwarded: option("--forwarded", &typed.forwarded, forwarded)?
            .unwrap_or(defaults.forwarded),
        websocket_inspect: typed.websocket_inspect,
        open_proxy: typed.open_proxy,
        force_off,
        relay: relay_tuning()?.unwrap_or(defaults.relay),
    })
}

/// The level of `--log`.
pub(crate) fn log_level(typed: &Serve) -> Result<Level, Failure> {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    Ok(option("--log", &typed.log, |text| values::choice(text, &levels))?.unwrap_or(Level::INFO))
}

/// What the environment variable RINGWAY_RELAY_TUNING says.
fn relay_tuning() -> Result<Option<RelayTuning>, Failure> {
    let Some(typed) = env::var_os(RELAY_TUNING) else {
        return Ok(None);
    };
    let typed = typed.to_string_lossy();
    let numbers: Result<Vec<u32>, _> = typed.split(',').map(|text| text.trim().parse()).collect();
    let Ok(
        &[
            promote_full_buffers,
            demote_bytes,
            demote_small_splices,
            at_once_tasks,
        ],
    ) = numbers.as_deref()
    else {
        return Err(Failure::new(
            Reason::Usage,
            format!(
                "{RELAY_TUNING} is '{typed}'; it takes four whole numbers: full buffers that promote, bytes of a small \
                 splice, small splices that demote, busy tasks from which small sends wait for the next enter (the default is \
                 4,4096,8,80)"
            ),
        ));
    };
    Ok(Some(RelayTuning {
        promote_full_buffers,
        demote_bytes,
        demote_small_splices,
        at_once_tasks: at_once_tasks as usize,
    }))
}

/// The features that the environment variable RINGWAY_FORCE_OFF names.
pub(crate) fn force_off() -> Result<Vec<Feature>, Failure> {
    let Some(names) = env::var_os(FORCE_OFF) else {
        return Ok(Vec::new());
    };
    features(&names.to_string_lossy())
}

fn features(names: &str) -> Result<Vec<Feature>, Failure> {
    let names = names.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            name.parse().map_err(|error: UnknownFeature| {
                Failure::new(Reason::Usage, format!("{FORCE_OFF}: {error}"))
            })
        })
        .collect()
}

/// The addresses of every `--listen`, or none when there was none. Port 0 may repeat: the kernel chooses another
/// each time.
fn listen(typed: &[String]) -> Result<Option<Vec<SocketAddr>>, Failure> {
    let mut addresses = Vec::new();
    for text in typed {
        let address = read("--listen", text, values::listen_address)?;
        if address.port() != 0 && addresses.contains(&address) {
            return Err(wrong(
                "--listen",
                text,
                "this address is given twice; give it once",
            ));
        }
        addresses.push(address);
    }
    Ok((!addresses.is_empty()).then_some(addresses))
}

fn timeouts(typed: &Serve, defaults: Timeouts) -> Result<Timeouts, Failure> {
    let duration = |flag, typed: &Option<String>, default| -> Result<Duration, Failure> {
        Ok(option(flag, typed, values::duration)?.unwrap_or(default))
    };
    Ok(Timeouts {
        connect: duration(
            "--connect-timeout",
            &typed.connect_timeout,
            defaults.connect,
        )?,
        head: duration("--head-timeout", &typed.head_timeout, defaults.head)?,
        idle: duration("--idle-timeout", &typed.idle_timeout, defaults.idle)?,
        half_close: duration(
            "--half-close-timeout",
            &typed.half_close_timeout,
            defaults.half_close,
        )?,
        keep_alive: duration(
            "--keep-alive-timeout",
            &typed.keep_alive_timeout,
            defaults.keep_alive,
        )?,
        websocket_idle: duration(
            "--websocket-idle-timeout",
            &typed.websocket_idle_timeout,
            defaults.websocket_idle,
        )?,
        drain: option(
            "--drain-timeout",
            &typed.drain_timeout,
            values::duration_or_zero,
        )?
        .unwrap_or(defaults.drain),
    })
}

fn zero_copy(text: &str) -> Result<ZeroCopy, String> {
    let choices = [
        ("auto", ZeroCopy::Auto),
        ("splice", ZeroCopy::Splice),
        ("send-zc", ZeroCopy::SendZc),
        ("off", ZeroCopy::Off),
    ];
    values::choice(text, &choices)
}

fn congestion_control(text: &str) -> Result<CongestionControl, String> {
    CongestionControl::new(text).ok_or_else(|| {
        "this is not the name of a congestion control; give one of net.ipv4.tcp_available_congestion_control, such as \
         cubic or bbr"
            .to_owned()
    })
}

fn forwarded(text: &str) -> Result<ForwardedField, String> {
    let choices = [
        ("off", ForwardedField::Off),
        ("forwarded", ForwardedField::Forwarded),
        ("x-forwarded-for", ForwardedField::XForwardedFor),
    ];
    values::choice(text, &choices)
}

fn buffers(text: &str) -> Result<u16, String> {
    let buffers = values::power_of_two(text, 1..=u32::from(limits::BUFFERS_MAX))?;
    Ok(u16::try_from(buffers).unwrap_or(limits::BUFFERS_MAX))
}

fn busy_poll(text: &str) -> Result<BusyPoll, String> {
    match text {
        "off" => return Ok(BusyPoll::Off),
        "auto" => return Ok(BusyPoll::Auto),
        _ => {}
    }
    let duration = values::duration_or_zero(text)
        .map_err(|problem| format!("{problem}; or give off or auto"))?;
    match duration {
        Duration::ZERO => Err("zero is off; give off".to_owned()),
        longer if longer > BUSY_POLL_MAX => Err(format!(
            "this is too long; give at most {}ms",
            BUSY_POLL_MAX.as_millis()
        )),
        _ => Ok(BusyPoll::For(duration)),
    }
}

fn option<T>(
    flag: &str,
    typed: &Option<String>,
    value: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    typed
        .as_deref()
        .map(|text| read(flag, text, value))
        .transpose()
}

fn read<T>(
    flag: &str,
    text: &str,
    value: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    value(text).map_err(|problem| wrong(flag, text, &problem))
}

fn wrong(flag: &str, text: &str, problem: &str) -> Failure {
    Failure::usage("ringway serve", &format!("{flag} '{text}': {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};

    fn configured(flags: &[&str]) -> Result<Config, Failure> {
        let words = ["ringway", "serve"].iter().chain(flags).map(Into::into);
        let Command::Serve(typed) = args::parse(words)? else {
            panic!("serve was typed")
        };
        config(&typed, Vec::new(), &[0, 1, 4])
    }

    #[test]
    fn nothing_typed_is_the_engine_s_default_on_all_cores() {
        let config = configured(&[]).expect("no flags");
        let expected = Config {
            cores: vec![0, 1, 4],
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn every_flag_reaches_its_field() {
        let flags = [
            "--listen=127.0.0.1:8080",
            "--listen=[::1]:8080",
            "--cores=4,0",
            "--max-connections=77",
            "--connect-timeout=1s",
            "--head-timeout=2s",
            "--idle-timeout=3s",
            "--half-close-timeout=4s",
            "--keep-alive-timeout=5s",
            "--websocket-idle-timeout=6s",
            "--drain-timeout=0s",
            "--forwarded=x-forwarded-for",
            "--zero-copy=send-zc",
            "--congestion-control=cubic",
            "--buffers=2",
            "--buffer-size=1k",
            "--ring-entries=8",
            "--busy-poll=20us",
            "--resolver=127.0.0.1:5353",
            "--websocket-inspect",
            "--open-proxy",
        ];
        let config = configured(&flags).expect("all flags");
        let expected = Config {
            listen: vec![
                "127.0.0.1:8080".parse().expect("IPv4"),
                "[::1]:8080".parse().expect("IPv6"),
            ],
            cores: vec![4, 0],
            max_connections: Some(77),
            timeouts: Timeouts {
                connect: Duration::from_secs(1),
                head: Duration::from_secs(2),
                idle: Duration::from_secs(3),
                half_close: Duration::from_secs(4),
                keep_alive: Duration::from_secs(5),
                websocket_idle: Duration::from_secs(6),
                drain: Duration::ZERO,
            },
            forwarded: ForwardedField::XForwardedFor,
            zero_copy: ZeroCopy::SendZc,
            congestion_control: CongestionControl::new("cubic"),
            buffers: 2,
            buffer_size: 1024,
            ring_entries: 8,
            busy_poll: BusyPoll::For(Duration::from_micros(20)),
            resolver: Some("127.0.0.1:5353".parse().expect("resolver")),
            websocket_inspect: true,
            open_proxy: true,
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn port_0_may_repeat() {
        let config = configured(&["--listen=127.0.0.1:0", "--listen=127.0.0.1:0"]);
        assert_eq!(config.map(|config| config.listen.len()).ok(), Some(2));
    }

    #[test]
    fn features_forced_off_are_known_ones() {
        let all: Vec<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        assert_eq!(features(&all.join(" , ")), Ok(Feature::ALL.to_vec()));
        assert_eq!(features(""), Ok(Vec::new()));
        let error = format!(
            "{:?}",
            features("time-travel").expect_err("no such feature")
        );
        assert!(
            error.contains("time-travel") && all.iter().all(|name| error.contains(name)),
            "{error}"
        );
    }
}
