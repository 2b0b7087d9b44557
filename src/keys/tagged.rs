//! Texts with a tag: a prefix and base64url(format, sealing key version, content, tag), all of fixed length. The tag
//! tells ours from forgeries without a query, and each kind has a subkey of its own.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{sealing::SealingKey, sealing_keys::SealingKeys};

/// The first format of each kind.
pub(super) const FORMAT: u8 = 1;
const TAG: usize = 32;

/// Writes the text of some content, under the version in use. `tag` is the tag of this kind.
pub(super) fn write(
    keys: &SealingKeys,
    (prefix, format): (&str, u8),
    content: &[&[u8]],
    tag: impl Fn(&SealingKey, &[u8]) -> [u8; TAG],
) -> String {
    let key = keys.in_use();
    let mut bytes = Zeroizing::new(vec![format, key.version()]);
    // Room for all of it at once: a vector that moves leaves a copy behind.
    bytes.reserve_exact(content.iter().map(|part| part.len()).sum::<usize>() + TAG);
    for part in content {
        bytes.extend_from_slice(part);
    }
    let tag = tag(key, &bytes);
    bytes.extend_from_slice(&tag);
    let mut text = prefix.to_owned();
    text.reserve_exact(bytes.len().div_ceil(3) * 4);
    URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
    text
}

/// Reads content of `N` bytes, and the format that it has: the first one, or one of up to `formats`. Returns nothing unless
/// this server wrote the text as this kind.
pub(super) fn read<const N: usize>(
    keys: &SealingKeys,
    (prefix, formats): (&str, u8),
    text: &str,
    tag: impl Fn(&SealingKey, &[u8]) -> [u8; TAG],
) -> Option<(u8, Zeroizing<[u8; N]>)> {
    let body = text.strip_prefix(prefix)?;
    let total = 2 + N + TAG;
    if body.len() != (total * 4).div_ceil(3) {
        return None;
    }
    // The decoder rejects padding and trailing bits, so each content has exactly one text.
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let (signed, presented) = bytes.split_at_checked(2 + N)?;
    let (&[format, version], content) = signed.split_first_chunk::<2>()?;
    if bytes.len() != total {
        return None;
    }
    keys.version_that(version, |key| constant_time::verify_slices_are_equal(&tag(key, signed), presented).is_ok())?;
    let known = (FORMAT..=formats).contains(&format);
    Some((format, Zeroizing::new(content.try_into().ok().filter(|_| known)?)))
}
