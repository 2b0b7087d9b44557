//! The `chancery` binary.

/// Many small values live for one call each: this allocator takes a tenth off the time of a refresh. It
/// is built without huge pages, which would double the memory of a server that has nothing to do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chancery::cli::main()
}
