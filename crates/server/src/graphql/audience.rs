//! Audiences: whom marketing addresses, and what that is based on.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::audience::{Audience as Kept, AudienceVersion as Version, Lift, WinBasis};
use handfast_domain::criterion::FieldTest;
use handfast_domain::digest::Digest;
use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;

use super::campaign::Campaign;
use super::directory::User;
use super::form::feedback_ids;
use super::inline::Inline;
use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::results::{self, CampaignResults};
use super::scalar::{Long, global, local};
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::Error;
use crate::flows::audience::{self, Definition};
use crate::flows::window::Window;

/// Campaigns that are listed.
const CAMPAIGNS: usize = 200;

/// Leads by tests on their fields. It is a segment of everybody who passes them, and never a list that somebody typed in.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Audience {
    pub id: ID,
    /// Unique in the workspace.
    key: String,
    name: String,
    #[graphql(skip)]
    kept: Arc<Kept>,
}

/// One version of an audience; it never changes.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct AudienceVersion {
    number: i32,
    /// All of them hold of a lead of the audience.
    tests: Vec<FieldTest>,
    /// Ids of the feedback that asked for it.
    based_on_feedback: Vec<ID>,
    /// The past wins that it was read from; null if somebody wrote the tests.
    based_on_wins: Option<AudienceWins>,
    /// Leads that it had when it was made, among the newest 20,000.
    size: Long,
    created_at: Instant,
    #[graphql(skip)]
    created_by: uuid::Uuid,
}

/// The past wins that an audience was read from.
#[derive(Clone, SimpleObject)]
pub struct AudienceWins {
    /// The window in which they were won.
    from: Instant,
    /// Its end, not included.
    to: Instant,
    /// Leads that were won.
    wins: Long,
    /// Leads that they were held against, the newest ones.
    leads: Long,
    /// Values that stand out among the wins, those of the strongest field first.
    traits: Vec<Lift>,
}

impl Audience {
    pub fn wrap(kept: Arc<Kept>) -> Audience {
        let (key, name) = (kept.key.clone(), kept.name.clone());
        Audience { id: global("Audience", kept.id), key, name, kept }
    }
}

impl From<&Version> for AudienceVersion {
    fn from(version: &Version) -> AudienceVersion {
        let Version { number, tests, based_on, size, created_by, created_at } = version.clone();
        let wins = |WinBasis { from, to, wins, others, traits }| AudienceWins {
            from,
            to,
            wins: Long(wins),
            leads: Long(others),
            traits,
        };
        AudienceVersion {
            number: super::small(number),
            tests,
            based_on_feedback: based_on.feedback.into_iter().map(|id| global("Feedback", id)).collect(),
            based_on_wins: based_on.wins.map(wins),
            size: Long(size),
            created_at,
            created_by,
        }
    }
}

#[ComplexObject]
impl AudienceVersion {
    /// Who made it.
    async fn created_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(workspace.directory.user(self.created_by).map(User::wrap))
    }
}

#[ComplexObject]
impl Audience {
    /// The version that counts.
    async fn current(&self) -> Option<AudienceVersion> {
        self.kept.current().map(AudienceVersion::from)
    }

    /// All versions, the newest first.
    async fn versions(&self) -> Vec<AudienceVersion> {
        self.kept.versions.iter().rev().map(AudienceVersion::from).collect()
    }

    /// Campaigns that were planned for it, the newest first, at most 200.
    async fn campaigns(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Campaign>> {
        let workspace = app(ctx)?.workspace();
        let own = workspace.campaigns.newest.iter().filter(|one| one.audience == Some(self.kept.id));
        Ok(own.take(CAMPAIGNS).cloned().map(Campaign::wrap).collect())
    }

    /// What all campaigns that were planned for it came to together.
    async fn results(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<CampaignResults>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        let own = workspace.campaigns.newest.iter().filter(|one| one.audience == Some(self.kept.id));
        results::together(ctx, &own.cloned().collect::<Vec<_>>()).await
    }

    /// Leads that belong to it now, the newest first: whom marketing may not address is left out, and so is everybody who asked not
    /// to be contacted. A page looks at 20,000 leads at most; where it ends before it is full, nobody else belongs to it among them.
    async fn leads(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<Lead>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let tests = self.kept.current().map(|version| version.tests.clone()).unwrap_or_default();
        let digest = Digest::of("filter", 1, &(self.kept.id, &tests));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "captured", digest)?;
        let limit = usize::try_from(window.limit).unwrap_or(0);
        let found = audience::members(app, &tests, window.from, limit).await.map_err(failure)?;
        let ids: Vec<uuid::Uuid> = found.iter().map(|(_, id)| *id).collect();
        let want = want(ctx.look_ahead().field("edges").field("node"));
        let mut leads = leads_by(app, &ids, &want).await?;
        let rows: Vec<((i64, uuid::Uuid), Lead)> =
            found.into_iter().filter_map(|place| Some((place, leads.remove(&place.1)?))).collect();
        Ok(window.page(app, rows, |(place, _)| *place, |(_, lead)| lead))
    }
}

