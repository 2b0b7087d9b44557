//! Compiles the protocol files with protox, so that `protoc` is not needed. Embeds the descriptor set for
//! reflection and for the tests that inspect it.

use std::{env, fs, path::PathBuf};

/// Messages that carry secrets. Their `Debug` is written by hand and omits the secrets.
const NO_DEBUG: &[&str] = &[
    "chancery.v1.LoginRequest",
    "chancery.v1.LoginResponse",
    "chancery.v1.TokenPair",
    "chancery.v1.StartGuestSessionResponse",
    "chancery.v1.UpgradeGuestRequest",
    "chancery.v1.UpgradeGuestResponse",
    "chancery.v1.RefreshRequest",
    "chancery.v1.StartStepUpRequest",
    "chancery.v1.StartStepUpResponse",
    "chancery.v1.LogoutRequest",
    "chancery.v1.IssueClientTokenResponse",
    "chancery.v1.IntrospectRequest",
    "chancery.v1.RevokeRequest",
    "chancery.v1.CreateUserRequest",
    "chancery.v1.ImportUsersRequest",
    "chancery.v1.ImportedUser",
    "chancery.v1.CreateClientResponse",
    "chancery.v1.RotateClientSecretResponse",
    "chancery.v1.LoginChallenge",
    "chancery.v1.TotpSetup",
    "chancery.v1.EnrollTotpResponse",
    "chancery.v1.ConfirmTotpRequest",
    "chancery.v1.ConfirmTotpResponse",
    "chancery.v1.RemoveMyFactorRequest",
    "chancery.v1.RegenerateRecoveryCodesResponse",
    "chancery.v1.StartPasskeyLoginResponse",
    "chancery.v1.StartPasskeyRegistrationResponse",
    "chancery.v1.FinishPasskeyRegistrationRequest",
    "chancery.v1.FinishPasskeyRegistrationResponse",
    "chancery.v1.ContinueLoginRequest",
    "chancery.v1.ContinueLoginResponse",
    "chancery.v1.RegisterRequest",
    "chancery.v1.VerifyEmailRequest",
    "chancery.v1.RequestPasswordResetRequest",
    "chancery.v1.ResetPasswordRequest",
    "chancery.v1.ChangePasswordRequest",
    "chancery.v1.PutSessionDataRequest",
    "chancery.v1.GetSessionDataResponse",
];

#[expect(clippy::disallowed_methods, reason = "cargo passes a build script its output folder in a variable")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let mut files: Vec<PathBuf> =
        fs::read_dir("proto/chancery/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    // Comments are kept in the descriptor set: a test demands one on every item.
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // As bytes, because the types of prost do not keep options such as `google.api.field_behavior`.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let descriptors = compiler.file_descriptor_set();
    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(NO_DEBUG);
    // `proto/google/rpc` is a part of what these types are.
    config.extern_path(".google.rpc", "::tonic_types::pb");
    // Two encodings of one message are equal: a repeated creation is recognised by its bytes.
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::SmallBuffers")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
