//! Bare Argon2id, with the server's parameters and reused memory.

use argon2::{Algorithm, Argon2, Block, Version};
use chancery::passwords::Params;

use super::Work;

/// Computes one hash per call.
pub(super) fn work() -> anyhow::Result<Work> {
    let params = Params::default();
    let params = argon2::Params::new(params.memory_kib, params.iterations, params.lanes, Some(32));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|e| anyhow::anyhow!("{e}"))?);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    Ok(Box::new(move || {
        let mut out = [0; 32];
        let done = argon2.hash_password_into_with_memory(b"a long pass phrase", &[7; 16], &mut out, &mut memory);
        done.map_err(|e| anyhow::anyhow!("{e}"))?;
        std::hint::black_box(out);
        Ok(())
    }))
}