/// The audiences of a lead, for its field.
pub async fn of_lead(app: &App, lead: uuid::Uuid) -> async_graphql::Result<Vec<Audience>> {
    let found = audience::segments(app, lead).await.map_err(failure)?;
    Ok(found.into_iter().map(Audience::wrap).collect())
}

#[derive(Default)]
pub struct AudienceQuery;

#[Object]
impl AudienceQuery {
    /// All audiences, by key. A workspace keeps up to 1000.
    async fn audiences(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Audience>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().audiences.iter().cloned().map(Audience::wrap).collect())
    }

    /// One audience by its key; null if there is none.
    async fn audience(&self, ctx: &Context<'_>, key: String) -> async_graphql::Result<Option<Audience>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        Ok(workspace.audiences.iter().find(|one| one.key == key).cloned().map(Audience::wrap))
    }
}

/// Past wins from which an audience is read: for up to three fields that describe a lead, the values that are at least a fifth
/// more frequent among the wins than among all leads and together cover half of the wins.
#[derive(Clone, Debug, InputObject)]
pub struct WonFilterInput {
    /// 365 days before `to` without.
    from: Option<Instant>,
    /// Now without; not included.
    to: Option<Instant>,
    /// Wins from which on a value counts, 1 to 1000.
    #[graphql(default = 3)]
    min_wins: i32,
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateAudienceInput {
    /// Unique in the workspace.
    key: String,
    name: String,
    /// 1 to 20 tests that all hold. Give these or `fromWins`.
    tests: Option<Vec<FieldTest>>,
    from_wins: Option<WonFilterInput>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ReviseAudienceInput {
    /// The one that gets another version.
    audience: ID,
    /// 1 to 20 tests that all hold. Give these or `fromWins`.
    tests: Option<Vec<FieldTest>>,
    from_wins: Option<WonFilterInput>,
    /// Feedback that asks for it, which has caused it from then on.
    based_on: Option<Vec<ID>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct AudiencePayload {
    /// The audience as it is now; null when it was refused.
    audience: Option<Audience>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct AudienceMutation;

#[Object]
impl AudienceMutation {
    /// Marketing says whom it addresses, by tests or by what past wins have more often than others.
    async fn create_audience(
        &self,
        ctx: &Context<'_>,
        input: CreateAudienceInput,
    ) -> async_graphql::Result<AudiencePayload> {
        let CreateAudienceInput { key, name, tests, from_wins, idempotency_key, dry_run } = input;
        let said = format!("{:?}", (&key, &name, &tests, &from_wins));
        let ask = ask(ctx, "createAudience", idempotency_key, dry_run, &said)?;
        let app = app(ctx)?;
        let definition = definition(app, tests, from_wins);
        let made = audience::create(app, &ask, (key, name), definition).await;
        answer(made)
    }

    /// Marketing addresses others from now on, for example because sales said whom it does not reach. The version before stays.
    async fn revise_audience(
        &self,
        ctx: &Context<'_>,
        input: ReviseAudienceInput,
    ) -> async_graphql::Result<AudiencePayload> {
        let ReviseAudienceInput { audience: id, tests, from_wins, based_on, idempotency_key, dry_run } =
            input;
        let said = format!("{:?}", (&id.0, &tests, &from_wins, &based_on));
        let ask = ask(ctx, "reviseAudience", idempotency_key, dry_run, &said)?;
        let app = app(ctx)?;
        let read = || {
            let id = local("Audience", &id, "input/audience")?;
            Ok::<_, Refused>((id, feedback_ids(based_on)?))
        };
        let made = match read() {
            Ok((id, based_on)) => {
                let definition = definition(app, tests, from_wins);
                audience::revise(app, &ask, id, definition, based_on).await
            }
            Err(refused) => Err(refused.into()),
        };
        answer(made)
    }
}

fn definition(
    app: &App,
    tests: Option<Vec<FieldTest>>,
    from_wins: Option<WonFilterInput>,
) -> Result<Definition, Refused> {
    match (tests, from_wins) {
        (Some(tests), None) => Ok(Definition::Tests(tests)),
        (None, Some(WonFilterInput { from, to, min_wins })) => {
            if !(1..=1_000).contains(&min_wins) {
                let message = format!("1 to 1000 wins, found {min_wins}");
                return Err(Refused::invalid("input/fromWins/minWins", message));
            }
            let to = to.unwrap_or_else(|| app.now().plus(1));
            let from = from.unwrap_or_else(|| to.plus(-365 * handfast_domain::time::DAY));
            let window =
                Window::new(app, Some(from), Some(to)).map_err(|refused| refused.at("input/fromWins"))?;
            Ok(Definition::Wins { window, support: i64::from(min_wins) })
        }
        _ => {
            Err(Refused::invalid("input/tests", "give tests or fromWins: one of them says whom it is about"))
        }
    }
}

fn answer(done: Result<Kept, Error>) -> async_graphql::Result<AudiencePayload> {
    let (kept, errors) = payload(done)?;
    Ok(AudiencePayload { audience: kept.map(Arc::new).map(Audience::wrap), errors })
}
