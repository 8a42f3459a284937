#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_checks::check("sweep_request", input));
