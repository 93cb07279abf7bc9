//! A loaded plugin: compiled code, the indices of its exports, and what it said of itself.

use handfast_domain::digest::Digest;
use handfast_domain::snapshot::OwnerState;
use handfast_domain::verdict::Status;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::columns::Reads;
use crate::contract::{self, Adapter, Column, Known};
use crate::guest::{Budget, Failure, Guard, Sandbox};
use crate::output;
use crate::report::Code;
use crate::rule::{Context, Descriptor, RuleKind, Settings};
use crate::schema;

/// Bytes of a sentence about a refused setting.
const REFUSAL: usize = 512;

/// One version of a plugin, shared by everything that calls it.
pub struct Plugin {
    /// sha-256 of the uploaded bytes.
    pub digest: Digest,
    pub kind: RuleKind,
    pub descriptor: Descriptor,
    pub(crate) reads: Reads,
    schema: jsonschema::Validator,
    entry: Entry,
}

/// A JSON Pointer into the settings, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    pub pointer: String,
    pub message: String,
}

impl std::fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.pointer.is_empty() { "/" } else { &self.pointer }, self.message)
    }
}

/// What it takes to call a component: by the adapter of the contract that it was built against.
struct Entry {
    pre: InstancePre<Guard>,
    version: &'static str,
    adapter: Box<dyn Adapter>,
}

impl Plugin {
    /// Finds the exports by their exact names, asks the component to describe itself, and compiles its settings schema.
    pub(crate) fn open(
        sandbox: Sandbox<'_>,
        digest: Digest,
        component: &Component,
    ) -> Result<Plugin, (&'static str, Code, String)> {
        let (kind, entry) = Entry::find(sandbox.engine, component)
            .map_err(|message| ("exports", Code::PluginWorldMismatch, message))?;
        let raw = entry.describe(sandbox).map_err(|(code, message)| ("describe", code, message))?;
        let descriptor = output::descriptor(raw).map_err(|(code, message)| {
            (if code == Code::PluginSchemaInvalid { "schema" } else { "describe" }, code, message)
        })?;
        let schema = validator(&descriptor.settings_schema)
            .map_err(|message| ("schema", Code::PluginSchemaInvalid, message))?;
        Ok(Plugin { digest, kind, reads: Reads::new(&descriptor.reads), descriptor, schema, entry })
    }

    /// The compiled code, so that who has the plugin need not compile it again.
    pub(crate) fn component(&self) -> Component {
        self.entry.pre.component().clone()
    }

