//! Signatures alone, over as many bytes as an access token has.

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
use crate::args::Kind;

/// What an access token signs is about so long.
const INPUT: [u8; 600] = [b'x'; 600];

/// One signature, or one check, after the other.
pub(super) fn work(kind: Kind) -> anyhow::Result<Work> {
    match kind {
        Kind::Rs256Sign => Ok(repeat(rs256()?.0)),
        Kind::Es256Sign => Ok(repeat(es256()?.0)),
        Kind::EddsaSign => Ok(repeat(eddsa()?.0)),
        Kind::Rs256Verify => checks(rs256()?, &RSA_PKCS1_2048_8192_SHA256),
        Kind::Es256Verify => checks(es256()?, &ECDSA_P256_SHA256_FIXED),
        Kind::EddsaVerify => checks(eddsa()?, &ED25519),
        Kind::Argon2id | Kind::Sqlite | Kind::Postgres => bail!("not a signature"),
    }
}

/// Signs the input.
type Sign = Box<dyn FnMut() -> anyhow::Result<Vec<u8>> + Send>;

fn repeat(mut sign: Sign) -> Work {
    Box::new(move || {
        black_box(sign()?);
        Ok(())
    })
}

fn checks((mut sign, public): (Sign, Vec<u8>), algorithm: &'static dyn VerificationAlgorithm) -> anyhow::Result<Work> {
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
    fn every_signature_is_good() {
        for kind in [Kind::Rs256Verify, Kind::Es256Verify, Kind::EddsaVerify] {
            work(kind).unwrap()().unwrap();
        }
        assert!(work(Kind::Sqlite).is_err());
    }
}
