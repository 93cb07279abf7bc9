//! What differs between two charters.

use async_graphql::SimpleObject;
use handfast_domain::charter::diff::{Difference, diff};
use handfast_domain::refused::{RefusalCode, Refused};

use super::super::problem::failure;
use super::{Charter, read};
use crate::workspace::Workspace;

/// Two charters and what differs between them.
#[derive(SimpleObject)]
pub struct CharterDiff {
    /// The one that is compared with.
    from: Charter,
    /// The one that is read.
    to: Charter,
    /// By section, in the order of the text; empty exactly if both have the same digest.
    differences: Vec<Difference>,
}

pub(super) fn compare(workspace: &Workspace, from: i32, to: i32) -> async_graphql::Result<CharterDiff> {
    let find = |path: &str, number: i32| {
        let found = workspace.charters.iter().find(|charter| charter.number == read(number));
        found.ok_or_else(|| {
            let last = workspace.charters.last().map_or(0, |charter| charter.number);
            let message = format!("there is no charter {number}; they are numbered 0 to {last}");
            failure(Refused::new(RefusalCode::NotFound, message).at(path).into())
        })
    };
    let (before, after) = (find("from", from)?, find("to", to)?);
    let differences = diff(&before.body, &after.body);
    let wrap = |charter| Charter::wrap(workspace, charter);
    Ok(CharterDiff { from: wrap(before), to: wrap(after), differences })
}
