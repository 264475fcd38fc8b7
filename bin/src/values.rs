//! One value of the command line at a time: text in, value out, or a sentence that says what is wrong and what mends
//! it. Which flag it was for, and how the values fit together, is the business of `config`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ringway_engine::limits::LISTEN_PORT_DEFAULT;

/// Longest duration: anything longer is a typing error, and the engine may add it to any clock.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A duration such as `250ms`, greater than zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = duration_or_zero(text)?;
    if duration.is_zero() {
        return Err("zero would end everything before it began; give at least 1us".to_owned());
    }
    Ok(duration)
}

/// A duration such as `250ms` or `0s`.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "an integer with its unit, such as 20us, 250ms, 10s, 5m or 1h";
    let digits_end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "" if !digits.is_empty() => return Err(format!("the unit is missing; give {ACCEPTED}")),
        _ => return Err(format!("this is not a duration; give {ACCEPTED}")),
    };
    if digits.is_empty() {
        return Err(format!("the number is missing; give {ACCEPTED}"));
    }
    let duration = digits
        .parse()
        .ok()
        .and_then(|number| unit.checked_mul(number));
    duration
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| {
            format!(
                "this is too long; give at most {}h",
                DURATION_MAX.as_secs() / 3600
            )
        })
}

/// A whole number within `range`.
pub(crate) fn number(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let accepted = || {
        format!(
            "give a whole number from {} to {}",
            range.start(),
            range.end()
        )
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("this is not a whole number; {}", accepted()));
    }
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("this is outside what is possible; {}", accepted()))
}

/// A power of two within `range`, whose ends are powers of two: what the kernel's rings can have.
pub(crate) fn power_of_two(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = number(text, range)?;
    if !number.is_power_of_two() {
        let above = number.next_power_of_two();
        return Err(format!(
            "the kernel's rings have a power of two of entries; give {} or {above}",
            above / 2
        ));
    }
    Ok(number)
}

/// A number of bytes within `range`, with or without the suffix `k` (1024) or `m` (1024 * 1024).
pub(crate) fn bytes(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((end, 'k' | 'K')) => (&text[..end], 1024),
        Some((end, 'm' | 'M')) => (&text[..end], 1024 * 1024),
        _ => (text, 1),
    };
    let accepted = || {
        format!(
            "give {} to {} bytes, such as 16384, 16k or 1m",
            range.start(),
            range.end()
        )
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("this is not a number of bytes; {}", accepted()));
    }
    let number: Option<u32> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| format!("this is outside what is possible; {}", accepted()))
}

/// The one of `choices` that is named `text`.
pub(crate) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            format!(
                "this is not one of the choices; give one of {}",
                names.join(", ")
            )
        })
}

const NOT_AN_ADDRESS: &str =
    "this is not an address; give IP:PORT or [IPv6]:PORT, such as 127.0.0.1:3128 or [::1]:3128";

/// An address to listen on, `IP:PORT` or `[IPv6]:PORT`; port 0 lets the kernel choose.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let mapped = match address.ip() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped(),
            IpAddr::V4(_) => None,
        };
        return mapped.map_or(Ok(address), |ip| {
            let address = SocketAddr::from((ip, address.port()));
            Err(format!(
                "this is an IPv4 address in IPv6 form; give {address}"
            ))
        });
    }
    if let Ok(ip) = bare_ip(text) {
        return Err(format!(
            "the port is missing; give {}",
            SocketAddr::new(ip, LISTEN_PORT_DEFAULT)
        ));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    match port.parse() {
        Ok(port) if host.is_empty() || host == "*" => Err(format!(
            "the address is missing; give {} for this host only, or {} or {} for everyone",
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        )),
        Ok(port) if bare_ip(host).is_err() => Err(format!(
            "names are not looked up here; give an IP address, such as {} or {}",
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        )),
        _ => Err(NOT_AN_ADDRESS.to_owned()),
    }
}

