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

#[test]
fn each_small_shop_takes_fewer_than_60_lines() {
    for (program, source) in [
        ("axum-pages.rs", include_str!("../src/bin/axum-pages.rs")),
        ("express/app.mjs", include_str!("../express/app.mjs")),
        ("flask/visits.py", include_str!("../flask/visits.py")),
        ("flask/who.py", include_str!("../flask/who.py")),
        ("flask/sign_in.py", include_str!("../flask/sign_in.py")),
        ("flask/sign_out.py", include_str!("../flask/sign_out.py")),
    ] {
        let lines = source.lines().count();
        assert!(lines < 60, "{program}: {lines}");
    }
}
