//! The charter: read by everyone, proposed, signed by both sides, put into force.

mod acknowledgement;
mod diff;
mod event;
pub mod review;

use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject};
use handfast_domain::charter::document::{CharterFormat, document};
use handfast_domain::charter::{Charter as Agreed, CharterBody, CharterStatus, GlossaryTerm, Responsibility};
use handfast_domain::charter::{Rejection, Signature, StageDefinition};
use handfast_domain::digest::Digest;
use handfast_domain::persona::Persona;
use handfast_domain::stage::{Side, StageKind};
use handfast_domain::time::Instant;

use self::acknowledgement::{
    AcknowledgeCharterInput, CharterAcknowledgement, CharterAcknowledgementsAwaited,
};
use self::diff::CharterDiff;
use self::review::{CharterReviewState, RecordCharterReviewInput};
use super::directory::User;
use super::problem::{UserError, payload};
use super::{app, ask, read_viewer};
use crate::flows::{charter, charter_review};
use crate::workspace::Workspace;

/// What marketing and sales agreed on: what the words mean, who promises what, where rules plug in. It counts only when
/// both sides signed the same digest.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Charter {
    /// 0 is the default that nobody signed; it serves until the first charter is activated.
    number: i32,
    /// Seal of the body: what a signature covers.
    digest: Digest,
    status: CharterStatus,
    /// Whether marketing and sales both signed it.
    signed: bool,
    /// Who signed, in order.
    signatures: Vec<CharterSignature>,
    /// Nobody proposed charter 0.
    proposed_by: Option<User>,
    proposed_at: Instant,
    /// When it last came into force.
    activated_at: Option<Instant>,
    /// Why a side said no.
    rejection: Option<CharterRejection>,
    #[graphql(skip)]
    agreed: Agreed,
}

#[ComplexObject]
impl Charter {
    /// Everything that the two sides sign.
    async fn body(&self) -> &CharterBody {
        &self.agreed.body
    }

    /// All of it in plain words, for everybody who works by it.
    async fn document(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "CharterFormat::Markdown")] format: CharterFormat,
    ) -> async_graphql::Result<String> {
        let workspace = app(ctx)?.workspace();
        let users = workspace.directory.users.iter();
        Ok(document(&self.agreed, &users.map(|user| (user.id, user.name.clone())).collect(), format))
    }

    /// When it is due for review: as many days as it says after it came into force, or after both sides went through it for the
    /// last time; earlier, where its service level CHARTER_REVIEW promises less. Null unless it is in force.
    async fn review_due_at(&self) -> Option<Instant> {
        self.agreed.review_due_at()
    }

    /// Who owes its review, and what was said of it.
    async fn review(&self, ctx: &Context<'_>) -> async_graphql::Result<CharterReviewState> {
        review::of(ctx, &self.agreed).await
    }

    /// Who said that they read it, the first first.
    async fn acknowledged_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CharterAcknowledgement>> {
        acknowledgement::given(ctx, &self.agreed).await
    }

    /// Who has not said yet that they read the charter in force, by team; of any other charter nobody is asked.
    async fn awaiting_acknowledgement(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<CharterAcknowledgementsAwaited>> {
        acknowledgement::awaited(ctx, &self.agreed).await
    }
}

/// One person's signature over one digest.
#[derive(Clone, SimpleObject)]
pub struct CharterSignature {
    /// Who signed; null for somebody who is no longer known.
    user: Option<User>,
    side: Side,
    digest: Digest,
    at: Instant,
    comment: Option<String>,
}

/// A side's no.
#[derive(Clone, SimpleObject)]
pub struct CharterRejection {
    user: Option<User>,
    side: Side,
    at: Instant,
    /// What has to change.
    reason: String,
}

impl Charter {
    pub fn wrap(workspace: &Workspace, charter: &Agreed) -> Charter {
        let user = |id| workspace.directory.user(id).map(User::wrap);
        let Agreed {
            number,
            digest,
            status,
            body: _,
            signatures,
            proposed_by,
            proposed_at,
            activated_at,
            reviewed_at: _,
            rejection,
        } = charter.clone();
        let signature = |Signature { user: id, side, digest, at, comment }| CharterSignature {
            user: user(id),
            side,
            digest,
            at,
            comment,
        };
        let no =
            |Rejection { user: id, side, at, reason }| CharterRejection { user: user(id), side, at, reason };
        Charter {
            number: super::small(number),
            digest,
            status,
            signed: charter.has_both_sides(),
            signatures: signatures.into_iter().map(signature).collect(),
            proposed_by: proposed_by.and_then(user),
            proposed_at,
            activated_at,
            rejection: rejection.map(no),
            agreed: charter.clone(),
        }
    }
}

pub use event::CharterSubscription;

#[derive(Default)]
pub struct CharterQuery;

