//! What can be said of an upload before anything is compiled: size, validity, imports, exports, declared resources.

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;

use crate::config::Limits;
use crate::contract::{META, QUALIFY, ROUTE, TYPES};
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
    if !passed("imports", seen.imports()) {
        return None;
    }
    let (kind, exports) = seen.exports();
    (passed("exports", exports) && passed("resources", seen.resources(limits))).then_some(kind)?
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
        let message = "the file does not begin like wasm; upload a .wasm component, for example one that `cargo xtask plugins` wrote";
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
            let message = format!("{} at byte {:#x}", error.message(), error.offset());
            Err((Code::PluginMalformed, message))
        }
    }
}

fn component(bytes: &[u8]) -> Result<String, (Code, String)> {
    if Parser::is_component(bytes) {
        return Ok("a component".into());
    }
    let message = "a core module, not a component; wrap it with `wasm-tools component new`, as `cargo xtask plugins` does for the rules of this repository";
    Err((Code::PluginNotAComponent, message.into()))
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

    fn imports(&self) -> Result<String, (Code, String)> {
        let Some(first) = self.imports.first() else {
            return Ok("imports nothing".into());
        };
        let message = format!(
            "imports {}; a rule imports nothing. {}",
            self.imports.join(", "),
            if first.starts_with("wasi:") {
                "Rust: target wasm32-unknown-unknown; JavaScript: jco componentize --backend qjs \
                 --backend-qjs-stub-wasi --backend-qjs-disable-async; Python: componentize-py componentize --stub-wasi"
            } else {
                "Take what it needs as a declared field or as settings"
            }
        );
        Err((Code::PluginImportForbidden, message))
    }

    fn exports(&self) -> (Option<RuleKind>, Result<String, (Code, String)>) {
        let has = |name: &str| self.exports.iter().any(|export| export == name);
        let kind = match (has(QUALIFY), has(ROUTE)) {
            (true, false) => Some(RuleKind::Qualify),
            (false, true) => Some(RuleKind::Route),
            _ => None,
        };
        if let Some(kind) = kind
            && has(META)
            && has(TYPES)
        {
            return (Some(kind), Ok(format!("the world {}", kind.world())));
        }
        let ours: Vec<&str> = self
            .exports
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with("handfast:rules/"))
            .collect();
        let found = if ours.is_empty() { "nothing of handfast:rules".to_owned() } else { ours.join(", ") };
        let message = format!(
            "exports {found}; this host knows the worlds qualifier ({TYPES}, {META}, {QUALIFY}) and router ({TYPES}, {META}, \
             {ROUTE}); build against schema/wit of this release"
        );
        (None, Err((Code::PluginWorldMismatch, message)))
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
