//! How much memory values occupy, rounded as allocators round.

/// What an allocator adds to a block.
const BLOCK_HEADER: usize = 8;
const BLOCK_UNIT: usize = 16;
const MIN_BLOCK: usize = 32;

/// A block on the heap of this many bytes.
pub(crate) const fn block(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let rounded = bytes.saturating_add(BLOCK_HEADER).next_multiple_of(BLOCK_UNIT);
    if rounded < MIN_BLOCK { MIN_BLOCK } else { rounded }
}

/// What a string owns.
pub(crate) fn string(text: &String) -> usize {
    block(text.capacity())
}

/// What a list of strings owns.
pub(crate) fn strings(list: &Vec<String>) -> usize {
    block(list.capacity() * size_of::<String>()) + list.iter().map(string).sum::<usize>()
}
