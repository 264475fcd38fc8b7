//! Latencies as the result file holds them: HdrHistogram V2, deflated, in base64 (the text that begins with `HISTF` in
//! every HdrHistogram log), and as `.hgrm`, the percentile output that its plotting tools read.
//!
//! What is measured, and what may merge with what, is the business of `latency`; `measure` writes, `report` reads.

use std::io::{self, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::result::latency::{Latencies, UNIT_NS};
use crate::result::model::{Latency, Point};

/// First bytes of a V2 histogram, and of a deflated one.
const COOKIE: [u8; 4] = 0x1c84_9313_u32.to_be_bytes();
const COOKIE_DEFLATED: [u8; 4] = 0x1c84_9314_u32.to_be_bytes();
/// What is before the counts: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;
/// Most bytes of a histogram: three digits up to a minute need 200 KiB at worst.
const V2_BYTES_MAX: u64 = 16 << 20;
/// More latencies than any run measures; sums of so many stay far from overflow.
const COUNT_MAX: u64 = 1 << 53;
/// Steps of a `.hgrm` between one percentile and the one at half the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// As the result file has them.
pub(crate) fn encode(latencies: &Latencies) -> Result<Latency, String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(latencies.histogram(), &mut bytes)
        .map_err(|error| format!("a histogram cannot be written: {error}"))?;
    Ok(Latency {
        clock: latencies.clock(),
        unit_ns: UNIT_NS,
        v2: STANDARD.encode(bytes),
    })
}

/// Reads what [`encode`] wrote, and histograms of other bounds or without compression as well.
pub(crate) fn decode(latency: &Latency) -> Result<Latencies, String> {
    if latency.unit_ns != UNIT_NS {
        let unit = latency.unit_ns;
        return Err(format!(
            "unit_ns is {unit}; only histograms of nanoseconds ({UNIT_NS}) are read"
        ));
    }
    let bytes = STANDARD
        .decode(&latency.v2)
        .map_err(|error| format!("v2 is not base64: {error}"))?;
    let plain = inflated(&bytes)?;
    check(&plain)?;
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut plain.as_slice())
        .map_err(|error| format!("v2 is no HdrHistogram: {error}"))?;
    if histogram.len() > COUNT_MAX {
        return Err(format!("v2 counts more than {COUNT_MAX} latencies"));
    }
    let counts = histogram.iter_recorded();
    let counts = counts.map(|step| (step.value_iterated_to(), step.count_at_value()));
    Ok(Latencies::of(latency.clock, counts))
}

/// All latencies of a contender at a point, those of its rounds merged; none where no run has any.
pub(crate) fn merged(point: &Point, contender: usize) -> Result<Option<Latencies>, String> {
    let runs = point.runs.iter().filter(|run| run.contender == contender);
    let mut all: Option<Latencies> = None;
    for latency in runs.filter_map(|run| run.latency.as_ref()) {
        let one = decode(latency)?;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.merge(&one).map_err(|_| {
                let workload = &point.workload;
                format!("{workload}: latencies from planned times and from the asking do not merge")
            })?,
        }
    }
    Ok(all)
}

/// Writes the percentile output of HdrHistogram, in microseconds.
pub(crate) fn write_hgrm(latencies: &Latencies, out: &mut impl Write) -> io::Result<()> {
    let histogram = latencies.histogram();
    let us = |ns: f64| ns / 1e3;
    let titles = ("Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let (value, percentile, count, inverse) = titles;
    writeln!(
        out,
        "{value:>12} {percentile:>14} {count:>10} {inverse:>14}\n"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = us(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:12.3} {quantile:2.12} {total:10}")?;
        if quantile < 1.0 {
            write!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    let (mean, deviation) = (us(histogram.mean()), us(histogram.stdev()));
    let (max, count) = (us(histogram.max() as f64), histogram.len());
    let buckets = histogram.buckets();
    // Of the lowest bucket: so many that neighbours differ by less than the digits can tell.
    let sub_buckets = (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two();
    writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    )?;
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]")?;
    writeln!(
        out,
        "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]"
    )
}

/// The V2 histogram without its compression.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let short = || "v2 ends before its histogram does".to_owned();
    let (cookie, rest) = bytes.split_at_checked(4).ok_or_else(short)?;
    if cookie != COOKIE_DEFLATED {
        return Ok(bytes.to_vec());
    }
    let (_, deflated) = rest.split_at_checked(4).ok_or_else(short)?;
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated)
        .take(V2_BYTES_MAX + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("v2 cannot be inflated: {error}"))?;
    Ok(plain)
}

