//! Erasing a person.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::lead::{Lead, lead_by, want};
use super::problem::{UserError, payload};
use super::scalar::Long;
use super::work::LeadTarget;
use super::{app, once, viewer};
use crate::flows::{erase, scope};

#[derive(Clone, Debug, InputObject)]
pub struct EraseLeadInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Whether the person is to be left in peace: keyed hashes of the addresses stay, so that they become no lead again. Whoever
    /// was ended for a permanent reason before is left in peace anyway.
    leave_alone: Option<bool>,
}

#[derive(SimpleObject)]
pub struct EraseLeadPayload {
    /// What is left of the lead: stages, reasons, amounts and times. Null when it was refused, or when your token may not read
    /// leads.
    lead: Option<Lead>,
    /// Uploaded files of imports that told of the person: they are deleted, what became of their rows stays.
    files_deleted: Long,
    /// Whether the database's log on disk is free of it, too. If not, that follows within minutes, or with a restart. On
    /// PostgreSQL the room of what was deleted is used again after a VACUUM; backups are the operator's.
    scrubbed: bool,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct EraseMutation;

#[Object]
impl EraseMutation {
    /// Forgets a person for good: contact data, names in other systems, traits, snapshots, packets, notes, evidence, questions and
    /// reasons of the lead, and of those that were merged into it. Stages, reasons, amounts and times stay, so that every number is
    /// as it was; the log never held personal data and still verifies. Decisions on the lead can be run again no more.
    async fn erase_lead(
        &self,
        ctx: &Context<'_>,
        input: EraseLeadInput,
    ) -> async_graphql::Result<EraseLeadPayload> {
        let EraseLeadInput { target, leave_alone } = input;
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let arguments = ctx.field().arguments().unwrap_or_default();
        let once = once(ctx, "eraseLead", target.idempotency_key.clone(), &arguments)?;
        let result = async {
            let target = target.find(app, viewer, scope::LEADS_ERASE, once).await?;
            let done = erase::erase(app, &target, leave_alone.unwrap_or(false)).await?;
            Ok((target.lead, done))
        };
        let (done, errors) = payload(result.await)?;
        let Some((lead, done)) = done else {
            return Ok(EraseLeadPayload { lead: None, files_deleted: Long(0), scrubbed: false, errors });
        };
        let lead = match viewer.may(scope::LEADS_READ) {
            true => lead_by(app, lead, &want(ctx.look_ahead().field("lead"))).await?,
            false => None,
        };
        Ok(EraseLeadPayload {
            lead,
            files_deleted: Long(i64::from(done.files)),
            scrubbed: done.scrubbed,
            errors,
        })
    }
}
