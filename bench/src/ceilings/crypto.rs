//! Bare signatures, over as many bytes as an access token has.

use std::hint::black_box;

use anyhow::bail;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
    },
};

use super::Work;
use crate::args::CeilingKind;

/// About as long as the signed part of an access token.
const INPUT: [u8; 600] = [b'x'; 600];

/// Makes or verifies one signature per call.
pub(super) fn work(kind: CeilingKind) -> anyhow::Result<Work> {
    match kind {
        CeilingKind::Rs256Sign => Ok(signing_work(rs256()?.0)),
        CeilingKind::Es256Sign => Ok(signing_work(es256()?.0)),
        CeilingKind::EddsaSign => Ok(signing_work(eddsa()?.0)),
        CeilingKind::Rs256Verify => verifying_work(rs256()?, &RSA_PKCS1_2048_8192_SHA256),
        CeilingKind::Es256Verify => verifying_work(es256()?, &ECDSA_P256_SHA256_FIXED),
        CeilingKind::EddsaVerify => verifying_work(eddsa()?, &ED25519),
        CeilingKind::Argon2id | CeilingKind::Sqlite | CeilingKind::Postgres => bail!("not a signature"),
    }
}

/// Signs the input.
type Sign = Box<dyn FnMut() -> anyhow::Result<Vec<u8>> + Send>;

fn signing_work(mut sign: Sign) -> Work {
    Box::new(move || {
        black_box(sign()?);
        Ok(())
    })
}

fn verifying_work(
    (mut sign, public): (Sign, Vec<u8>),
    algorithm: &'static dyn VerificationAlgorithm,
) -> anyhow::Result<Work> {
    let (key, signature) = (ParsedPublicKey::new(algorithm, &public)?, sign()?);
    Ok(Box::new(move || Ok(black_box(key.verify_sig(black_box(&INPUT), &signature))?)))
}

fn rs256() -> anyhow::Result<(Sign, Vec<u8>)> {
    let (key, random) = (RsaKeyPair::generate(KeySize::Rsa2048)?, SystemRandom::new());
    let public = key.public_key().as_ref().to_vec();
    let sign = move || {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &random, black_box(&INPUT), &mut signature)?;
        Ok(signature)
    };
    Ok((Box::new(sign), public))
}

fn es256() -> anyhow::Result<(Sign, Vec<u8>)> {
    let (key, random) = (EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?, SystemRandom::new());
    let public = key.public_key().as_ref().to_vec();
    Ok((Box::new(move || Ok(key.sign(&random, black_box(&INPUT))?.as_ref().to_vec())), public))
}

fn eddsa() -> anyhow::Result<(Sign, Vec<u8>)> {
    let key = Ed25519KeyPair::generate()?;
    let public = key.public_key().as_ref().to_vec();
    Ok((Box::new(move || Ok(key.sign(black_box(&INPUT)).as_ref().to_vec())), public))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_verifies() {
        for kind in [CeilingKind::Rs256Verify, CeilingKind::Es256Verify, CeilingKind::EddsaVerify] {
            work(kind).unwrap()().unwrap();
        }
        assert!(work(CeilingKind::Sqlite).is_err());
    }
}
