//! What a lead's company uses today, and until when.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use handfast_domain::time::Instant;
use handfast_store::person::Account;

use super::work::{LeadPayload, LeadTarget, changed};
use crate::flows::incumbent::{self, Learned};

/// What a company uses today. Rules read it as `company.incumbent`, `company.incumbent-vendor` and
/// `company.incumbent-contract-end`; the contract's end says when a lead comes back that was dropped for it.
#[derive(Clone, Debug, SimpleObject)]
pub struct Incumbent {
    /// Who sells it.
    vendor: Option<String>,
    /// What it is called.
    product: Option<String>,
    /// When the contract ends.
    contract_ends_at: Option<Instant>,
    /// Who says so: a lead source, `marketing`, `sales`, or what the caller named. Null for what was known before sources were kept.
    source: Option<String>,
    /// When it was said last.
    observed_at: Option<Instant>,
}

impl Incumbent {
    /// Null where nothing is known.
    pub fn of(account: &Account) -> Option<Incumbent> {
        let known = account.uses();
        (known != Default::default()).then(|| Incumbent {
            vendor: known.vendor,
            product: known.product,
            contract_ends_at: known.contract_ends_at,
            source: account.incumbent_source.clone(),
            observed_at: account.incumbent_at.map(Instant),
        })
    }
}

/// At least one of vendor, product and contract's end; what is left out stays, and null takes it away.
#[derive(Clone, Debug, InputObject)]
pub struct RecordIncumbentInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// 1 to 256 characters.
    vendor: MaybeUndefined<String>,
    /// 1 to 256 characters.
    product: MaybeUndefined<String>,
    contract_ends_at: MaybeUndefined<Instant>,
    /// Who says so, 1 to 256 characters; your side without.
    source: Option<String>,
}

/// What was given: nothing, null, or a value.
fn given<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

#[derive(Default)]
pub struct IncumbentMutation;

#[Object]
impl IncumbentMutation {
    /// Somebody of marketing or sales learned what the lead's company uses today. It counts for all leads of the company, and those
    /// that still wait for the rules are looked at again.
    async fn record_incumbent(
        &self,
        ctx: &Context<'_>,
        input: RecordIncumbentInput,
    ) -> async_graphql::Result<LeadPayload> {
        let RecordIncumbentInput { target, vendor, product, contract_ends_at, source } = input;
        let learned = Learned {
            vendor: given(vendor),
            product: given(product),
            contract_ends_at: given(contract_ends_at),
            source,
        };
        changed(ctx, "recordIncumbent", target, async |app, target| {
            incumbent::record(app, target, learned).await
        })
        .await
    }
}
