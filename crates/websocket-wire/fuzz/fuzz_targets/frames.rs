#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| eventflux_websocket_wire_fuzz::frames(input));
