//! How large an access token may be.

/// Maximum size of an access token, in bytes. Every consumer takes one of this size: it fits into the smallest common
/// limit for a header, and the headers that the guard makes from it have at most 12 KiB together.
pub const MAX_TOKEN: usize = 4096;
