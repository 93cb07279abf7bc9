//! The one binary.

fn main() -> std::process::ExitCode {
    handfast::cli::main()
}
