//! Numbers for the eye: units that fit, digits that matter, groups of three; and names of figures in words.

/// How the numbers of one column are written: all in one unit, and with as many decimals, as long as these are not more
/// than anybody reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Format {
    divisor: f64,
    pub(crate) unit: String,
    decimals: usize,
}

impl Format {
    /// For `values` of this unit; the smallest that is not zero decides.
    pub(crate) fn of(unit: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().map(f64::abs);
        let smallest = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold(f64::INFINITY, f64::min);
        let (divisor, unit) = match unit {
            "us" if smallest.is_infinite() => (1.0, "µs"),
            "us" if smallest >= 1e6 => (1e6, "s"),
            "us" if smallest >= 1e4 => (1e3, "ms"),
            "us" => (1.0, "µs"),
            "1/s" => (1.0, "/s"),
            "1" => (1.0, ""),
            unit => (1.0, unit),
        };
        let decimals = match smallest / divisor {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            size if size >= 0.1 => 3,
            _ => 4,
        };
        Self {
            divisor,
            unit: unit.to_owned(),
            decimals,
        }
    }

    /// Without its unit.
    pub(crate) fn number(&self, value: f64) -> String {
        let value = value / self.divisor;
        let decimals = match value.abs() {
            size if size >= 1_000.0 => 0,
            size if size >= 100.0 => self.decimals.min(1),
            _ => self.decimals,
        };
        let text = format!("{value:.decimals$}");
        match text.split_once('.') {
            Some((whole, decimals)) => format!("{}.{decimals}", in_groups(whole)),
            None => in_groups(&text),
        }
    }

    pub(crate) fn quantity(&self, value: f64) -> String {
        format!("{} {}", self.number(value), self.unit)
            .trim_end()
            .to_owned()
    }
}

/// One number in the unit that fits it.
pub(crate) fn quantity(unit: &str, value: f64) -> String {
    Format::of(unit, [value]).quantity(value)
}

/// A latency that somebody chose: as short as it can be written.
pub(crate) fn us(us: f64) -> String {
    let (value, unit) = match us {
        us if us >= 1e6 => (us / 1e6, "s"),
        us if us >= 1e3 => (us / 1e3, "ms"),
        us if us < 1.0 && us > 0.0 => (us * 1e3, "ns"),
        us => (us, "µs"),
    };
    // Three decimals are more than any tick or bound has; what is left of them is what it takes.
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {unit}")
}

pub(crate) fn bytes(count: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match count {
        count if count >= MIB && count.is_multiple_of(MIB) => format!("{} MiB", count / MIB),
        count if count >= KIB && count.is_multiple_of(KIB) => format!("{} KiB", count / KIB),
        count => format!("{} B", grouped(count as u64)),
    }
}

pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count as u64))
}

/// 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    in_groups(&number.to_string())
}

/// Groups of three, of a whole number with or without a sign.
fn in_groups(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio with the digits that matter.
pub(crate) fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 100.0 => format!("{ratio:.0}"),
        ratio if ratio >= 10.0 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.2}"),
    }
}

/// The name of a figure in words, without its unit.
pub(crate) fn figure(name: &str) -> String {
    let percentile = name.strip_suffix("_us").filter(|name| {
        let number = name.strip_prefix('p');
        *name == "max" || number.is_some_and(|number| number.parse::<f64>().is_ok())
    });
    if let Some(percentile) = percentile {
        return percentile.replacen('p', "P", 1);
    }
    let mut words = name.to_owned();
    for (part, word) in [
        ("cpu_us_per_", "CPU per "),
        ("cpu_s_per_gb", "CPU per GB"),
        ("user_us_per_", "user CPU per "),
        ("user_s_per_gb", "user CPU per GB"),
        ("system_us_per_", "system CPU per "),
        ("system_s_per_gb", "system CPU per GB"),
        ("pss_growth_per_", "memory growth (PSS) per "),
        ("pss_total_per_", "memory (PSS) per "),
        ("rate_at_bound", "highest rate within the bound"),
        ("total_ms", "total time"),
    ] {
        words = words.replace(part, word);
    }
    let words = words.replace('_', " ");
    match words.strip_suffix(" per s") {
        Some(counted) => format!("{counted} per second"),
        None => words,
    }
}

