//! The compiling child alone, as the server's hidden subcommand runs it. The tests use it.

fn main() -> std::process::ExitCode {
    handfast_rules::compile_child_main()
}