    /// The JSON Schema first, since its words are the better ones; then the plugin's own checks.
    pub(crate) fn check_settings(
        &self,
        sandbox: Sandbox<'_>,
        settings: &Settings,
    ) -> Result<(), Vec<SettingsProblem>> {
        const SHOWN: usize = 20;
        let problems: Vec<SettingsProblem> = self
            .schema
            .iter_errors(settings.value())
            .take(SHOWN)
            .map(|error| SettingsProblem {
                pointer: error.instance_path().as_str().to_owned(),
                message: self.refused(&error, settings.value()),
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (result, _) = sandbox.call(&self.entry.pre, Budget::meta(sandbox.limits), |store, instance| {
            self.entry.adapter.check_settings(store, instance, settings.text())
        });
        match result {
            Ok(problems) if problems.is_empty() => Ok(()),
            Ok(problems) => Err(problems
                .into_iter()
                .take(SHOWN)
                .map(|problem| SettingsProblem {
                    pointer: output::tidy(&problem.pointer),
                    message: output::tidy(&problem.message),
                })
                .collect()),
            Err(failure) => {
                let message = format!("check-settings failed: {}", failure.message);
                Err(vec![SettingsProblem { pointer: String::new(), message }])
            }
        }
    }

    /// The validator's words, and what the schema expects in that place.
    fn refused(&self, error: &jsonschema::ValidationError<'_>, settings: &serde_json::Value) -> String {
        let schema = &self.descriptor.settings_schema;
        let instance = settings.pointer(error.instance_path().as_str()).unwrap_or(&serde_json::Value::Null);
        let words = error.to_string();
        match schema::expected(schema, error.schema_path().as_str(), instance) {
            Some(expected) => output::line(&format!("{words}; {expected}"), REFUSAL),
            None => output::tidy(&words),
        }
    }

    /// Raw verdicts of a batch, and the fuel that it took.
    pub(crate) fn evaluate(
        &self,
        sandbox: Sandbox<'_>,
        budget: Budget,
        settings: &Settings,
        context: Context,
        leads: usize,
        columns: &[Column<'_>],
    ) -> (Result<Vec<contract::Verdict>, Failure>, u64) {
        sandbox.call(&self.entry.pre, budget, |store, instance| {
            let adapter = &self.entry.adapter;
            adapter.evaluate(store, instance, settings.text(), raw(context), leads as u32, columns)
        })
    }

    pub(crate) fn assign(
        &self,
        sandbox: Sandbox<'_>,
        settings: &Settings,
        context: Context,
        columns: &[Column<'_>],
        owners: &[OwnerState],
    ) -> (Result<contract::Assignment, Failure>, u64) {
        let owners: Vec<contract::Owner> = owners.iter().map(owner).collect();
        let budget = Budget::batch(sandbox.limits, 1);
        sandbox.call(&self.entry.pre, budget, |store, instance| {
            let adapter = &self.entry.adapter;
            adapter.assign(store, instance, settings.text(), raw(context), columns, &owners)
        })
    }
}

impl Entry {
    fn find(engine: &Engine, component: &Component) -> Result<(RuleKind, Entry), String> {
        // Nothing is linked, ever: an import that slipped through fails here.
        let pre = Linker::new(engine).instantiate_pre(component).map_err(|error| format!("{error:#}"))?;
        let exports = component.component_type();
        let Known { contract, kind } = contract::recognise(exports.exports(engine).map(|(name, _)| name))?;
        let adapter = contract.adapter(component, kind)?;
        Ok((kind, Entry { pre, version: contract.version(), adapter }))
    }

    fn describe(&self, sandbox: Sandbox<'_>) -> Result<contract::Descriptor, (Code, String)> {
        let mut mismatch = None;
        let (result, _) = sandbox.call(&self.pre, Budget::meta(sandbox.limits), |store, instance| match self
            .adapter
            .check_shapes(store, instance)
        {
            Ok(()) => self.adapter.describe(store, instance).map(Some),
            Err(error) => {
                mismatch = Some(format!("{error:#}"));
                Ok(None)
            }
        });
        match result {
            Ok(Some(descriptor)) => Ok(descriptor),
            Ok(None) => {
                let message = mismatch.unwrap_or_default();
                let version = self.version;
                Err((
                    Code::PluginWorldMismatch,
                    format!(
                        "another shape than handfast:rules@{version}: {message}; build it against the rules.wit of that version, unchanged"
                    ),
                ))
            }
            Err(failure) => Err((Code::PluginTrapped, undescribed(&failure))),
        }
    }
}

/// Why `describe` gave nothing, and where an author looks for it.
fn undescribed(failure: &Failure) -> String {
    let mend = match failure.status {
        Status::OutOfFuel | Status::Timeout => {
            "it runs at the upload and must not work long: make tables when the component is built"
        }
        Status::Memory | Status::Stack => "it runs at the upload, within the limits of every call",
        Status::InvalidOutput => "what it handed over is not what the contract says: build it by the SDK",
        _ => {
            "it runs at the upload, without settings: look for a panic in Rust (`cargo test` shows its words), an exception in \
             JavaScript or Python, also at the top of a module"
        }
    };
    format!("describe failed: {}; {mend}", failure.message)
}

fn raw(context: Context) -> contract::Context {
    contract::Context { as_of: context.as_of.ms(), charter: context.charter, explain: context.explain }
}

fn owner(owner: &OwnerState) -> contract::Owner<'_> {
    contract::Owner {
        id: owner.id.to_string(),
        team: &owner.team,
        territories: &owner.territories,
        available: owner.available,
        open_leads: owner.open_leads,
        capacity: owner.capacity,
        weight: owner.weight,
        assigned: owner.assigned,
        last_assigned: owner.last_assigned,
    }
}

/// A schema may not fetch others, and its patterns run in linear time: it comes from an upload.
fn validator(value: &serde_json::Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(value)
        .map_err(|error| format!("not a valid JSON Schema 2020-12: {}", output::tidy(&error.to_string())))
}
