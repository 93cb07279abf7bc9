//! `handfast charter`: what marketing and sales agreed on, as a document on stdout.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::ServerArgs;
use super::client::CliError;

#[derive(Args)]
pub struct CharterArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Number of the charter; the one in force without it.
    #[arg(long, value_name = "N")]
    number: Option<u32>,
    /// Write a page of HTML instead of Markdown.
    #[arg(long)]
    html: bool,
}

const DOCUMENT: &str = "query($number: Int, $format: CharterFormat!) { \
                        charter(number: $number) { document(format: $format) } }";

pub const DOCUMENTS: [&str; 1] = [DOCUMENT];

pub fn charter(args: CharterArgs) -> Result<ExitCode, CliError> {
    let format = if args.html { "HTML" } else { "MARKDOWN" };
    let asked = json!({"number": args.number, "format": format});
    let answer = args.server.client().query(DOCUMENT, asked)?;
    match (answer["charter"]["document"].as_str(), args.number) {
        (Some(text), _) => {
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(number)) => Err(CliError::NotFound(format!("there is no charter {number}"))),
        (None, None) => Err(CliError::NotFound("there is no charter".to_owned())),
    }
}