#[Object]
impl CharterQuery {
    /// The charter in force, or the one of a number; null if there is none.
    async fn charter(
        &self,
        ctx: &Context<'_>,
        number: Option<i32>,
    ) -> async_graphql::Result<Option<Charter>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        let wanted = number.map_or(Some(workspace.charter.number), |number| u32::try_from(number).ok());
        let found = workspace.charters.iter().find(|charter| Some(charter.number) == wanted);
        Ok(found.map(|charter| Charter::wrap(&workspace, charter)))
    }

    /// What changes from one charter to another, in the words of both: read it before you sign.
    async fn charter_diff(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of the charter that is compared with, for example the one in force.")] from: i32,
        #[graphql(desc = "Number of the charter that is read, for example the proposed one.")] to: i32,
    ) -> async_graphql::Result<CharterDiff> {
        read_viewer(ctx)?;
        diff::compare(&app(ctx)?.workspace(), from, to)
    }

    /// All charters, the newest first.
    async fn charters(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Charter>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        Ok(workspace.charters.iter().rev().map(|charter| Charter::wrap(&workspace, charter)).collect())
    }

    /// What a stage means by the charter in force.
    async fn stage_definition(
        &self,
        ctx: &Context<'_>,
        kind: StageKind,
    ) -> async_graphql::Result<Option<StageDefinition>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().charter.body.stage(kind).cloned())
    }

    /// The words of the charter in force that the two sides use differently.
    async fn glossary(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<GlossaryTerm>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().charter.body.glossary.clone())
    }

    /// Who does what, by the charter in force.
    async fn responsibilities(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Responsibility>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().charter.body.responsibilities.clone())
    }

    /// The typical buyers of the charter in force.
    async fn personas(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Persona>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().charter.body.personas.clone())
    }

    /// One typical buyer by its key.
    async fn persona(&self, ctx: &Context<'_>, key: String) -> async_graphql::Result<Option<Persona>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().charter.body.personas.iter().find(|persona| persona.key == key).cloned())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct ProposeCharterInput {
    body: CharterBody,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Check, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct SignCharterInput {
    number: i32,
    /// The digest of the text that you read; another one is refused.
    digest: Digest,
    comment: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RejectCharterInput {
    number: i32,
    /// What has to change.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ActivateCharterInput {
    number: i32,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct CharterPayload {
    /// The charter as it is now; null when it was refused.
    charter: Option<Charter>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct CharterMutation;

#[Object]
impl CharterMutation {
    /// Opens a text for signatures; it never changes afterwards. Read the charter in force, edit its body, send it here.
    async fn propose_charter(
        &self,
        ctx: &Context<'_>,
        input: ProposeCharterInput,
    ) -> async_graphql::Result<CharterPayload> {
        let ask = ask(ctx, "proposeCharter", input.idempotency_key, input.dry_run, &input.body)?;
        answer(ctx, charter::propose(app(ctx)?, &ask, input.body).await)
    }

    /// Signs for your side. With a signature of each side over the same digest the charter can be activated.
    async fn sign_charter(
        &self,
        ctx: &Context<'_>,
        input: SignCharterInput,
    ) -> async_graphql::Result<CharterPayload> {
        let SignCharterInput { number, digest, comment, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "signCharter", idempotency_key, dry_run, &(number, digest, &comment))?;
        answer(ctx, charter::sign(app(ctx)?, &ask, read(number), digest, comment).await)
    }

    /// Says no for your side, with what has to change. Either side can, until the charter is in force.
    async fn reject_charter(
        &self,
        ctx: &Context<'_>,
        input: RejectCharterInput,
    ) -> async_graphql::Result<CharterPayload> {
        let RejectCharterInput { number, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "rejectCharter", idempotency_key, dry_run, &(number, &reason))?;
        answer(ctx, charter::reject(app(ctx)?, &ask, read(number), reason).await)
    }

    /// Puts a charter into force that both sides signed, or goes back to an earlier one. Clocks that run keep the policy
    /// that they started with.
    async fn activate_charter(
        &self,
        ctx: &Context<'_>,
        input: ActivateCharterInput,
    ) -> async_graphql::Result<CharterPayload> {
        let ActivateCharterInput { number, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "activateCharter", idempotency_key, dry_run, &number)?;
        answer(ctx, charter::activate(app(ctx)?, &ask, read(number)).await)
    }

    /// Says for your side, after going through the charter in force, whether it stays. That keeps your side's promise CHARTER_REVIEW;
    /// with the last side's word the next round begins.
    async fn record_charter_review(
        &self,
        ctx: &Context<'_>,
        input: RecordCharterReviewInput,
    ) -> async_graphql::Result<CharterPayload> {
        let RecordCharterReviewInput { number, verdict, comment, idempotency_key, dry_run } = input;
        let said = (number, verdict, &comment);
        let ask = ask(ctx, "recordCharterReview", idempotency_key, dry_run, &said)?;
        let word = charter_review::Word { number: read(number), verdict, comment };
        answer(ctx, charter_review::record(app(ctx)?, &ask, word).await)
    }

    /// Says that you read the charter in force. Everybody who works by it may; a new charter asks anew, and saying it twice
    /// changes nothing.
    async fn acknowledge_charter(
        &self,
        ctx: &Context<'_>,
        input: AcknowledgeCharterInput,
    ) -> async_graphql::Result<CharterPayload> {
        let AcknowledgeCharterInput { number, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "acknowledgeCharter", idempotency_key, dry_run, &number)?;
        answer(ctx, charter::acknowledge(app(ctx)?, &ask, read(number)).await)
    }
}

/// A number that cannot be a charter's is one that does not exist.
fn read(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn answer(
    ctx: &Context<'_>,
    result: Result<Agreed, crate::flows::Error>,
) -> async_graphql::Result<CharterPayload> {
    let (charter, errors) = payload(result)?;
    let workspace = app(ctx)?.workspace();
    Ok(CharterPayload { charter: charter.map(|charter| Charter::wrap(&workspace, &charter)), errors })
}