/// Looks at what the decoder takes on trust: it would set aside memory for any length, and negate any count.
fn check(plain: &[u8]) -> Result<(), String> {
    if plain.len() as u64 > V2_BYTES_MAX {
        return Err(format!("v2 is longer than {V2_BYTES_MAX} B"));
    }
    if !plain.starts_with(&COOKIE) {
        return Err("v2 does not begin as an HdrHistogram V2 does".to_owned());
    }
    let (header, counts) = plain
        .split_at_checked(HEADER_BYTES)
        .ok_or("v2 ends before its histogram does")?;
    let length = header.get(4..8).and_then(|bytes| bytes.try_into().ok());
    let length = length.map_or(0, u32::from_be_bytes);
    if counts.len() as u64 != u64::from(length) {
        let found = counts.len();
        return Err(format!("v2 has {found} B of counts where it says {length}"));
    }
    // Nine bytes of 0xff are the lowest number there is, a run of 2^63 zeros, which has no positive counterpart.
    if counts.windows(9).any(|window| window == [0xff; 9]) {
        return Err("v2 has a run of zeros without end".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::V2Serializer;

    use super::*;
    use crate::result::model::Clock;

    fn sample(clock: Clock, from_us: u64) -> Latencies {
        Latencies::of(clock, (0..10_000).map(|step| (1_000 * (from_us + step), 1)))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = sample(Clock::Planned, 40);
        let latency = encode(&written).unwrap();
        assert!(latency.v2.starts_with("HISTF"), "{}", &latency.v2[..8]);
        let read = decode(&latency).unwrap();
        assert_eq!(read.histogram(), written.histogram());
        assert_eq!(read.clock(), Clock::Planned);
        let empty = encode(&Latencies::new(Clock::Asked)).unwrap();
        assert_eq!(decode(&empty).unwrap().histogram().len(), 0);
    }

    #[test]
    fn histograms_of_other_programs_are_read_and_merge() {
        let mut foreign = Histogram::<u64>::new_with_bounds(1, 1 << 50, 2).unwrap();
        foreign.record_n(5_000_000, 10_000).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&foreign, &mut bytes).unwrap();
        let latency = Latency {
            clock: Clock::Asked,
            unit_ns: 1,
            v2: STANDARD.encode(bytes),
        };
        let mut read = decode(&latency).unwrap();
        read.merge(&sample(Clock::Asked, 40_000)).unwrap();
        assert_eq!(read.histogram().len(), 20_000);
        assert!((4_990.0..5_050.0).contains(&read.at_quantile_us(0.5)));
        assert!(read.at_quantile_us(0.51) > 39_000.0);
    }

    #[test]
    fn broken_histograms_say_what_is_wrong_with_them() {
        let good = encode(&sample(Clock::Planned, 40)).unwrap();
        let wrong = |v2: String, unit_ns| {
            let latency = Latency {
                v2,
                unit_ns,
                ..good.clone()
            };
            decode(&latency).unwrap_err()
        };
        assert!(wrong(good.v2.clone(), 1_000).contains("unit_ns is 1000"));
        assert!(wrong("HIST!".to_owned(), 1).contains("not base64"));
        assert!(wrong(String::new(), 1).contains("ends before"));
        assert!(wrong(STANDARD.encode("no histogram"), 1).contains("does not begin"));
        let mut bytes = STANDARD.decode(&good.v2).unwrap();
        bytes.truncate(bytes.len() / 2);
        assert!(wrong(STANDARD.encode(&bytes), 1).contains("inflated"));
    }

    /// A plain histogram with these counts, which says that they are `length` bytes.
    fn plain(length: u32, counts: &[u8]) -> String {
        let mut bytes = COOKIE.to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend(3_u32.to_be_bytes());
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend(60_000_000_000_u64.to_be_bytes());
        bytes.extend(1.0_f64.to_be_bytes());
        bytes.extend(counts);
        STANDARD.encode(bytes)
    }

    #[test]
    fn hostile_lengths_and_counts_are_refused_before_memory_is_taken() {
        let decode = |v2| {
            super::decode(&Latency {
                clock: Clock::Asked,
                unit_ns: 1,
                v2,
            })
        };
        assert!(decode(plain(2, &[2, 2])).is_ok());
        let lying = decode(plain(u32::MAX, &[2, 2])).unwrap_err();
        assert!(lying.contains("2 B of counts"), "{lying}");
        let endless = decode(plain(11, &[0xff; 11])).unwrap_err();
        assert!(endless.contains("without end"), "{endless}");
        let many = decode(plain(9, &[0xfe; 9])).unwrap_err();
        assert!(many.contains("counts more"), "{many}");
        let beyond = decode(plain(4, &[0xff, 0xff, 0x7f, 2])).unwrap_err();
        assert!(beyond.contains("no HdrHistogram"), "{beyond}");
    }

    #[test]
    fn hgrm_has_the_columns_that_plotting_tools_read() {
        let mut text = Vec::new();
        write_hgrm(&sample(Clock::Asked, 1), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.lines();
        let titles: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        let expected = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
        assert_eq!(titles, expected);
        assert_eq!(lines.next(), Some(""));
        let (comments, rows): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with('#'));
        assert_eq!(comments.len(), 3);
        let numbers = |line: &str| -> Vec<f64> {
            let words = line.split_whitespace();
            words.map(|word| word.parse().unwrap()).collect()
        };
        let rows: Vec<_> = rows.into_iter().map(numbers).collect();
        assert!(
            rows.windows(2).all(|two| two[0][0] <= two[1][0]
                && two[0][1] <= two[1][1]
                && two[0][2] <= two[1][2])
        );
        let last = rows.last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 10_000.0));
        assert!(rows.iter().rev().skip(1).all(|row| row.len() == 4));
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 5_000.0).abs() < 50.0, "{median:?}");
    }
}
