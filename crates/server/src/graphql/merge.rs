//! Two leads that are one person.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::refused::Refused;

use super::lead::{Lead, LeadRef, lead_by, want};
use super::problem::{UserError, payload};
use super::{app, ask};
use crate::flows::lead::find;
use crate::flows::{Error, merge, scope};

#[derive(Clone, Debug, InputObject)]
pub struct MergeLeadsInput {
    /// One of the two.
    lead: LeadRef,
    /// The other one.
    duplicate: LeadRef,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct MergeLeadsPayload {
    /// The one that goes on, which is the older one; null when it was refused, or when your token may not read leads.
    lead: Option<Lead>,
    /// The one that ended; null as the lead is.
    duplicate: Option<Lead>,
    errors: Vec<UserError>,
}

/// The second lead is looked for as the first one is, and stands elsewhere in the input.
fn elsewhere(error: Error) -> Error {
    let Error::Refused(refused) = error else { return error };
    let path = || vec!["input".to_owned(), "duplicate".to_owned()];
    Error::Refused(refused.into_iter().map(|one| Refused { path: path(), ..one }).collect())
}

#[derive(Default)]
pub struct MergeMutation;

#[Object]
impl MergeMutation {
    /// Makes two leads one, for good. The older one goes on: names in other systems, touches, activities, traits and contact data
    /// join it, and whoever is captured or looked for by either address is that one. The other one's open cycle ends MERGED and
    /// its hand-off is cancelled. If sales had accepted the other one, the older lead stands where that one stood, with whoever
    /// had it; else the rules look at it again. What led to deals that the other one won stays with them.
    async fn merge_leads(
        &self,
        ctx: &Context<'_>,
        input: MergeLeadsInput,
    ) -> async_graphql::Result<MergeLeadsPayload> {
        let MergeLeadsInput { lead, duplicate, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "mergeLeads", idempotency_key, dry_run, &format!("{lead:?} {duplicate:?}"))?;
        let app = app(ctx)?;
        let result = async {
            ask.viewer.require(scope::LEADS_WRITE)?;
            let (one, other) = (find(app, &lead.key()?).await?, find(app, &duplicate.key()?).await);
            let other = other.map_err(elsewhere)?;
            merge::merge(app, &ask, one, other).await
        };
        let (merged, errors) = payload(result.await)?;
        let Some(merged) = merged.filter(|_| ask.viewer.may(scope::LEADS_READ)) else {
            return Ok(MergeLeadsPayload { lead: None, duplicate: None, errors });
        };
        let look = ctx.look_ahead();
        let lead = lead_by(app, merged.lead, &want(look.field("lead"))).await?;
        let duplicate = lead_by(app, merged.duplicate, &want(look.field("duplicate"))).await?;
        Ok(MergeLeadsPayload { lead, duplicate, errors })
    }
}
