//! A rule that can be called: a loaded plugin or a native function, with what it declares; and its settings.

use std::sync::Arc;

use handfast_domain::digest::Digest;
use handfast_domain::field::Kind;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Assignment, Verdict};
use serde::{Deserialize, Serialize};

use crate::columns::Reads;
use crate::plugin::Plugin;

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleKind {
    /// Whether a lead meets a gate.
    Qualify,
    /// Who gets it.
    Route,
}

impl RuleKind {
    /// Name of the contract's world.
    pub fn world(self) -> &'static str {
        match self {
            RuleKind::Qualify => "qualifier",
            RuleKind::Route => "router",
        }
    }
}

/// A reason code that a rule declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeInfo {
    pub code: String,
    pub label: String,
    pub description: String,
}

/// What a rule says of itself, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema 2020-12 of the settings.
    pub settings_schema: serde_json::Value,
    pub reason_codes: Vec<CodeInfo>,
    /// Path and kind of each field that the rule reads, in its order.
    pub reads: Vec<(String, Kind)>,
}

/// "Now", the charter in force, and whether the trace is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub as_of: Instant,
    pub charter: u32,
    pub explain: bool,
}

/// A settings document in canonical form, with the digest that is part of each decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    text: Arc<str>,
    value: Arc<serde_json::Value>,
    digest: Digest,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Settings, serde_json::Error> {
        serde_json::from_str::<serde_json::Value>(text).map(Settings::from)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl From<serde_json::Value> for Settings {
    fn from(value: serde_json::Value) -> Settings {
        let digest = Digest::of("settings", 1, &value);
        // What the guest reads is what the digest covers.
        let text = serde_json_canonicalizer::to_string(&value).unwrap_or_else(|_| value.to_string());
        Settings { text: text.into(), value: Arc::new(value), digest }
    }
}

/// What a slot calls.
#[derive(Clone)]
pub enum Rule {
    Wasm(Arc<Plugin>),
    Native(Arc<NativeRule>),
}

impl Rule {
    pub fn kind(&self) -> RuleKind {
        match self {
            Rule::Wasm(plugin) => plugin.kind,
            Rule::Native(native) => native.kind(),
        }
    }

    /// The version's identity: sha-256 of the wasm, or of a native rule's name and version.
    pub fn digest(&self) -> Digest {
        match self {
            Rule::Wasm(plugin) => plugin.digest,
            Rule::Native(native) => native.digest,
        }
    }

    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Rule::Wasm(plugin) => &plugin.descriptor,
            Rule::Native(native) => &native.descriptor,
        }
    }

    pub(crate) fn reads(&self) -> &Reads {
        match self {
            Rule::Wasm(plugin) => &plugin.reads,
            Rule::Native(native) => &native.reads,
        }
    }
}

impl From<Arc<Plugin>> for Rule {
    fn from(plugin: Arc<Plugin>) -> Rule {
        Rule::Wasm(plugin)
    }
}

type Qualify = dyn Fn(&serde_json::Value, &Context, &Snapshot) -> Verdict + Send + Sync;
type Route = dyn Fn(&serde_json::Value, &Context, &Snapshot) -> Assignment + Send + Sync;

enum NativeFn {
    Qualify(Box<Qualify>),
    Route(Box<Route>),
}

/// A Rust function in the place of wasm: the built-in rule of a slot without a deployment, and the rules of server tests.
///
/// It declares its reads like a plugin, and its input digest covers those alone; that it reads no more is up to its author.
pub struct NativeRule {
    digest: Digest,
    descriptor: Descriptor,
    reads: Reads,
    call: NativeFn,
}

impl NativeRule {
    pub fn qualifier(
        descriptor: Descriptor,
        judge: impl Fn(&serde_json::Value, &Context, &Snapshot) -> Verdict + Send + Sync + 'static,
    ) -> NativeRule {
        NativeRule::new(descriptor, NativeFn::Qualify(Box::new(judge)))
    }

    /// The pool is in the snapshot.
    pub fn router(
        descriptor: Descriptor,
        assign: impl Fn(&serde_json::Value, &Context, &Snapshot) -> Assignment + Send + Sync + 'static,
    ) -> NativeRule {
        NativeRule::new(descriptor, NativeFn::Route(Box::new(assign)))
    }

    fn new(descriptor: Descriptor, call: NativeFn) -> NativeRule {
        let digest = Digest::of("native-rule", 1, &(&descriptor.name, &descriptor.version));
        NativeRule { digest, reads: Reads::new(&descriptor.reads), descriptor, call }
    }

    fn kind(&self) -> RuleKind {
        match self.call {
            NativeFn::Qualify(_) => RuleKind::Qualify,
            NativeFn::Route(_) => RuleKind::Route,
        }
    }

    pub(crate) fn judge(&self, settings: &Settings, context: &Context, lead: &Snapshot) -> Option<Verdict> {
        match &self.call {
            NativeFn::Qualify(judge) => Some(judge(settings.value(), context, lead)),
            NativeFn::Route(_) => None,
        }
    }

    pub(crate) fn assign(
        &self,
        settings: &Settings,
        context: &Context,
        lead: &Snapshot,
    ) -> Option<Assignment> {
        match &self.call {
            NativeFn::Route(assign) => Some(assign(settings.value(), context, lead)),
            NativeFn::Qualify(_) => None,
        }
    }
}
