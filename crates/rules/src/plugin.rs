//! A loaded plugin: compiled code, the indices of its exports, and what it said of itself.

use handfast_domain::digest::Digest;
use handfast_domain::snapshot::OwnerState;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::columns::Reads;
use crate::contract::{self, Column};
use crate::guest::{Budget, Failure, Guard, Sandbox};
use crate::output;
use crate::report::Code;
use crate::rule::{Context, Descriptor, RuleKind, Settings};

type Evaluate<'a> = (&'a str, contract::Context, u32, &'a [Column<'a>]);
type Assign<'a> = (&'a str, contract::Context, &'a [Column<'a>], &'a [contract::Owner<'a>]);

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

/// What it takes to call a component.
struct Entry {
    pre: InstancePre<Guard>,
    describe: ComponentExportIndex,
    check_settings: ComponentExportIndex,
    decide: ComponentExportIndex,
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
        let raw = entry.describe(sandbox, kind).map_err(|(code, message)| ("describe", code, message))?;
        let descriptor = output::descriptor(raw).map_err(|(code, message)| {
            (if code == Code::PluginSchemaInvalid { "schema" } else { "describe" }, code, message)
        })?;
        let schema = schema(&descriptor.settings_schema)
            .map_err(|message| ("schema", Code::PluginSchemaInvalid, message))?;
        Ok(Plugin { digest, kind, reads: Reads::new(&descriptor.reads), descriptor, schema, entry })
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
                message: output::tidy(&error.to_string()),
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (result, _) = sandbox.call(&self.entry.pre, Budget::meta(sandbox.limits), |store, instance| {
            let check = instance.get_typed_func::<(&str,), (Vec<contract::SettingsProblem>,)>(
                &mut *store,
                &self.entry.check_settings,
            )?;
            check.call(store, (settings.text(),))
        });
        match result {
            Ok((problems,)) if problems.is_empty() => Ok(()),
            Ok((problems,)) => Err(problems
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
        let (result, fuel) = sandbox.call(&self.entry.pre, budget, |store, instance| {
            let evaluate = instance
                .get_typed_func::<Evaluate, (Vec<contract::Verdict>,)>(&mut *store, &self.entry.decide)?;
            evaluate.call(store, (settings.text(), raw(context), leads as u32, columns))
        });
        (result.map(|(verdicts,)| verdicts), fuel)
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
        let (result, fuel) = sandbox.call(&self.entry.pre, budget, |store, instance| {
            let assign = instance
                .get_typed_func::<Assign, (contract::Assignment,)>(&mut *store, &self.entry.decide)?;
            assign.call(store, (settings.text(), raw(context), columns, &owners))
        });
        (result.map(|(assignment,)| assignment), fuel)
    }
}

impl Entry {
    fn find(engine: &Engine, component: &Component) -> Result<(RuleKind, Entry), String> {
        // Nothing is linked, ever: an import that slipped through fails here.
        let pre = Linker::new(engine).instantiate_pre(component).map_err(|error| format!("{error:#}"))?;
        let find = |interface: &str, function: &str| {
            let parent = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&parent), function)
        };
        let missing = |interface: &str, function: &str| format!("{interface} has no function {function}");
        let (kind, decide) = match find(contract::QUALIFY, "evaluate") {
            Some(evaluate) => (RuleKind::Qualify, evaluate),
            None => match find(contract::ROUTE, "assign") {
                Some(assign) => (RuleKind::Route, assign),
                None => return Err(missing(contract::QUALIFY, "evaluate")),
            },
        };
        let describe = find(contract::META, "describe").ok_or_else(|| missing(contract::META, "describe"))?;
        let check_settings = find(contract::META, "check-settings")
            .ok_or_else(|| missing(contract::META, "check-settings"))?;
        Ok((kind, Entry { pre, describe, check_settings, decide }))
    }

    fn describe(&self, sandbox: Sandbox<'_>, kind: RuleKind) -> Result<contract::Descriptor, (Code, String)> {
        let mut mismatch = None;
        let (result, _) = sandbox.call(&self.pre, Budget::meta(sandbox.limits), |store, instance| {
            // The shapes are compared once here, so that a mismatch is an upload's refusal and not a decision's failure.
            let typed = match kind {
                RuleKind::Qualify => instance
                    .get_typed_func::<Evaluate, (Vec<contract::Verdict>,)>(&mut *store, &self.decide)
                    .map(drop),
                RuleKind::Route => instance
                    .get_typed_func::<Assign, (contract::Assignment,)>(&mut *store, &self.decide)
                    .map(drop),
            };
            let checked = typed.and_then(|()| {
                instance
                    .get_typed_func::<(&str,), (Vec<contract::SettingsProblem>,)>(
                        &mut *store,
                        &self.check_settings,
                    )
                    .map(drop)
            });
            let describe = checked.and_then(|()| {
                instance.get_typed_func::<(), (contract::Descriptor,)>(&mut *store, &self.describe)
            });
            match describe {
                Ok(describe) => describe.call(store, ()).map(Some),
                Err(error) => {
                    mismatch = Some(format!("{error:#}"));
                    Ok(None)
                }
            }
        });
        match result {
            Ok(Some((descriptor,))) => Ok(descriptor),
            Ok(None) => {
                let message = mismatch.unwrap_or_default();
                Err((
                    Code::PluginWorldMismatch,
                    format!("another shape than handfast:rules@1.0.0: {message}"),
                ))
            }
            Err(failure) => Err((Code::PluginTrapped, format!("describe failed: {}", failure.message))),
        }
    }
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
fn schema(value: &serde_json::Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(value)
        .map_err(|error| format!("not a valid JSON Schema 2020-12: {}", output::tidy(&error.to_string())))
}
