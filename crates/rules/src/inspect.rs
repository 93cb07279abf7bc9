//! What can be said of an upload before anything is compiled: size, validity, imports, exports, declared resources.

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;

use crate::config::Limits;
use crate::contract;
use crate::report::{Check, Code};
use crate::rule::RuleKind;

/// Runs the checks in order, adds each result to `checks`, and answers the kind when all passed. Stops at the first
/// failure: what comes after it would be about something else.
pub fn inspect(bytes: &[u8], limits: &Limits, checks: &mut Vec<Check>) -> Option<RuleKind> {
    let mut passed = |name, result: Result<String, (Code, String)>| {
        checks.push(Check::of(name, result));
        checks.last().is_some_and(|check| check.ok)
    };
    if !passed("size", size(bytes, limits)) || !passed("valid", valid(bytes)) {
        return None;
    }
    if !passed("component", component(bytes)) {
        return None;
    }
    // Validation passed, so that reading cannot fail any more; if it does all the same, the upload is malformed.
    let seen = match Seen::read(bytes) {
        Ok(seen) => seen,
        Err(error) => {
            passed("valid", Err((Code::PluginMalformed, error.to_string())));
            return None;
        }
    };
    if !passed("imports", seen.imports(bytes)) {
        return None;
    }
    let (kind, exports) = seen.exports();
    (passed("exports", exports) && passed("resources", seen.resources(limits))).then_some(kind)?
}

/// What a component exports and imports by name, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    pub exports: Vec<String>,
    pub imports: Vec<String>,
    /// The world of the contract that it was built for, for example `handfast:rules/qualifier@1.0.0`.
    pub world: Option<String>,
}

impl Interfaces {
    /// Reads the bytes without compiling them; nothing where they are no component.
    pub fn read(bytes: &[u8]) -> Option<Interfaces> {
        let seen = Seen::read(bytes).ok().filter(|_| Parser::is_component(bytes))?;
        let known = contract::recognise(seen.exports.iter().map(String::as_str)).ok();
        let world =
            known.map(|known| format!("handfast:rules/{}@{}", known.kind.world(), known.contract.version()));
        Some(Interfaces { exports: seen.exports, imports: seen.imports, world })
    }
}

fn size(bytes: &[u8], limits: &Limits) -> Result<String, (Code, String)> {
    if bytes.len() <= limits.upload {
        return Ok(format!("{} bytes", bytes.len()));
    }
    let message = format!(
        "{} bytes, the limit is {}; build with opt-level \"s\", strip and lto",
        bytes.len(),
        limits.upload
    );
    Err((Code::PluginTooLarge, message))
}

fn valid(bytes: &[u8]) -> Result<String, (Code, String)> {
    if Engine::detect_precompiled(bytes).is_some() {
        let message =
            "this is compiled code (.cwasm), which is never accepted; upload the component it was made of";
        return Err((Code::PluginNotAComponent, message.into()));
    }
    if !bytes.starts_with(b"\0asm") {
        let message = if bytes.trim_ascii_start().starts_with(b"(") {
            "this is the text form of wasm; `wasm-tools parse` makes the binary form of it"
        } else {
            "the file does not begin like wasm; upload a component, target/<name>.wasm as `handfast plugin build` writes it"
        };
        return Err((Code::PluginNotAComponent, message.into()));
    }
    let features = WasmFeatures::WASM2
        .union(WasmFeatures::COMPONENT_MODEL)
        .union(WasmFeatures::EXTENDED_CONST)
        .union(WasmFeatures::MULTI_MEMORY)
        .union(WasmFeatures::TAIL_CALL);
    match Validator::new_with_features(features).validate_all(bytes) {
        Ok(_) => Ok("valid wasm".into()),
        Err(error) => {
            // What jco makes unless it is told otherwise.
            let mend = match error.message().contains("async") {
                true => {
                    "; a rule answers at once: jco componentize … --backend-qjs-disable-async, as `handfast plugin build` does"
                }
                false => "",
            };
            let message = format!("{} at byte {:#x}{mend}", error.message(), error.offset());
            Err((Code::PluginMalformed, message))
        }
    }
}

fn component(bytes: &[u8]) -> Result<String, (Code, String)> {
    if Parser::is_component(bytes) {
        return Ok("a component".into());
    }
    let message = if contains(bytes, b"wasi_snapshot_preview1") {
        "a core module that imports WASI, not a component; build for wasm32-unknown-unknown, not for wasm32-wasip1, and let \
         `handfast plugin build` make a component of it"
    } else {
        "a core module, not a component; `handfast plugin build` makes a component of a rule's folder (of a module alone: \
         `wasm-tools component new`)"
    };
    Err((Code::PluginNotAComponent, message.into()))
}

