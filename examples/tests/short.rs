//! Checks what the documentation says about the examples.

#[test]
fn each_service_takes_fewer_than_80_lines() {
    for (program, source) in [
        (env!("CARGO_BIN_EXE_axum-api"), include_str!("../src/bin/axum-api.rs")),
        (env!("CARGO_BIN_EXE_tonic-service"), include_str!("../src/bin/tonic-service.rs")),
    ] {
        let lines = source.lines().count();
        assert!(lines < 80, "{program}: {lines}");
    }
}
