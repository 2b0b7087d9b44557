//! Compiles the example's protocol and Chancery's `AuthService`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../proto/chancery/v1/auth_service.proto");
    let files = ["orders/v1/orders.proto", "chancery/v1/auth_service.proto"];
    let descriptors = protox::compile(files, ["proto", "../proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
