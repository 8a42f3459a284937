//! How much memory a piece of work holds at once. Lambda's is a setting that costs money, and a body must not be able to
//! use it up.

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The most that may be held.
pub(crate) struct Bound {
    /// However short the input is, in bytes.
    pub(crate) base: usize,
    /// For each byte of the input.
    pub(crate) per_byte: usize,
}

/// What the work comes to. Nothing else may run meanwhile: it would count.
pub(crate) fn bounded<R>(bound: &Bound, input_length: usize, work: impl FnOnce() -> R) -> R {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = work();
    let held = HEAP.peak_usage().saturating_sub(before);
    let most = bound.base + bound.per_byte * input_length;
    assert!(held <= most, "{held} bytes were held at once for {input_length} bytes, and {most} is the most");
    result
}

/// Does once what the first of all inputs would be charged with: whatever a library makes at its first use and keeps.
pub(crate) fn warm_up(work: impl FnOnce()) {
    thread_local! {
        static IS_WARM: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !IS_WARM.replace(true) {
        work();
    }
}
