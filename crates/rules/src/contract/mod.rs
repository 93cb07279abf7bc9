//! The released versions of `handfast:rules`, and the way from each of them to the host's own shapes.
//!
//! A version is known by the exact names of what its guests export, never by what a semver match would let pass. Each has
//! an adapter, which converts to the latest shapes and is all that the host calls: so the host knows one contract, and a
//! guest of an old one goes on working. What a new version costs: a file `since_vX_Y_Z.rs` and a line in `released`; if it
//! changes a shape, the host's own types move there, and the file of the version before converts.

mod since_v1_0_0;
#[cfg(test)]
mod tests;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance};

use crate::guest::Guard;
use crate::rule::RuleKind;

pub use since_v1_0_0::{
    Assignment, Column, Context, Descriptor, IntegerLists, Outcome, Owner, Reason, SettingsProblem, Target,
    TextLists, Texts, Verdict,
};
#[cfg(test)]
use since_v1_0_0::{CodeInfo, Field, Kind};

/// Begin of the name of every interface of ours.
const PACKAGE: &str = "handfast:rules/";

/// A released version.
pub trait Contract: Sync {
    fn version(&self) -> &'static str;

    /// Finds the functions of a guest that was built against this version.
    fn adapter(&self, component: &Component, kind: RuleKind) -> Result<Box<dyn Adapter>, String>;
}

/// A guest as the host calls it, whatever version it was built against: the latest shapes go in and come out.
pub trait Adapter: Send + Sync {
    /// Whether the functions have the shapes of their version. Asked once, so that a mismatch is an upload's refusal and not
    /// a decision's failure.
    fn check_shapes(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<()>;

    fn describe(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<Descriptor>;

    fn check_settings(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>>;

    fn evaluate(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
        context: Context,
        leads: u32,
        columns: &[Column<'_>],
    ) -> wasmtime::Result<Vec<Verdict>>;

    fn assign(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
        context: Context,
        columns: &[Column<'_>],
        owners: &[Owner<'_>],
    ) -> wasmtime::Result<Assignment>;
}

/// Every version that guests may be built against, the latest first. Tests add versions that were never released, which
/// go the same way.
fn released() -> &'static [&'static dyn Contract] {
    &[
        #[cfg(test)]
        &tests::since_v2_0_0::V2_0_0,
        #[cfg(test)]
        &tests::since_v1_1_0::V1_1_0,
        &since_v1_0_0::V1_0_0,
    ]
}

/// A contract and a world, as the names of a component's exports say.
#[derive(Clone, Copy)]
pub struct Known {
    pub contract: &'static dyn Contract,
    pub kind: RuleKind,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {PACKAGE}@{}", self.kind.world(), self.contract.version())
    }
}

/// Which contract and world the exported names are of; or a sentence for the author.
pub fn recognise<'a>(exports: impl Iterator<Item = &'a str>) -> Result<Known, String> {
    let ours: Vec<&str> = exports.filter(|name| name.starts_with(PACKAGE)).collect();
    for contract in released().iter().copied() {
        let has = |interface: &str| ours.iter().any(|name| *name == named(interface, contract.version()));
        let kind = match (has("qualify"), has("route")) {
            (true, false) => RuleKind::Qualify,
            (false, true) => RuleKind::Route,
            _ => continue,
        };
        if has("meta") && has("types") {
            return Ok(Known { contract, kind });
        }
    }
    Err(unrecognised(&ours))
}

/// Why no known version fits.
fn unrecognised(ours: &[&str]) -> String {
    let known: Vec<&str> = released().iter().map(|contract| contract.version()).collect();
    let known = known.join(", ");
    let worlds = "the world qualifier (types, meta, qualify) or router (types, meta, route)";
    let mut versions: Vec<&str> = ours.iter().filter_map(|name| Some(name.split_once('@')?.1)).collect();
    versions.sort_unstable();
    versions.dedup();
    let found = ours.join(", ");
    match &versions[..] {
        [] => format!(
            "exports nothing of handfast:rules; a rule exports {worlds} of rules.wit, version {known}. Name the world to \
             your tool: export_qualifier! in Rust, --world-name qualifier for jco, -w qualifier for componentize-py"
        ),
        [version] if !known.split(", ").any(|known| known == *version) => format!(
            "was built against handfast:rules@{version}, and this host knows {known}: build it against the rules.wit of \
             this release, or bring the host up to date (it exports {found})"
        ),
        [version] => {
            let has = |interface: &str| ours.iter().any(|name| *name == named(interface, version));
            let missing: Vec<&str> = ["types", "meta"].into_iter().filter(|name| !has(name)).collect();
            match (has("qualify"), has("route"), &missing[..]) {
                (true, true, _) => {
                    "exports qualify and route; a rule is of one world, so make two components of it".into()
                }
                (false, false, _) => format!(
                    "exports {found} but neither qualify nor route of handfast:rules@{version}; a rule exports {worlds}"
                ),
                (.., missing) => format!(
                    "exports {found} but not {} of handfast:rules@{version}; a rule exports {worlds}, so build it for the \
                     whole world and not for single interfaces",
                    missing.join(" and ")
                ),
            }
        }
        _ => format!(
            "exports {found}: all must be of one version, and this host knows {known}; build it anew against one rules.wit"
        ),
    }
}

/// Full name of an interface of ours.
fn named(interface: &str, version: &str) -> String {
    format!("{PACKAGE}{interface}@{version}")
}

/// A function of an exported interface. The caller has compared the names, so that no semver match can choose another one.
fn function(
    component: &Component,
    interface: &str,
    version: &str,
    function: &str,
) -> Result<ComponentExportIndex, String> {
    let interface = named(interface, version);
    let parent = component.get_export_index(None, &interface);
    let found = parent.and_then(|parent| component.get_export_index(Some(&parent), function));
    found.ok_or_else(|| format!("{interface} has no function {function}"))
}
