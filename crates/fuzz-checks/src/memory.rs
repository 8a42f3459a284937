//! The peak memory of a computation. Lambda's memory is limited and costs money, and no input may use it up.

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The maximum memory.
pub(crate) struct Bound {
    /// For an input of any length, in bytes.
    pub(crate) base: usize,
    /// For each byte of the input, in bytes.
    pub(crate) per_byte: usize,
}

/// Runs the work and checks its peak memory. No other code may run meanwhile, because its memory would count.
pub(crate) fn bounded<R>(bound: &Bound, input_length: usize, work: impl FnOnce() -> R) -> R {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = work();
    let held = HEAP.peak_usage().saturating_sub(before);
    let most = bound.base + bound.per_byte * input_length;
    assert!(held <= most, "{held} bytes of memory for {input_length} bytes of input; the maximum is {most}");
    result
}

/// Runs the work once per thread, so that what a library allocates at its first use and keeps does not count for the
/// first input.
pub(crate) fn warm_up(work: impl FnOnce()) {
    thread_local! {
        static IS_WARM: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !IS_WARM.replace(true) {
        work();
    }
}
