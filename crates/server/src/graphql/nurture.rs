//! Nurture: tracks, enrolments, and who comes back when.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::clock::{ClockKind, ClockState};
use handfast_domain::digest::Digest;
use handfast_domain::nurture::{self as domain, NurtureStep};
use handfast_domain::time::{DAY, Instant};
use handfast_store::ledger::ClockFilter;

use super::ledger::{LeadClock, clock_page};
use super::page::{Page, PageArgs};
use super::problem::{UserError, payload};
use super::scalar::global;
use super::work::{LeadPayload, LeadTarget, changed};
use super::{app, ask, read_viewer};
use crate::flows::nurture::{self, NewTrack};

/// A series of content for leads that are not ready. A disposition reason of the charter names it by its key, or a persona brings
/// leads to it that reach IQL. While sales works a lead, nothing of it is due.
#[derive(Clone, SimpleObject)]
pub struct NurtureTrack {
    pub id: ID,
    key: String,
    name: String,
    /// Keys of the personas whose leads are enrolled when they reach IQL.
    personas: Vec<String>,
    steps: Vec<NurtureStep>,
    /// Keys of the disposition reasons in the charter in force that lead to it.
    for_reasons: Vec<String>,
}

impl NurtureTrack {
    fn wrap(track: &domain::NurtureTrack, workspace: &crate::workspace::Workspace) -> NurtureTrack {
        let domain::NurtureTrack { id, key, name, personas, steps } = track.clone();
        let reasons = workspace.charter.body.reasons.iter();
        let for_reasons = reasons.filter(|one| one.track.as_ref() == Some(&key)).map(|one| one.key.clone());
        let for_reasons = for_reasons.collect();
        NurtureTrack { id: global("NurtureTrack", id), key, name, personas, steps, for_reasons }
    }
}

#[derive(Default)]
pub struct NurtureQuery;

/// Days that lie ahead, without `until`.
const AHEAD: i64 = 30;

#[Object]
impl NurtureQuery {
    /// Nurture tracks, by key.
    async fn nurture_tracks(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<NurtureTrack>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        Ok(workspace.directory.tracks.iter().map(|track| NurtureTrack::wrap(track, &workspace)).collect())
    }

    /// Recycled and lost leads that come back on a date, and customers that left and are to be won back then, the next one first: each
    /// with its clock REQUALIFY.
    async fn requalify_due(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those that come back up to then; within 30 days without.")] until: Option<Instant>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<LeadClock>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("requalify", until));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "due", digest)?;
        let filter = ClockFilter {
            state: Some(ClockState::Running),
            kind: Some(ClockKind::Requalify),
            party: None,
            due_until: Some(until.unwrap_or_else(|| app.now().plus(AHEAD * DAY))),
        };
        clock_page(ctx, &filter, window).await
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertNurtureTrackInput {
    /// A disposition reason of the charter names the track by it.
    key: String,
    name: String,
    /// Keys of personas whose leads are enrolled when they reach IQL.
    personas: Option<Vec<String>>,
    /// 1 to 50.
    steps: Vec<NurtureStep>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct NurtureTrackPayload {
    track: Option<NurtureTrack>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct EnrolInNurtureInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Key of a track.
    track: String,
}

#[derive(Default)]
pub struct NurtureMutation;

#[Object]
impl NurtureMutation {
    /// Makes a nurture track, or replaces the one with this key: leads that are enrolled go on with the steps as they are then.
    async fn upsert_nurture_track(
        &self,
        ctx: &Context<'_>,
        input: UpsertNurtureTrackInput,
    ) -> async_graphql::Result<NurtureTrackPayload> {
        let UpsertNurtureTrackInput { key, name, personas, steps, idempotency_key, dry_run } = input;
        let asked = (&key, &name, &personas, &steps);
        let ask = ask(ctx, "upsertNurtureTrack", idempotency_key, dry_run, &asked)?;
        let (app, new) = (app(ctx)?, NewTrack { key, name, personas: personas.unwrap_or_default(), steps });
        let (track, errors) = payload(nurture::upsert_track(app, &ask, new).await)?;
        let workspace = app.workspace();
        Ok(NurtureTrackPayload { track: track.map(|track| NurtureTrack::wrap(&track, &workspace)), errors })
    }

    /// Marketing enrols a lead that sales does not work, in place of what it was enrolled in. Events NURTURE_STEP_DUE say what to
    /// send and when; nothing is due to whoever withdrew consent or asked not to be contacted.
    async fn enrol_in_nurture(
        &self,
        ctx: &Context<'_>,
        input: EnrolInNurtureInput,
    ) -> async_graphql::Result<LeadPayload> {
        let track = input.track;
        changed(ctx, "enrolInNurture", input.target, async |app, target| {
            nurture::enrol(app, target, &track).await
        })
        .await
    }

    /// Takes a lead out of its nurture track.
    async fn leave_nurture(
        &self,
        ctx: &Context<'_>,
        input: LeadTarget,
    ) -> async_graphql::Result<LeadPayload> {
        changed(ctx, "leaveNurture", input, async |app, target| nurture::leave(app, target).await).await
    }
}
