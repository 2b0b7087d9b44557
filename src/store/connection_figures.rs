//! How many connections a process has.

/// Connections to a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFigures {
    /// Those that are open.
    pub open: u64,
    /// Those of them that are in use.
    pub used: u64,
    /// How many there may be.
    pub most: u64,
}
