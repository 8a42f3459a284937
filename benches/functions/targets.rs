//! What was aimed at, and what came out.

use crate::times::digits;

/// In the order in which they were measured.
#[derive(Default)]
pub(crate) struct Targets(Vec<String>);

impl Targets {
    /// The measured value should not be less.
    pub(crate) fn at_least(&mut self, bound: f64, what: &str, measured: f64) {
        self.add("at least", bound, what, measured, measured >= bound);
    }

    /// The measured value should not be more.
    pub(crate) fn at_most(&mut self, bound: f64, what: &str, measured: f64) {
        self.add("at most", bound, what, measured, measured <= bound);
    }

    fn add(&mut self, relation: &str, bound: f64, what: &str, measured: f64, is_met: bool) {
        let verdict = if is_met { "met" } else { "**not met**" };
        self.0.push(format!("| {what} | {relation} {bound} | {} | {verdict} |", digits(measured)));
    }

    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("| target | aimed at | measured | |\n| --- | --- | --- | --- |");
        for line in &self.0 {
            println!("{line}");
        }
    }
}
