//! Compiled code is reused only when it carries this host's seal.

use std::path::{Path, PathBuf};

use handfast_domain::digest::Digest;
use handfast_domain::field::TraitKinds;
use handfast_rules::{Code, Compiler, Host, HostConfig};

use crate::guest;

fn start(folder: &Path, key: u8, compiler: Compiler) -> Host {
    let cache_dir = Some(folder.to_owned());
    Host::new(HostConfig { cache_dir, cache_key: [key; 32], compiler, threads: 1, ..HostConfig::new() })
        .unwrap()
}

/// A compiler that cannot work: whoever loads with it has used the cache.
fn nobody() -> Compiler {
    Compiler::Child { program: "/nonexistent/compiler".into(), args: vec![] }
}

/// The file of a plugin, and the folder of another engine beside it is not ours.
fn file(folder: &Path, wasm: &[u8]) -> PathBuf {
    let engine = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    engine.join(Digest::of_bytes(wasm).to_string())
}

async fn loads(host: &Host, wasm: &[u8]) -> Result<(), Code> {
    host.load(wasm, &TraitKinds::new()).await.map(drop).map_err(|error| error.code)
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guest("bombs");
    assert_eq!(loads(&start(folder.path(), 1, nobody()), &wasm).await, Err(Code::PluginCompileLimit));
    assert_eq!(loads(&start(folder.path(), 1, Compiler::InProcess), &wasm).await, Ok(()));
    assert_eq!(loads(&start(folder.path(), 1, nobody()), &wasm).await, Ok(()));
    let left: Vec<_> = std::fs::read_dir(file(folder.path(), &wasm).parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[tokio::test]
async fn a_tampered_file_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guest("bombs");
    loads(&start(folder.path(), 1, Compiler::InProcess), &wasm).await.unwrap();
    let path = file(folder.path(), &wasm);
    let sealed = std::fs::read(&path).unwrap();
    for damage in [0, 31, 32, sealed.len() / 2, sealed.len() - 1] {
        let mut bytes = sealed.clone();
        bytes[damage] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(
            loads(&start(folder.path(), 1, nobody()), &wasm).await,
            Err(Code::PluginCompileLimit),
            "{damage}"
        );
    }
    for cut in [0, 5, 32, 33, sealed.len() - 1] {
        std::fs::write(&path, &sealed[..cut]).unwrap();
        assert_eq!(
            loads(&start(folder.path(), 1, nobody()), &wasm).await,
            Err(Code::PluginCompileLimit),
            "{cut}"
        );
    }
    assert_eq!(loads(&start(folder.path(), 1, Compiler::InProcess), &wasm).await, Ok(()));
    assert_eq!(loads(&start(folder.path(), 1, nobody()), &wasm).await, Ok(()), "the good file is back");
}

#[tokio::test]
async fn another_key_or_another_plugins_file_is_no_seal() {
    let folder = tempfile::tempdir().unwrap();
    let (bombs, fair) = (guest("bombs"), guest("fair-share"));
    loads(&start(folder.path(), 1, Compiler::InProcess), &bombs).await.unwrap();
    assert_eq!(loads(&start(folder.path(), 2, nobody()), &bombs).await, Err(Code::PluginCompileLimit));
    std::fs::copy(file(folder.path(), &bombs), file(folder.path(), &fair)).unwrap();
    assert_eq!(loads(&start(folder.path(), 1, nobody()), &fair).await, Err(Code::PluginCompileLimit));
}

#[tokio::test]
async fn compiled_code_from_an_author_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guest("bombs");
    let host = start(folder.path(), 1, Compiler::InProcess);
    loads(&host, &wasm).await.unwrap();
    let compiled = &std::fs::read(file(folder.path(), &wasm)).unwrap()[32..];
    let report = host.check(compiled, &[], &TraitKinds::new()).await;
    let refusal = report.refusal().unwrap();
    assert_eq!(refusal.code, Some(Code::PluginNotAComponent));
    assert!(refusal.message.contains(".cwasm"), "{}", refusal.message);
}

/// The example stands for the server's hidden subcommand. `cargo test` builds it beside the tests.
#[tokio::test]
async fn a_child_compiles_what_this_process_can_run() {
    let exe = std::env::current_exe().unwrap();
    let program = exe.ancestors().nth(2).unwrap().join("examples/compile_rule");
    assert!(program.is_file(), "{} is missing; run cargo test -p handfast-rules", program.display());
    let folder = tempfile::tempdir().unwrap();
    let host = start(folder.path(), 1, Compiler::Child { program, args: vec![] });
    let report = host.check(&guest("bombs"), &[], &TraitKinds::new()).await;
    assert!(report.ok(), "{report:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_child_that_dies_is_a_refusal_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    for (script, code) in [
        ("kill -XCPU $$", Code::PluginCompileLimit),
        ("exit 1", Code::PluginCompileLimit),
        ("echo no such thing >&2; exit 3", Code::PluginMalformed),
        ("cat > /dev/null; echo this is not compiled code", Code::PluginMalformed),
    ] {
        let compiler = Compiler::Child { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        let report = start(folder.path(), 1, compiler).check(&guest("bombs"), &[], &TraitKinds::new()).await;
        let refusal = report.refusal().unwrap();
        assert_eq!((refusal.name, refusal.code), ("compile", Some(code)), "{script}: {}", refusal.message);
    }
}