/// Seconds since 1970 as `2026-01-31 23:59 UTC`.
pub(crate) fn date(unix_time_s: u64) -> String {
    let (days, second) = (unix_time_s / 86_400, unix_time_s % 86_400);
    // Days are counted from 1 March of year 0, so that the day a leap year adds is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carried) = match month {
        month if month < 10 => (month + 3, 0),
        month => (month - 9, 1),
    };
    let year = era * 400 + year + carried;
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year}-{month:02}-{day_of_month:02} {hour:02}:{minute:02} UTC")
}

/// Why a run is void, without the output of the program, which may follow on lines of its own.
pub(crate) fn first_line(why: &str) -> &str {
    let line = why.lines().next().unwrap_or_default();
    line.strip_suffix("; its output ended with:")
        .unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_one_unit_and_the_digits_of_its_smallest() {
        let format = Format::of("us", [44.2, 40_012.3, 0.0]);
        assert_eq!(format.quantity(44.2), "44.2 µs");
        assert_eq!(format.quantity(40_012.34), "40,012 µs");
        assert_eq!(format.number(0.0), "0.0");
        let format = Format::of("us", [8.491, 204.26]);
        assert_eq!(
            [8.491, 204.26].map(|value| format.number(value)),
            ["8.49", "204.3"]
        );
        assert_eq!(
            Format::of("us", [12_000.0, 3e6]).quantity(12_000.0),
            "12.0 ms"
        );
        assert_eq!(
            Format::of("1/s", [70_123.4]).quantity(70_123.4),
            "70,123 /s"
        );
        assert_eq!(Format::of("s/GB", [0.117]).quantity(0.117), "0.117 s/GB");
        assert_eq!(Format::of("1", [3.0]).quantity(3.0), "3.00");
        assert_eq!(Format::of("us", []).quantity(0.0), "0 µs");
        assert_eq!(
            Format::of("KiB", [-2_500.0]).quantity(-2_500.0),
            "-2,500 KiB"
        );
    }

    #[test]
    fn chosen_latencies_are_short() {
        let written = [0.0, 0.5, 1.0, 250.0, 1_000.0, 2_500.0, 1e6].map(us);
        let expected = ["0 µs", "500 ns", "1 µs", "250 µs", "1 ms", "2.5 ms", "1 s"];
        assert_eq!(written, expected);
        assert_eq!(
            [2, 15_360, 10_000, 10 << 20].map(bytes),
            ["2 B", "15 KiB", "10,000 B", "10 MiB"]
        );
        assert_eq!(
            [1, 9_000].map(|count| plural(count, "tunnel")),
            ["1 tunnel", "9,000 tunnels"]
        );
    }

    #[test]
    fn figures_are_named_in_words() {
        let names = [
            "cpu_us_per_round_trip",
            "p99.9_us",
            "max_us",
            "cpu_s_per_gb",
            "connections_per_s",
            "duplex_cpu_s_per_gb",
            "rate_at_bound",
            "proxy_busy",
            "pss_growth_per_tunnel",
        ];
        let words = names.map(figure);
        assert_eq!(
            words,
            [
                "CPU per round trip",
                "P99.9",
                "max",
                "CPU per GB",
                "connections per second",
                "duplex CPU per GB",
                "highest rate within the bound",
                "proxy busy",
                "memory growth (PSS) per tunnel"
            ]
        );
    }

    #[test]
    fn days_are_found_around_leap_days_and_years() {
        let dates = [
            0,
            951_782_399,
            951_782_400,
            1_709_164_800,
            1_767_225_599,
            4_107_542_400,
        ];
        let written = dates.map(date);
        let expected = [
            "1970-01-01 00:00 UTC",
            "2000-02-28 23:59 UTC",
            "2000-02-29 00:00 UTC",
            "2024-02-29 00:00 UTC",
            "2025-12-31 23:59 UTC",
            "2100-03-01 00:00 UTC",
        ];
        assert_eq!(written, expected);
    }
}
