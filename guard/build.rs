//! Compiles the guard's own protocol and the part of Envoy's that it uses, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["chancery/guard/v1/guard_service.proto", "envoy/service/auth/v3/external_auth.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    let mut config = tonic_prost_build::Config::new();
    // These messages carry tokens, so their `Debug` is written by hand.
    config.skip_debug([
        "chancery.guard.v1.CheckRequest",
        "envoy.service.auth.v3.AttributeContext.HttpRequest",
        "envoy.service.auth.v3.HeaderValue",
    ]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
