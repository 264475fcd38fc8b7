//! A figure over all runs: its column, what each round has of it, and ratios between two of them.
//!
//! Ratios are taken within rounds, so that a drift of the machine meets both sides alike.

use crate::result::model::Figure;
use crate::spread::Spread;

/// The name of a figure with its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) unit: String,
}

/// A figure in every run: its round, and what was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values(pub(crate) Vec<(usize, f64)>);

impl Values {
    pub(crate) fn spread(&self) -> Option<Spread> {
        Spread::of(self.0.iter().map(|(_, value)| *value))
    }

    pub(crate) fn median(&self) -> Option<f64> {
        self.spread().map(|spread| spread.median)
    }

    /// Rounds that both were measured in.
    pub(crate) fn common_rounds(&self, other: &Self) -> usize {
        let is_common = |(round, _): &&(usize, f64)| other.0.iter().any(|(same, _)| same == round);
        self.0.iter().filter(is_common).count()
    }

    /// This over `other`, round by round; none where no round has both, or one is not above zero.
    pub(crate) fn ratio(&self, other: &Self) -> Option<Spread> {
        let pairs = self.0.iter().flat_map(|(round, value)| {
            let same = other.0.iter().filter(move |(other, _)| other == round);
            same.map(move |(_, other)| (*value, *other))
        });
        let ratios: Vec<f64> = pairs
            .map(|(value, other)| (value > 0.0 && other > 0.0).then(|| value / other))
            .collect::<Option<_>>()?;
        Spread::of(ratios).filter(|ratio| ratio.min > 0.0 && ratio.max.is_finite())
    }
}

/// Which end of a figure is the good one; none where neither is, as with how busy a side was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    Neither,
}

impl Column {
    pub(crate) fn of(figure: &Figure) -> Self {
        Self {
            name: figure.name.clone(),
            unit: figure.unit.clone(),
        }
    }

    pub(crate) fn better(&self) -> Better {
        match self.unit.as_str() {
            unit if unit.ends_with("/s") => Better::Higher,
            "%" | "1" => Better::Neither,
            _ => Better::Lower,
        }
    }

    /// Whether it says what an operation costs the proxy.
    pub(crate) fn is_cpu(&self) -> bool {
        self.name.starts_with("cpu_") || self.name.contains("_cpu_s_per_")
    }
}
