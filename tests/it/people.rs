//! What people choose and what is known about them: names, addresses, where they call from, and how much they may write.

mod addresses;
mod budget;
mod labels;
mod origins;
mod refusals;
mod resets;
mod unchanged;
