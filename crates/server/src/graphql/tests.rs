//! What reads cost: statements do not grow with the rows that they answer with.

use std::sync::Arc;

use async_graphql::Request;
use handfast_store::rows::counted;
use serde_json::{Value, json};

use super::{HandfastSchema, schema};
use crate::app::{App, RandomIds, SystemClock};
use crate::config::Config;
use crate::flows::{Viewer, scope, setup};

struct Workspace {
    schema: HandfastSchema,
    viewer: Viewer,
    _dir: tempfile::TempDir,
}

impl Workspace {
    /// With so many campaigns and leads, each lead with a company, touches, a trait and an evaluation.
    async fn with(rows: usize) -> Workspace {
        let dir = tempfile::Builder::new().prefix("graphql_").tempdir().expect("a directory");
        let set = |name: &str, value: &str| (format!("HANDFAST__{name}"), value.to_owned());
        let mut given = vec![
            set("SERVER__DATA_DIR", &dir.path().to_string_lossy()),
            set("SERVER__RULE_THREADS", "1"),
            set("WORKSPACE__TIME_ZONE", "UTC"),
        ];
        if let Ok(url) = std::env::var("HANDFAST_TEST_POSTGRES") {
            let schema = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            given.extend([set("DATABASE__URL", &url), set("DATABASE__SCHEMA", &schema.to_lowercase())]);
        }
        let config = Config::load(None, given.into_iter()).expect("a configuration");
        let app = App::open(&config, Arc::new(SystemClock), Arc::new(RandomIds::default())).await;
        let app = app.expect("a workspace");
        let user = app.workspace().directory.users.iter().find(|user| user.key == setup::ADMIN).cloned();
        let viewer = Viewer {
            user: user.expect("the admin").into(),
            token: None,
            scopes: scope::ALL.iter().map(|s| (*s).to_owned()).collect(),
        };
        let workspace = Workspace { schema: schema(app), viewer, _dir: dir };
        let trait_ = json!({"key": "seats", "kind": "INTEGER", "meaning": "Seats"});
        workspace.mutate("defineTrait", "DefineTraitInput", trait_).await;
        for number in 0..rows {
            let campaign =
                json!({"key": format!("c{number}"), "name": "C", "kind": "webinar", "channel": "WEBINAR"});
            workspace.mutate("createCampaign", "CreateCampaignInput", campaign).await;
        }
        let leads: Vec<Value> = (0..rows)
            .map(|number| {
                json!({
                    "email": format!("p{number}@company-{number}.example"), "campaign": format!("c{number}"),
                    "company": {"name": format!("Company {number}")}, "traits": [{"key": "seats", "value": "7"}],
                })
            })
            .collect();
        workspace.mutate("captureLeads", "CaptureLeadsInput", json!({"leads": leads})).await;
        workspace
    }

    async fn run(&self, document: &str, variables: Value) -> (Value, u64) {
        let request = Request::new(document)
            .variables(async_graphql::Variables::from_json(variables))
            .data(self.viewer.clone());
        let (answer, statements) = counted(self.schema.execute(request)).await;
        assert!(answer.errors.is_empty(), "{document}: {:?}", answer.errors);
        (serde_json::to_value(answer.data).expect("JSON"), statements)
    }

    async fn mutate(&self, field: &str, kind: &str, input: Value) {
        let document =
            format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ errors {{ message }} }} }}");
        let (answer, _) = self.run(&document, json!({"input": input})).await;
        assert_eq!(answer[field]["errors"], json!([]), "{field}");
    }
}

/// On threads like the server's: without optimisation, resolvers inside of one another take more than a test's own thread has.
fn as_served(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = crate::cli::runtime().expect("a runtime");
    runtime.block_on(runtime.spawn(test)).expect("it ends without a panic");
}

