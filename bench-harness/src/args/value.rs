//! Values as they are typed: each read on its own, with what would have been right in the error.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Mode, Wait};

/// A core, or none for wherever the scheduler likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Core(pub(crate) Option<usize>);

/// Cores, each with a load thread of its own; none is one thread wherever the scheduler likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);

/// Names between commas, or all there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    All,
    These(Vec<String>),
}

/// Which ends of the load this program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Clients and origin.
    Both,
    /// The clients; the origin runs elsewhere.
    Load,
    /// The origin; the clients run elsewhere.
    Origin,
}

pub(crate) fn role_of(text: &str) -> Result<Role, String> {
    match text {
        "both" => Ok(Role::Both),
        "load" => Ok(Role::Load),
        "origin" => Ok(Role::Origin),
        _ => Err("give both, load or origin".to_owned()),
    }
}

pub(crate) fn mode_of(text: &str) -> Result<Mode, String> {
    match text {
        "connect" => Ok(Mode::Connect),
        "tcp" => Ok(Mode::Tcp),
        "forward" => Ok(Mode::Forward),
        _ => Err("give connect, forward or tcp".to_owned()),
    }
}

pub(crate) fn wait_of(text: &str) -> Result<Wait, String> {
    match text {
        "sleep" => Ok(Wait::Sleep),
        "spin" => Ok(Wait::Spin),
        _ => Err("give sleep or spin".to_owned()),
    }
}

pub(crate) fn core_of(text: &str) -> Result<Core, String> {
    if text == "none" {
        return Ok(Core(None));
    }
    let core = text.parse().map_err(|_| "give a core's number, or none")?;
    Ok(Core(Some(core)))
}

pub(crate) fn cores_of(text: &str) -> Result<Cores, String> {
    if text == "none" {
        return Ok(Cores(Vec::new()));
    }
    let cores: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
    let cores = cores.map_err(|_| "give cores' numbers with commas between, or none")?;
    let twice =
        |(place, core): (usize, &usize)| cores.iter().take(place).any(|other| other == core);
    match cores.iter().enumerate().any(twice) {
        true => Err("give each core once".to_owned()),
        false => Ok(Cores(cores)),
    }
}

pub(crate) fn names_of(text: &str) -> Result<Names, String> {
    if text == "all" {
        return Ok(Names::All);
    }
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    match names.iter().any(String::is_empty) {
        true => Err("give names with commas between, or all".to_owned()),
        false => Ok(Names::These(names)),
    }
}

pub(crate) fn address_of(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse();
    address.map_err(|_| "give an IP address and a port: 127.0.0.1:3128 or [::1]:3128".to_owned())
}

pub(crate) fn count_of(text: &str) -> Result<usize, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=1 << 30).contains(count));
    count.ok_or_else(|| "give a whole number above zero".to_owned())
}

pub(crate) fn rate_of(text: &str) -> Result<u64, String> {
    count_of(text).map(|rate| rate as u64)
}

pub(crate) fn percent_of(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| "give a number above 0 and up to 100".to_owned())
}

pub(crate) fn duration_of(text: &str) -> Result<Duration, String> {
    let accepted = || "give a whole number with its unit: 20us, 250ms, 10s, 5m".to_owned();
    let end = text.find(|character: char| !character.is_ascii_digit());
    let (number, unit) = text.split_at(end.ok_or_else(accepted)?);
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(accepted()),
    };
    let number = number.parse().map_err(|_| accepted())?;
    let longest = Duration::from_secs(3600);
    unit.checked_mul(number)
        .filter(|duration| !duration.is_zero() && *duration <= longest)
        .ok_or_else(|| "give more than zero and at most 60m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit_and_a_sane_size() {
        assert_eq!(duration_of("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration_of("5m"), Ok(Duration::from_secs(300)));
        for wrong in [
            "",
            "3",
            "s",
            "0s",
            "61m",
            "1h",
            "-1s",
            "1.5s",
            "99999999999s",
        ] {
            assert!(duration_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_and_percentages_are_read() {
        assert_eq!(cores_of("0,2"), Ok(Cores(vec![0, 2])));
        assert_eq!(cores_of("none"), Ok(Cores(Vec::new())));
        for wrong in ["", "0,", "0,0", "a", "-1"] {
            assert!(cores_of(wrong).is_err(), "{wrong}");
        }
        let names = Names::These(vec!["W1".to_owned(), "W3".to_owned()]);
        assert_eq!(names_of("W1,W3"), Ok(names));
        assert_eq!(names_of("all"), Ok(Names::All));
        assert!(names_of("W1,").is_err());
        assert_eq!(percent_of("99.9"), Ok(99.9));
        for wrong in ["0", "101", "nan", "inf", "x"] {
            assert!(percent_of(wrong).is_err(), "{wrong}");
        }
    }
}
