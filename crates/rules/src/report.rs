//! The result of the upload checks, one line for each, in words for the author.

use handfast_domain::digest::Digest;

use crate::rule::{Descriptor, RuleKind};

/// Why a check failed, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    PluginTooLarge,
    PluginMalformed,
    PluginNotAComponent,
    PluginImportForbidden,
    PluginWorldMismatch,
    PluginCompileLimit,
    PluginTrapped,
    PluginBadOutput,
    PluginSchemaInvalid,
    FieldUnknown,
    SettingsInvalid,
    CaseInvalid,
    CaseFailed,
    NoCases,
    NotDeterministic,
    NotIndependent,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::PluginTooLarge => "PLUGIN_TOO_LARGE",
            Code::PluginMalformed => "PLUGIN_MALFORMED",
            Code::PluginNotAComponent => "PLUGIN_NOT_A_COMPONENT",
            Code::PluginImportForbidden => "PLUGIN_IMPORT_FORBIDDEN",
            Code::PluginWorldMismatch => "PLUGIN_WORLD_MISMATCH",
            Code::PluginCompileLimit => "PLUGIN_COMPILE_LIMIT",
            Code::PluginTrapped => "PLUGIN_TRAPPED",
            Code::PluginBadOutput => "PLUGIN_BAD_OUTPUT",
            Code::PluginSchemaInvalid => "PLUGIN_SCHEMA_INVALID",
            Code::FieldUnknown => "FIELD_UNKNOWN",
            Code::SettingsInvalid => "SETTINGS_INVALID",
            Code::CaseInvalid => "CASE_INVALID",
            Code::CaseFailed => "CASE_FAILED",
            Code::NoCases => "PLUGIN_NO_CASES",
            Code::NotDeterministic => "PLUGIN_NOT_DETERMINISTIC",
            Code::NotIndependent => "PLUGIN_NOT_INDEPENDENT",
        }
    }
}

/// One check of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// size, valid, component, imports, exports, resources, compile, describe, schema, reads, cases.
    pub name: &'static str,
    pub ok: bool,
    /// Set when the check failed; `PLUGIN_NO_CASES` stands beside `ok` as a warning.
    pub code: Option<Code>,
    pub message: String,
}

impl Check {
    pub(crate) fn of(name: &'static str, result: Result<String, (Code, String)>) -> Check {
        match result {
            Ok(message) => Check { name, ok: true, code: None, message },
            Err((code, message)) => Check { name, ok: false, code: Some(code), message },
        }
    }
}

/// Every check that ran. The first failure ends the list: the checks after it would be about something else.
#[derive(Clone, Debug)]
pub struct CheckReport {
    pub digest: Digest,
    pub kind: Option<RuleKind>,
    pub descriptor: Option<Descriptor>,
    pub checks: Vec<Check>,
}

impl CheckReport {
    pub fn ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    /// The check that refused the upload.
    pub fn refusal(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.ok)
    }
}
