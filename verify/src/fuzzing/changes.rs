//! Changes to accepted inputs, chosen by numbers.

/// Maximum size of a changed input, in bytes.
const MAX: usize = 64 * 1024;

/// What is done, where, to how many bytes, and with which byte.
pub type Step = (u8, u16, u16, u8);

/// Takes one of the inputs and changes it, one step after the other: flips a bit, cuts bytes out, inserts some,
/// repeats some, or replaces the end by that of another input.
#[must_use]
pub fn changed(inputs: &[Vec<u8>], pick: usize, steps: &[Step]) -> Vec<u8> {
    let one = |n: usize| inputs.get(n % inputs.len().max(1)).cloned().unwrap_or_default();
    let mut out = one(pick);
    for &(kind, at, len, byte) in steps {
        let at = usize::from(at) % (out.len() + 1);
        let end = out.len().min(at + usize::from(len) % 64 + 1);
        let part = out.get(at..end).unwrap_or_default().to_vec();
        match kind % 5 {
            0 => {
                if let Some(flipped) = out.get_mut(at) {
                    *flipped ^= 1 << (byte % 8);
                }
            }
            1 => drop(out.drain(at..end)),
            2 => drop(out.splice(at..at, vec![byte; usize::from(len) % 8 + 1])),
            3 => drop(out.splice(at..at, part.repeat(usize::from(byte) + 1))),
            _ => {
                let other = one(usize::from(byte));
                out.truncate(at);
                out.extend(other.get(at.min(other.len())..).unwrap_or_default());
            }
        }
        out.truncate(MAX);
    }
    out
}

/// Inputs that are only large: `size` bytes of what nests, repeats or never ends.
#[must_use]
pub fn large(size: usize) -> Vec<Vec<u8>> {
    let parts = [
        "[", "{\"a\":", "\"", "\\", "a", "0", ",", "\n", ".", "$", "=", " AND ", "A.", "\u{feff}", "\0", "é", "{}\n",
        "\"\"\"",
    ];
    parts.map(|part| part.as_bytes().iter().copied().cycle().take(size).collect()).into()
}