/// The address of a name server, `IP`, `IP:PORT`, `IPv6` or `[IPv6]:PORT`; the port is 53 when none is given.
pub(crate) fn resolver_address(text: &str) -> Result<SocketAddr, String> {
    const EXAMPLES: &str = "such as 9.9.9.9, 127.0.0.1:5353 or [::1]:53";
    let parsed = text
        .parse::<SocketAddr>()
        .or_else(|_| bare_ip(text).map(|ip| SocketAddr::new(ip, 53)));
    match parsed {
        Ok(address) if address.port() == 0 => Err(format!(
            "port 0 cannot be asked; give an address, {EXAMPLES}"
        )),
        Ok(address) => Ok(address),
        Err(_) => Err(format!(
            "this is not the IP address of a name server; give one, {EXAMPLES}"
        )),
    }
}

fn bare_ip(text: &str) -> Result<IpAddr, std::net::AddrParseError> {
    text.strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text)
        .parse()
}

/// Cores, `all` or a list such as `0`, `0,2`, `2-5` or `0,2-3`, each of them one of `allowed`, in the order given.
pub(crate) fn cores(text: &str, allowed: &[usize]) -> Result<Vec<usize>, String> {
    if text == "all" {
        return Ok(allowed.to_vec());
    }
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (core(first), core(last)) else {
            return Err(
                "this is not a list of cores; give all, or numbers and ranges such as 0, 0,2, 2-5"
                    .to_owned(),
            );
        };
        if first > last {
            return Err(format!(
                "the range {part} runs backwards; give {last}-{first}"
            ));
        }
        for core in first..=last {
            if !allowed.contains(&core) {
                return Err(format!(
                    "core {core} is not one that this process may use; choose from {}, or widen that set \
                     (taskset, or the cpuset of the container or service)",
                    ranges(allowed)
                ));
            }
            if cores.contains(&core) {
                return Err(format!("core {core} is in the list twice; name it once"));
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

fn core(text: &str) -> Option<usize> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// `[0, 1, 2, 5]` as `0-2,5`.
fn ranges(cores: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cores;
    while let Some(first) = rest.first() {
        let run = rest
            .iter()
            .zip(*first..)
            .take_while(|(core, expected)| *core == expected)
            .count();
        let separator = if text.is_empty() { "" } else { "," };
        let _ = match run {
            1 => write!(text, "{separator}{first}"),
            _ => write!(text, "{separator}{first}-{}", first + run - 1),
        };
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_an_integer_and_a_unit() {
        assert_eq!(duration("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("720h"), Ok(DURATION_MAX));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        for wrong in [
            "", "s", "10", "1.5s", "-1s", "+1s", " 1s", "1 s", "10S", "1d", "1s1", "10sec", "٣s",
        ] {
            let error = duration(wrong).expect_err(wrong);
            assert!(error.contains("250ms"), "{wrong}: {error}");
        }
        for long in [
            "721h",
            "99999999999s",
            "4294967295h",
            "18446744073709551616us",
        ] {
            assert!(
                duration(long).expect_err(long).contains("at most 720h"),
                "{long}"
            );
        }
        assert!(duration("0ms").expect_err("zero").contains("at least 1us"));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(number("1", 1..=9), Ok(1));
        assert_eq!(number("9", 1..=9), Ok(9));
        for wrong in [
            "0",
            "10",
            "",
            "-1",
            "+1",
            "1 ",
            "0x1",
            "99999999999999999999",
        ] {
            assert!(
                number(wrong, 1..=9)
                    .expect_err(wrong)
                    .contains("from 1 to 9"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn powers_of_two_name_their_neighbours() {
        assert_eq!(power_of_two("1", 1..=32768), Ok(1));
        assert_eq!(power_of_two("32768", 1..=32768), Ok(32768));
        assert!(
            power_of_two("100", 1..=32768)
                .expect_err("100")
                .ends_with("give 64 or 128")
        );
        assert!(
            power_of_two("3", 1..=32768)
                .expect_err("3")
                .ends_with("give 2 or 4")
        );
        assert!(
            power_of_two("32769", 1..=32768)
                .expect_err("32769")
                .contains("from 1 to 32768")
        );
    }

    #[test]
    fn bytes_take_a_suffix() {
        let range = || 512..=1024 * 1024;
        assert_eq!(bytes("16384", range()), Ok(16384));
        assert_eq!(bytes("16k", range()), Ok(16384));
        assert_eq!(bytes("64K", range()), Ok(65536));
        assert_eq!(bytes("1m", range()), Ok(1024 * 1024));
        assert_eq!(bytes("512", range()), Ok(512));
        for wrong in [
            "", "k", "511", "2m", "16kb", "-1", "1.5k", "4194304k", "16 k", "é", "16é",
        ] {
            assert!(
                bytes(wrong, range())
                    .expect_err(wrong)
                    .contains("512 to 1048576"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn listen_addresses_name_an_ip_address_and_a_port() {
        for right in [
            "127.0.0.1:3128",
            "[::1]:3128",
            "0.0.0.0:80",
            "[::]:0",
            "[fe80::1%2]:3128",
        ] {
            assert_eq!(listen_address(right), Ok(right.parse().expect(right)));
        }
        for (wrong, mend) in [
            (":3128", "127.0.0.1:3128"),
            ("3128", "127.0.0.1:3128"),
            ("*:80", "0.0.0.0:80"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("127.0.0.1", "127.0.0.1:3128"),
            ("::1", "[::1]:3128"),
            ("[::1]", "[::1]:3128"),
            ("[::ffff:127.0.0.1]:3128", "give 127.0.0.1:3128"),
            ("127.0.0.1:65536", "IP:PORT"),
            ("", "IP:PORT"),
            ("http://127.0.0.1:3128", "127.0.0.1:3128"),
        ] {
            let error = listen_address(wrong).expect_err(wrong);
            assert!(error.contains(mend), "{wrong}: {error}");
        }
    }

    #[test]
    fn resolvers_have_port_53_unless_another_is_given() {
        for (text, address) in [
            ("9.9.9.9", "9.9.9.9:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(
                resolver_address(text),
                Ok(address.parse().expect(address)),
                "{text}"
            );
        }
        for wrong in [
            "",
            "dns.example",
            "9.9.9.9:0",
            "9.9.9.9:",
            "9.9.9",
            "[::1]:x",
        ] {
            assert!(
                resolver_address(wrong)
                    .expect_err(wrong)
                    .contains("9.9.9.9"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn cores_come_from_the_allowed_set_and_once_each() {
        let allowed = [0, 1, 2, 3, 5];
        assert_eq!(cores("all", &allowed), Ok(vec![0, 1, 2, 3, 5]));
        assert_eq!(cores("0", &allowed), Ok(vec![0]));
        assert_eq!(cores("2,0", &allowed), Ok(vec![2, 0]));
        assert_eq!(cores("0,2-3", &allowed), Ok(vec![0, 2, 3]));
        for (wrong, mend) in [
            ("4", "choose from 0-3,5"),
            ("2-5", "core 4 is not one"),
            ("0-18446744073709551615", "choose from 0-3,5"),
            ("0,0", "twice"),
            ("0-2,1", "core 1 is in the list twice"),
            ("3-1", "give 1-3"),
            ("", "such as 0, 0,2, 2-5"),
            ("0,", "such as"),
            ("-1", "such as"),
            ("+1", "such as"),
            ("a", "such as"),
            ("99999999999999999999", "such as"),
        ] {
            let error = cores(wrong, &allowed).expect_err(wrong);
            assert!(error.contains(mend), "{wrong}: {error}");
        }
    }

    #[test]
    fn choices_are_listed_when_none_is_met() {
        let choices = [("off", 0), ("auto", 1)];
        assert_eq!(choice("auto", &choices), Ok(1));
        assert!(
            choice("on", &choices)
                .expect_err("on")
                .ends_with("give one of off, auto")
        );
    }
}