/// The flag that takes WASI away, for the tool that made the component where its traces tell, else for all of them.
fn without_wasi(bytes: &[u8]) -> String {
    const PYTHON: &str = "componentize-py … componentize --stub-wasi";
    const JAVASCRIPT: &str =
        "jco componentize --backend qjs --backend-qjs-stub-wasi --backend-qjs-disable-async";
    const RUST: &str = "cargo build --target wasm32-unknown-unknown, not wasm32-wasip1 or -wasip2";
    let made =
        |tool: &str, mend: &str| format!("It was made by {tool}: {mend}; `handfast plugin build` does it");
    if contains(bytes, b"componentize_py") {
        made("componentize-py", PYTHON)
    } else if ["componentize_qjs", "StarlingMonkey", "starlingmonkey"]
        .iter()
        .any(|mark| contains(bytes, mark.as_bytes()))
    {
        made("jco", JAVASCRIPT)
    } else if contains(bytes, b"wit-bindgen-rust") {
        made("Rust", RUST)
    } else {
        format!("Rust: {RUST}; JavaScript: {JAVASCRIPT}; Python: {PYTHON}; `handfast plugin build` does it")
    }
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// What was found in the file, nested modules and components included.
#[derive(Default)]
struct Seen {
    imports: Vec<String>,
    exports: Vec<String>,
    memories: Vec<u64>,
    tables: Vec<u64>,
    modules: usize,
}

impl Seen {
    fn read(bytes: &[u8]) -> wasmparser::Result<Seen> {
        let mut seen = Seen::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    seen.modules += usize::from(encoding == Encoding::Module);
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        seen.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        seen.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        seen.memories.push(memory?.initial);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        seen.tables.push(table?.ty.initial);
                    }
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    fn imports(&self, bytes: &[u8]) -> Result<String, (Code, String)> {
        /// As many as an author needs to see what they are about.
        const SHOWN: usize = 6;
        let Some(first) = self.imports.first() else {
            return Ok("imports nothing".into());
        };
        let mut named = self.imports.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if self.imports.len() > SHOWN {
            named += &format!(" and {} more", self.imports.len() - SHOWN);
        }
        let mend = if first.starts_with("wasi:") {
            without_wasi(bytes)
        } else if first.starts_with("handfast:rules/") {
            "The contract is exported, not imported: in the world they stand under `export`".to_owned()
        } else {
            "Take what it needs as a declared field or as settings".to_owned()
        };
        Err((Code::PluginImportForbidden, format!("imports {named}; a rule imports nothing. {mend}")))
    }

    fn exports(&self) -> (Option<RuleKind>, Result<String, (Code, String)>) {
        match contract::recognise(self.exports.iter().map(String::as_str)) {
            Ok(known) => {
                let version = known.contract.version();
                (
                    Some(known.kind),
                    Ok(format!("the world {} of handfast:rules@{version}", known.kind.world())),
                )
            }
            Err(message) => (None, Err((Code::PluginWorldMismatch, message))),
        }
    }

    fn resources(&self, limits: &Limits) -> Result<String, (Code, String)> {
        const PAGE: u64 = 64 << 10;
        let refuse = |what: &str, has: u64, limit: u64| {
            Err((Code::PluginTooLarge, format!("{what}: {has} declared, the limit is {limit}")))
        };
        let pages = limits.memory as u64 / PAGE;
        match (self.memories.iter().max(), self.tables.iter().max()) {
            _ if self.memories.len() > limits.memories => {
                refuse("memories", self.memories.len() as u64, limits.memories as u64)
            }
            _ if self.tables.len() > limits.tables => {
                refuse("tables", self.tables.len() as u64, limits.tables as u64)
            }
            _ if self.modules > limits.instances => {
                refuse("modules", self.modules as u64, limits.instances as u64)
            }
            (Some(memory), _) if *memory > pages => refuse("pages of memory at the start", *memory, pages),
            (_, Some(table)) if *table > limits.table_elements as u64 => {
                refuse("elements of a table", *table, limits.table_elements as u64)
            }
            _ => Ok(format!("{} memories, {} tables", self.memories.len(), self.tables.len())),
        }
    }
}