#[test]
fn statements_are_counted_by_levels_and_never_by_rows() {
    as_served(async {
        // The statements of each: a page with its parents one, children one each; users, queues, personas, campaigns and charter
        // come from memory.
        let reads = [
            (
                "{ leads(first: 50) { edges { node { stage fit owner { name } campaign { name } persona { name } } } } }",
                1,
            ),
            ("{ leads(first: 50) { edges { node { contact { email } account { name } } } } }", 1),
            (
                "{ leads(first: 50) { edges { node { contact { email } account { name } touchpoints(first: 5) { channel campaign { name } } } } } }",
                2,
            ),
            (
                "{ leads(first: 50) { edges { node { cycles { number } clocks { kind } traits { key } handoff { status } evaluations { decisions { slot } } } } } }",
                7,
            ),
            (
                "{ campaigns(first: 50) { edges { node { key results { leads mql won revenue { amountMinor } costPerMql { amountMinor } } } } } }",
                1,
            ),
            ("{ funnel { stages { open furthest entered } conversion { rateBasisPoints } } }", 1),
            (
                "{ ruleSlots { key live { version { name } settings } history { version { name } settings } } }",
                2,
            ),
            ("{ decisions(first: 50) { edges { node { outcome lead { contact { email } } } } } }", 2),
            ("{ events(first: 50) { events { kind lead { contact { email } } } } }", 2),
            // What is due comes first, by an index of its own; then the rest.
            ("{ workQueue(queue: \"fallback\") { edges { node { workReason contact { email } } } } }", 2),
            ("{ leads(first: 50) { edges { node { nextFollowUpAt followUps { status note } } } } }", 2),
            (
                "{ followUps(first: 50) { edges { node { followUp { status } lead { contact { email } } } } } }",
                1,
            ),
            ("{ campaigns(first: 50) { edges { node { results { effort { minutes poorMinutes } } } } } }", 1),
            ("{ charter { number body { title } } users { key } personas { key } }", 0),
            // Reports read pages of some hundreds: what happened, cycles, their stage changes, what they are counted by; and once more
            // to see that nothing is left.
            ("{ conversion(from: INQUIRY, to: MQL, by: SOURCE) { totals { key entered reached } } }", 5),
            ("{ velocity(by: TRAIT, trait: \"seats\") { stages { stage stays } } }", 6),
            ("{ funnelHealth { stages { stage volume } } }", 4),
            ("{ journeys { journeys { path leads } } }", 4),
            ("{ winLoss(by: [INDUSTRY]) { rows { won lost } } }", 1),
            ("{ followUp(groupBy: OWNER) { rows { key assigned } } }", 1),
            ("{ effortBy(by: [OUTCOME]) { rows { minutes } } }", 3),
            ("{ restatedFunnel(underCharter: 0) { looks stages { was restated } } }", 4),
            ("{ funnel(asOf: \"2001-01-01T00:00:00Z\") { won } }", 4),
            (
                "{ drill(figure: {conversion: {from: INQUIRY, to: MQL}}) { edges { node { lead { id } } } } }",
                5,
            ),
        ];
        let (few, many) = (Workspace::with(3).await, Workspace::with(40).await);
        // One more looks whether all that was committed is in the feed; on SQLite it is.
        let settles = u64::from(std::env::var_os("HANDFAST_TEST_POSTGRES").is_some());
        for (document, expected) in reads {
            let expected = expected + if document.starts_with("{ events") { settles } else { 0 };
            let (_, with_few) = few.run(document, json!({})).await;
            let (_, with_many) = many.run(document, json!({})).await;
            assert_eq!((with_few, with_many), (expected, expected), "{document}");
        }
        for workspace in [&few, &many] {
            let (page, _) = workspace.run("{ leads(first: 50) { edges { node { id } } } }", json!({})).await;
            let edges = page["leads"]["edges"].as_array().cloned().unwrap_or_default();
            let ids: Vec<Value> = edges.iter().map(|edge| edge["node"]["id"].clone()).collect();
            let document = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
            let (found, statements) = workspace.run(document, json!({"ids": ids})).await;
            assert_eq!((found["nodes"].as_array().map(Vec::len), statements), (Some(ids.len()), 1));
        }
    });
}

#[test]
fn numbers_are_read_again_only_after_a_change_and_are_then_the_new_ones() {
    as_served(async {
        let workspace = Workspace::with(3).await;
        let document = "{ funnel { stages { stage open } } campaigns(first: 50) { edges { node { results { leads } } } } }";
        // Positions that are given late are a change of their own.
        workspace.run("{ feedHead }", json!({})).await;
        let (before, first) = workspace.run(document, json!({})).await;
        let (again, second) = workspace.run(document, json!({})).await;
        assert_eq!((first, second), (2, 0));
        assert_eq!(before, again);
        let lead = json!({"lead": {"email": "one-more@example.test"}});
        workspace.mutate("captureLead", "CaptureLeadInput", lead).await;
        let (after, third) = workspace.run(document, json!({})).await;
        assert_eq!(third, 2);
        assert_ne!(before["funnel"], after["funnel"]);
    });
}
