//! The checks of `tests/fuzz/checks`, compiled once for all programs that fuzz.

#[path = "../../tests/fuzz/checks/mod.rs"]
mod checks;

/// Panics if these bytes make the target's parser break a promise.
pub fn hold(target: &str, input: &[u8]) {
    checks::hold(target, input);
}
