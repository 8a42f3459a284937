//! Statistics of measured values, and their format.

use std::time::Duration;

/// Sorted values of one measurement.
pub(crate) struct Values(Vec<f64>);

impl Values {
    /// Requires at least one value.
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Converts times to milliseconds. Requires at least one.
    pub(crate) fn times(times: &[Duration]) -> Self {
        Self::new(times.iter().map(|time| milliseconds(*time)).collect())
    }

    /// The value below which this percentage of the values is.
    pub(crate) fn percentile(&self, percentage: usize) -> f64 {
        self.0[(self.0.len() * percentage / 100).min(self.0.len() - 1)]
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The median and the middle half of the values, as a table cell.
    pub(crate) fn cell(&self) -> String {
        let [low, median, high] = [25, 50, 75].map(|percentage| digits(self.percentile(percentage)));
        format!("{median} ({low} to {high})")
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Formats a value with three significant digits.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A count as a float, for ratios.
pub(crate) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
