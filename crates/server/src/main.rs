//! The one binary.

/// A tenth of the server's time went into the system's allocator: decisions and events are many small texts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    handfast::cli::main()
}
