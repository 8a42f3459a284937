//! The targets of the benchmark and the measured values.

use crate::times::digits;

/// Table rows in the order of measurement.
#[derive(Default)]
pub(crate) struct Targets(Vec<String>);

impl Targets {
    /// Adds a target: the measured value is at least `bound`.
    pub(crate) fn at_least(&mut self, bound: f64, what: &str, measured: f64) {
        self.add("at least", bound, what, measured, measured >= bound);
    }

    /// Adds a target: the measured value is at most `bound`.
    pub(crate) fn at_most(&mut self, bound: f64, what: &str, measured: f64) {
        self.add("at most", bound, what, measured, measured <= bound);
    }

    fn add(&mut self, relation: &str, bound: f64, what: &str, measured: f64, is_met: bool) {
        let result = if is_met { "met" } else { "**not met**" };
        self.0.push(format!("| {what} | {relation} {bound} | {} | {result} |", digits(measured)));
    }

    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("| measurement | target | measured | |\n| --- | --- | --- | --- |");
        for line in &self.0 {
            println!("{line}");
        }
    }
}
