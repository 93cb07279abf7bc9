//! Forms: what they ask, version by version, and which fields tell who buys.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::form::{Became, FormDefinition as Defined, FormField, FormVersion as Version};
use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;

use super::problem::{UserError, failure, payload};
use super::scalar::{Long, global, local};
use super::{app, ask, not_found, read_viewer};
use crate::flows::form::{self, Judged, NewForm};
use crate::flows::window::Window;

/// A form by which leads come in. A submission keeps the version that it was made by.
#[derive(Clone, SimpleObject)]
pub struct FormDefinition {
    pub id: ID,
    /// Captures name it by this.
    key: String,
    name: String,
    /// Number of the version that counts.
    version: i32,
    /// What it asks now.
    fields: Vec<FormField>,
    /// All versions, the newest first.
    versions: Vec<FormVersion>,
}

/// What a form asked from some day on.
#[derive(Clone, SimpleObject)]
pub struct FormVersion {
    number: i32,
    fields: Vec<FormField>,
    defined_at: Instant,
    /// Ids of the feedback that it was made of.
    based_on: Vec<ID>,
}

impl FormDefinition {
    fn wrap(form: &Defined) -> FormDefinition {
        let version = |version: &Version| FormVersion {
            number: super::small(version.number),
            fields: version.fields.clone(),
            defined_at: version.defined_at,
            based_on: version.based_on.iter().map(|id| global("Feedback", *id)).collect(),
        };
        FormDefinition {
            id: global("FormDefinition", form.id),
            key: form.key.clone(),
            name: form.name.clone(),
            version: super::small(form.current().map_or(0, |current| current.number)),
            fields: form.current().map(|current| current.fields.clone()).unwrap_or_default(),
            versions: form.versions.iter().rev().map(version).collect(),
        }
    }
}

/// What one field of a form is good for.
#[derive(Clone, SimpleObject)]
pub struct FieldUsefulness {
    field: FormField,
    /// Whether the version that counts asks it.
    current: bool,
    /// Share of those who were asked and filled it, in basis points; null if nobody was asked.
    fill_rate_basis_points: Option<i32>,
    /// Submissions that filled it.
    filled: FormOutcome,
    /// Submissions of versions that asked it and left it empty.
    empty: FormOutcome,
    /// Keys of the rule slots whose live rule reads it.
    read_by: Vec<String>,
    /// Whether a criterion or a persona of the charter in force reads it.
    read_by_charter: bool,
}

/// Submissions and what became of whoever made them.
#[derive(Clone, SimpleObject)]
pub struct FormOutcome {
    /// How many there are.
    submissions: Long,
    /// Submissions whose lead ever reached MQL.
    mql: Long,
    /// Submissions whose lead bought afterwards.
    won: Long,
    /// Share that reached MQL, in basis points; null without submissions.
    mql_rate_basis_points: Option<i32>,
    /// Share that bought, in basis points; null without submissions.
    won_rate_basis_points: Option<i32>,
}

impl From<Became> for FormOutcome {
    fn from(became: Became) -> FormOutcome {
        FormOutcome {
            submissions: Long(became.submissions),
            mql: Long(became.mql),
            won: Long(became.won),
            mql_rate_basis_points: became.mql_share(),
            won_rate_basis_points: became.won_share(),
        }
    }
}

impl From<Judged> for FieldUsefulness {
    fn from(judged: Judged) -> FieldUsefulness {
        let Judged { field, current, usefulness, read_by, in_charter } = judged;
        let asked = usefulness.filled.submissions + usefulness.empty.submissions;
        FieldUsefulness {
            field,
            current,
            fill_rate_basis_points: handfast_domain::share::basis_points(
                usefulness.filled.submissions,
                asked,
            ),
            filled: usefulness.filled.into(),
            empty: usefulness.empty.into(),
            read_by,
            read_by_charter: in_charter,
        }
    }
}

#[derive(Default)]
pub struct FormQuery;

#[Object]
impl FormQuery {
    /// All forms, by key. A workspace keeps up to 1000.
    async fn forms(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<FormDefinition>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().forms.iter().map(|form| FormDefinition::wrap(form)).collect())
    }

    /// What each field of a form is good for, over its submissions of a window: how often it is filled, what became of those who
    /// filled it beside those who did not, and who reads it. A field that nobody reads and that tells nothing can go.
    async fn field_usefulness(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of the form.")] form: String,
        #[graphql(desc = "30 days before `to` without.")] from: Option<Instant>,
        #[graphql(desc = "Now without; not included.")] to: Option<Instant>,
    ) -> async_graphql::Result<Vec<FieldUsefulness>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = Window::new(app, from, to).map_err(|refused| failure(refused.into()))?;
        let found = form::find(&app.workspace(), &form).ok_or_else(|| not_found("form"))?;
        let judged = form::judge(app, &found, window).await.map_err(failure)?;
        Ok(judged.into_iter().map(FieldUsefulness::from).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct DefineFormInput {
    /// Unique; captures name the form by it. A known one gets a new version.
    key: String,
    name: String,
    /// 1 to 50; one of them fills an e-mail or a phone.
    fields: Vec<FormField>,
    /// Feedback that it is made of, which has caused it from then on.
    based_on: Option<Vec<ID>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct FormPayload {
    /// The form as it is now; null when it was refused.
    form: Option<FormDefinition>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct FormMutation;

#[Object]
impl FormMutation {
    /// Marketing says what a form asks. Other fields than before are a new version; leads keep the version that they came by.
    async fn define_form(
        &self,
        ctx: &Context<'_>,
        input: DefineFormInput,
    ) -> async_graphql::Result<FormPayload> {
        let DefineFormInput { key, name, fields, based_on, idempotency_key, dry_run } = input;
        let said = (&key, &name, &fields, &based_on);
        let ask = ask(ctx, "defineForm", idempotency_key, dry_run, &said)?;
        let defined = match feedback_ids(based_on) {
            Ok(based_on) => form::define(app(ctx)?, &ask, NewForm { key, name, fields, based_on }).await,
            Err(refused) => Err(refused.into()),
        };
        let (form, errors) = payload(defined)?;
        Ok(FormPayload { form: form.map(Arc::new).map(|form| FormDefinition::wrap(&form)), errors })
    }
}

/// Feedback that something is based on.
pub fn feedback_ids(ids: Option<Vec<ID>>) -> Result<Vec<uuid::Uuid>, Refused> {
    ids.unwrap_or_default().iter().map(|id| local("Feedback", id, "input/basedOn")).collect()
}
