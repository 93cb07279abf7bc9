//! Compiling an upload: in this process, or in a child with limits on CPU time and memory.

use std::io::{Read, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::Engine;

use crate::config::{Compiler, Limits};
use crate::engine;
use crate::report::Code;

/// CPU seconds and bytes of address space that the child may use, and how long the parent waits for it.
const CPU_SECONDS: u64 = 120;
const ADDRESS_SPACE: u64 = 2 << 30;
const WAIT: Duration = Duration::from_secs(300);
/// Compiled code is some ten times the wasm; beyond this something is wrong.
const COMPILED: u64 = 1 << 30;

/// Exit code of a child whose input is not a component. Anything else but 0 means that it hit a limit.
const REFUSED: u8 = 3;

pub async fn compile(compiler: &Compiler, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, (Code, String)> {
    match compiler {
        Compiler::InProcess => {
            let engine = engine.clone();
            let wasm = wasm.to_vec();
            tokio::task::spawn_blocking(move || engine.precompile_component(&wasm))
                .await
                .map_err(|error| (Code::PluginMalformed, format!("the compiler failed: {error}")))?
                .map_err(|error| (Code::PluginMalformed, format!("{error:#}")))
        }
        Compiler::Child { program, args } => {
            let mut child = tokio::process::Command::new(program)
                .args(args)
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| {
                    (Code::PluginCompileLimit, format!("cannot start {}: {error}", program.display()))
                })?;
            match tokio::time::timeout(WAIT, talk(&mut child, wasm)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    Err((Code::PluginCompileLimit, format!("the compiling child broke off: {error}")))
                }
                Err(_) => Err((
                    Code::PluginCompileLimit,
                    format!("compiling took longer than {} s", WAIT.as_secs()),
                )),
            }
        }
    }
}

/// The body of the child: limits itself, reads wasm from stdin, writes compiled code to stdout.
pub fn compile_child_main() -> ExitCode {
    #[cfg(unix)]
    if let Err(error) = limit_self() {
        eprintln!("cannot limit the compiler: {error}");
        return ExitCode::FAILURE;
    }
    let mut wasm = Vec::new();
    let cap = Limits::default().upload as u64 + 1;
    if let Err(error) = std::io::stdin().lock().take(cap).read_to_end(&mut wasm) {
        eprintln!("cannot read the wasm: {error}");
        return ExitCode::FAILURE;
    }
    match engine::compiling().and_then(|engine| engine.precompile_component(&wasm)) {
        Ok(compiled) => match std::io::stdout().lock().write_all(&compiled) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write the compiled code: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

async fn talk(
    child: &mut tokio::process::Child,
    wasm: &[u8],
) -> std::io::Result<Result<Vec<u8>, (Code, String)>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A child that refuses early closes its end; its exit code says why.
            let _ = stdin.write_all(wasm).await;
        }
    };
    let read = async {
        let mut compiled = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(COMPILED).read_to_end(&mut compiled).await?;
        }
        std::io::Result::Ok(compiled)
    };
    let complain = async {
        let mut words = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(4 << 10).read_to_end(&mut words).await?;
        }
        std::io::Result::Ok(words)
    };
    let ((), compiled, words) = tokio::join!(write, read, complain);
    let (compiled, words) = (compiled?, words?);
    let status = child.wait().await?;
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Ok(if status.success() {
        Ok(compiled)
    } else if status.code() == Some(i32::from(REFUSED)) {
        Err((Code::PluginMalformed, words))
    } else {
        let limits = format!("{CPU_SECONDS} s of CPU and {} MiB", ADDRESS_SPACE >> 20);
        Err((Code::PluginCompileLimit, format!("compiling ended with {status} under {limits}: {words}")))
    })
}

#[cfg(unix)]
fn limit_self() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Cpu, limit(CPU_SECONDS))?;
    setrlimit(Resource::Core, limit(0))?;
    // Other systems than Linux know the limit but do not keep it; the CPU limit and the upload's cap remain there.
    #[cfg(target_os = "linux")]
    setrlimit(Resource::As, limit(ADDRESS_SPACE))?;
    Ok(())
}
