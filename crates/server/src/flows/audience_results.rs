//! What audiences came to: leads that belong to each, and leads that the campaigns planned for it brought.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::audience::Audience;
use handfast_domain::passage::Passage;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_store::passage::{Facets, Happened, cycles, facets, passages};
use uuid::Uuid;

use super::export::Table;
use super::lookback::Lookback;
use super::passage::PAGE;
use super::{Error, attribution, audience};

/// Leads and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    pub leads: i64,
    pub mql: i64,
    pub sal: i64,
    pub sql: i64,
    pub opportunities: i64,
    pub won: i64,
    pub revenue_minor: i64,
}

impl Came {
    /// A lead with all of its cycles, each of which counts where it came to a stage.
    fn add(&mut self, passages: &[Passage], amounts: &BTreeMap<(Uuid, u32), i64>) {
        self.leads += 1;
        for passage in passages {
            let entered = |stage| i64::from(passage.entered(stage).is_some());
            self.mql += entered(StageKind::Mql);
            self.sal += entered(StageKind::Sal);
            self.sql += entered(StageKind::Sql);
            self.opportunities += entered(StageKind::Opportunity);
            if passage.outcome == CycleOutcome::Won {
                self.won += 1;
                let amount = amounts.get(&(passage.lead, passage.cycle)).copied().unwrap_or(0);
                self.revenue_minor = self.revenue_minor.saturating_add(amount);
            }
        }
    }
}

/// What one audience came to.
#[derive(Clone, Debug)]
pub struct Row {
    /// None: nobody's.
    pub audience: Option<Uuid>,
    pub key: Option<String>,
    /// Leads that pass its tests, by what is known of them now.
    pub members: Came,
    /// Leads that its campaigns brought.
    pub brought: Came,
    /// What the campaigns that began in the window and were planned for it cost.
    pub cost_minor: i64,
}

/// All audiences by their keys, then what belongs to none: leads whose first cycle opened in the window. A lead may belong to
/// several audiences; a campaign was planned for one at most, so that costs and what campaigns brought add up.
pub async fn results(back: Lookback<'_>) -> Result<Vec<Row>, Error> {
    let Lookback { app, window, .. } = back;
    let workspace = app.workspace();
    let blank = |audience: Option<&Audience>| Row {
        audience: audience.map(|one| one.id),
        key: audience.map(|one| one.key.clone()),
        members: Came::default(),
        brought: Came::default(),
        cost_minor: 0,
    };
    let mut rows: Vec<Row> = workspace.audiences.iter().map(|one| blank(Some(one))).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.push(blank(None));
    let nobody = rows.len() - 1;
    let places: BTreeMap<Uuid, usize> =
        rows.iter().enumerate().filter_map(|(at, row)| Some((row.audience?, at))).collect();
    let place = |id: Option<Uuid>| id.and_then(|id| places.get(&id).copied()).unwrap_or(nobody);
    for campaign in attribution::began(&workspace, window) {
        let at = place(campaign.audience);
        rows[at].cost_minor = rows[at].cost_minor.saturating_add(campaign.cost_minor);
    }
    let (db, mut after, mut pages) = (app.store.reports(), None, back.pages("leads came"));
    loop {
        let spots = cycles(db, Happened::FirstOpened, (window.from, window.to), after, PAGE).await?;
        let Some(last) = spots.last() else { return Ok(rows) };
        after = Some(*last);
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let ids: Vec<Uuid> = leads.iter().copied().collect();
        let known = passages(db, &leads).await?;
        let facets: BTreeMap<Uuid, Facets> = facets(db, &leads).await?;
        let amounts = handfast_store::attribution::amounts(db, &leads).await?;
        // Without audiences there is nothing to test.
        let fields = if nobody > 0 { audience::fields(app, &ids).await? } else { BTreeMap::new() };
        for (lead, passages) in &known {
            let campaign = facets.get(lead).and_then(|one| one.campaign);
            let planned = campaign.and_then(|id| workspace.campaign(id)).and_then(|one| one.audience);
            let at = place(planned);
            rows[at].brought.add(passages, &amounts);
            let holds =
                |one: &&std::sync::Arc<Audience>| fields.get(lead).is_some_and(|fields| one.holds(fields));
            let mut of: Vec<usize> =
                workspace.audiences.iter().filter(holds).map(|one| place(Some(one.id))).collect();
            if of.is_empty() {
                of.push(nobody);
            }
            of.into_iter().for_each(|at| rows[at].members.add(passages, &amounts));
        }
        pages.turn(spots.len(), last.0).await?;
    }
}

/// A row for each audience and for each way of counting its leads.
pub fn table(rows: &[Row], currency: &str) -> Table {
    let columns = vec![
        "audience",
        "of",
        "leads",
        "mql",
        "sal",
        "sql",
        "opportunities",
        "won",
        "revenueMinor",
        "costMinor",
        "currency",
    ];
    let lines = rows.iter().flat_map(|row| {
        let line = |of: &str, came: &Came, cost: Option<i64>| {
            let Came { leads, mql, sal, sql, opportunities, won, revenue_minor } = came.clone();
            vec![
                row.key.clone().into(),
                of.into(),
                leads.into(),
                mql.into(),
                sal.into(),
                sql.into(),
                opportunities.into(),
                won.into(),
                revenue_minor.into(),
                cost.into(),
                currency.into(),
            ]
        };
        [line("MEMBERS", &row.members, None), line("CAMPAIGNS", &row.brought, Some(row.cost_minor))]
    });
    Table { columns, rows: lines.collect() }
}
