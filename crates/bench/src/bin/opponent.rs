//! What Handfast is compared with, as a server of its own.

use std::process::ExitCode;

use clap::Parser;
use handfast_bench::server::OpponentArgs;
use handfast_bench::{Failed, advance, plain};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "handfast-opponent", about = "The same rows and the same changes without GraphQL")]
enum Opponent {
    /// The reads.
    Plain(OpponentArgs),
    /// The change.
    Flows(OpponentArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Opponent::parse() {
        Opponent::Plain(args) => plain::serve(args).await,
        Opponent::Flows(args) => advance::serve(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
