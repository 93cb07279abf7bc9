//! Which columns say who somebody is. Every column of every table is classed here, once: an erasure is made of it, and a test
//! fails on a column that is not.

use handfast_domain::digest::Digest;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{execute, fetch_all};
use crate::tx::Tx;

/// A table and what an erasure does with its rows.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub name: &'static str,
    pub of: Of,
    /// Columns that say who it is, and what stands there afterwards.
    pub personal: &'static [(&'static str, Blank)],
    /// The others.
    pub plain: &'static str,
}

/// Which rows of a table are about a lead.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// None: it holds nothing about leads, or only what may stay.
    Nobody,
    /// Those for which the condition holds; `{leads}` is one of the leads. They stay, and count.
    Kept(&'static str),
    /// Those go altogether.
    Gone(&'static str),
}

/// What stands in the place of what was erased.
#[derive(Clone, Copy, Debug)]
pub enum Blank {
    Null,
    Empty,
    List,
    /// Some keys of an object.
    Keys(&'static str),
}

use Blank::{Empty, Keys, List, Null};
use Of::{Gone, Kept, Nobody};

const fn plain(name: &'static str, plain: &'static str) -> Table {
    Table { name, of: Nobody, personal: &[], plain }
}

/// In the order in which an erasure goes through them: what refers to a row goes before it.
pub const TABLES: &[Table] = &[
    // Of one person.
    Table {
        name: "waiver",
        of: Gone("precedent IN (SELECT id FROM precedent WHERE lead {leads})"),
        personal: &[],
        plain: "precedent version side body",
    },
    // A report may quote a title or an expectation; it can be made again.
    Table {
        name: "report_part",
        of: Gone("EXISTS (SELECT 1 FROM lead WHERE id {leads})"),
        personal: &[],
        plain: "run attempt number body",
    },
    Table {
        name: "report_run",
        of: Gone("EXISTS (SELECT 1 FROM lead WHERE id {leads})"),
        personal: &[],
        plain: "id asked status attempt rows_read read_until bytes message started_by started_at finished_at",
    },
    // What a rule may read of the person is all there is to a precedent.
    Table {
        name: "precedent",
        of: Gone("lead {leads}"),
        personal: &[],
        plain: "id slot grey_case lead as_of charter snapshot expected rationale created_at",
    },
    Table {
        name: "person",
        of: Kept("id IN (SELECT person FROM lead WHERE id {leads})"),
        personal: &[
            ("name", Null),
            ("email", Null),
            ("phone", Null),
            ("title", Null),
            ("seniority", Null),
            ("department", Null),
            ("country", Null),
            ("consent", Null),
        ],
        plain: "id created_at",
    },
    Table { name: "external_ref", of: Gone("lead {leads}"), personal: &[], plain: "system external_id lead" },
    Table {
        name: "lead",
        of: Kept("id {leads}"),
        // Without it the digests of the log say nothing of what they were made of.
        personal: &[("salt", Empty)],
        plain: "id version person account campaign source channel captured_at cycle outcome stage furthest_stage stage_version \
                entered_stage_at work_state owner queue priority persona fit engagement next_evaluation_at recycle_on suppressed \
                grey_slots nurture nurture_at customer renews_at follow_ups follow_up_at merged_into erased_at",
    },
    Table {
        name: "handoff",
        of: Kept("lead {leads}"),
        personal: &[("packet", Null)],
        plain: "id lead cycle status packet_digest completeness offered_at answered_at reason first_meeting \
                first_meeting_at",
    },
    Table {
        name: "activity",
        of: Kept("lead {leads}"),
        personal: &[("note", Null)],
        plain: "id lead cycle kind direction automated actor at meeting",
    },
    Table {
        name: "follow_up",
        of: Kept("lead {leads}"),
        personal: &[("note", Null)],
        plain: "id lead cycle kind due_at attempt planned_by planned_at outcome activity ended_at",
    },
    Table {
        name: "meeting_expectation",
        of: Kept("lead {leads}"),
        personal: &[("expectation", Null)],
        plain: "lead cycle purpose stated_by stated_at",
    },
    Table {
        name: "touchpoint",
        of: Kept("lead {leads}"),
        personal: &[("anonymous_id", Null), ("system", Null), ("external_id", Null)],
        plain: "id lead campaign channel source medium content occurred_at received_at",
    },
    Table {
        name: "trait",
        of: Gone("lead {leads}"),
        personal: &[],
        plain: "lead key value source observed_at origin evidence recorded_by",
    },
    Table {
        name: "trait_history",
        of: Gone("lead {leads}"),
        personal: &[],
        plain: "lead key value source observed_at origin evidence recorded_by",
    },
    Table {
        name: "answer",
        of: Kept("lead {leads}"),
        personal: &[("evidence", Null)],
        plain: "lead cycle key grade confidence given_by at",
    },
    Table { name: "snapshot", of: Gone("lead {leads}"), personal: &[], plain: "lead digest body" },
    Table {
        name: "decision",
        of: Kept("lead {leads}"),
        personal: &[("body", Keys(r#"{"text":null,"message":null}"#))],
        plain: "id evaluation lead slot deployment version status outcome at agrees fuel",
    },
    Table {
        name: "grey_case",
        of: Kept("lead {leads}"),
        personal: &[("text", Null), ("opinions", List), ("resolution", Keys(r#"{"rationale":""}"#))],
        plain: "id lead cycle slot decision trigger_kind opened_at",
    },
    Table {
        name: "decision_override",
        of: Kept("lead {leads}"),
        personal: &[("reason", Empty)],
        plain: "decision instead lead slot deployment version was outcome disposition user_id side at",
    },
    Table {
        name: "context_request",
        of: Kept("lead {leads}"),
        personal: &[("question", Empty), ("answer", Null)],
        plain: "id lead cycle handoff topic field asked_by asked_at answered_by answered_at",
    },
    Table {
        name: "feedback",
        of: Kept("lead {leads}"),
        personal: &[("text", Empty), ("answer", Null)],
        plain: "id from_side to_side user_id kind about_kind about_key lead posted_at status acknowledged_by acknowledged_at \
                closed_by closed_at clock clock_id clock_state due_at wake_at",
    },
    Table {
        name: "import_row",
        of: Kept("lead {leads}"),
        personal: &[("value", Null), ("message", Null)],
        plain: "id run row_number result lead column_name",
    },
    // About leads, and of nobody: ids, closed lists, digests, amounts, times.
    plain(
        "cycle",
        "lead number opened_at opened_by resumed_from closed_at outcome furthest_stage reason competitor conversations attempts",
    ),
    plain("clock", "id lead cycle kind party level state due_at met_at wake_at body"),
    plain("opportunity", "id lead cycle amount_minor currency expected_close opened_at"),
    plain(
        "stage_transition",
        "lead lead_version stage_version cycle from_stage to_stage skipped asserted at cause evaluation charter event",
    ),
    plain("engagement", "lead body"),
    plain("evaluation", "id lead cycle as_of charter snapshot cause gates"),
    plain("content_use", "id content lead user_id at"),
    plain("effort", "id lead cycle user_id minutes kind at recorded_at withdrawn_at"),
    // Names of fields, never what somebody wrote into them.
    plain("form_submission", "id form version lead at filled"),
    plain("backtest_flip", "run number lead at baseline candidate good"),
    // Keyed hashes, which are there so that an erased person stays in peace.
    plain("suppression", "identity reason at"),
    // Companies, campaigns, and the people who work here.
    // Who said it may be the person who is erased.
    Table {
        name: "account",
        of: Kept("id IN (SELECT account FROM lead WHERE id {leads})"),
        personal: &[("incumbent_source", Null)],
        plain: "id name domain industry employees annual_revenue country region incumbent incumbent_vendor incumbent_ends_at \
                incumbent_at created_at",
    },
    plain("campaign", "id key name kind channel cost_minor starts_at ends_at created_at reviewed audience"),
    plain("content", "id key body"),
    plain(
        "content_request",
        "id persona stage objection user_id requested_at status content reason closed_by closed_at",
    ),
    plain("form", "id key body"),
    plain("audience", "id key body"),
    plain("offer", "id key body"),
    plain("rating", "kind subject user_id side stars reasons at"),
    plain("shared_goal", "id key body"),
    plain("shared_project", "id key body"),
    plain("alignment_review", "id key body"),
    plain("pulse", "month user_id side knows_needs delivers other_knows_needs other_delivers at"),
    plain("feedback_tag", "tag feedback"),
    plain("feedback_effect", "id feedback kind subject user_id at"),
    plain("team", "id key body"),
    plain("app_user", "id key body"),
    plain("calendar", "id key body"),
    plain("queue", "id key body"),
    plain("pool", "id key body"),
    plain("territory", "id key body"),
    plain("nurture_track", "id key body"),
    plain("trait_definition", "id key body"),
    plain(
        "charter",
        "number digest status body signatures proposed_by proposed_at activated_at reviewed_at rejection",
    ),
    plain("charter_acknowledgement", "number user_id at"),
    plain("charter_clock", "id number party state due_at wake_at body"),
    plain("charter_review", "id number user_id side verdict comment at"),
    plain("api_token", "id user_id name hash scopes expires_at created_at revoked_at last_used_at"),
    // The log, and what reads it.
    plain(
        "event",
        "id stream_kind stream_id version ordinal kind schema_version payload occurred_at recorded_at",
    ),
    plain("feed", "position event_id event_sha chain"),
    plain("unnumbered", "seq event sha"),
    plain("feed_head", "id position chain"),
    plain("consumer", "id key description owner filter position created_at acked_at"),
    plain("dead_letter", "consumer event position reason rejected_at rejected_by resolved_at resolved_by"),
    plain("webhook", "id body created_at position failing_since last_success_at last_failure"),
    plain("webhook_delivery", "id webhook origin event position kind stream state created_at next_at tried"),
    // Rules.
    plain(
        "plugin_version",
        "digest name label team kind status descriptor checks cases case_count size uploaded_by uploaded_at",
    ),
    plain("plugin_signature", "version digest text key serial added_by added_at"),
    plain(
        "team_key",
        "id team name key_id public_key registered_by registered_at expires_at revoked_at revoked_by revoke_reason",
    ),
    plain("settings", "digest body"),
    plain(
        "deployment",
        "id slot version settings mode state started_by started_at ended_at end_reason rollback_of terms approvals evidence",
    ),
    plain("downgrade", "deployment slot version serial newest reason allowed_by allowed_at"),
    plain(
        "backtest_run",
        "id slot gate version settings baseline_version baseline_settings scope status done total report message started_by \
         started_at finished_at",
    ),
    plain(
        "reevaluation",
        "id cause waiting everything status after_lead looked total message started_by started_at finished_at",
    ),
    plain("pool_count", "pool owner assigned last_assigned"),
    plain("pool_revision", "pool revision"),
    // Files of imports are found by the rows of their runs; see `files_of`.
    plain(
        "import_run",
        "id digest name mapping dry_run status next_act total_acts counts message live_from started_by started_at finished_at",
    ),
    plain("blob", "sha256 kind size created_at"),
    plain("blob_chunk", "sha256 number body"),
    // How the workspace works. A stored answer names ids; a refusal in it says what was wrong with a value, for some days.
    plain("idempotency", "user_id field key digest answer created_at"),
    plain("meta", "key value"),
    plain("counter", "family subject metric value"),
    plain("lease", "name holder fence until"),
    plain("job", "id kind lane key run_at payload attempts locked_until fence"),
];

/// Takes away everything that says who these leads were.
pub async fn erase(tx: &Tx, leads: &[Uuid]) -> Result<()> {
    let list = tx.dialect().uuid_list("$1");
    let ids = dialect::uuids(leads);
    for Table { name, of, personal, plain: _ } in TABLES {
        let sql = match of {
            Nobody => continue,
            Gone(rows) => format!("DELETE FROM {name} WHERE {}", rows.replace("{leads}", &list)),
            Kept(rows) => {
                let blanks: Vec<String> =
                    personal.iter().map(|(column, blank)| blank.set(tx.dialect(), column)).collect();
                format!("UPDATE {name} SET {} WHERE {}", blanks.join(", "), rows.replace("{leads}", &list))
            }
        };
        execute(tx, &sql, vec![ids.clone()]).await?;
    }
    Ok(())
}

impl Blank {
    fn set(self, dialect: Dialect, column: &str) -> String {
        match (self, dialect) {
            (Null, _) => format!("{column} = NULL"),
            (Empty, _) => format!("{column} = ''"),
            (List, _) => format!("{column} = '[]'"),
            (Keys(patch), Dialect::Sqlite) => format!("{column} = json_patch({column}, '{patch}')"),
            (Keys(patch), Dialect::Postgres) => {
                format!("{column} = ({column}::jsonb || '{patch}'::jsonb)::text")
            }
        }
    }
}

/// Files of imports that told of these leads, and whether the import is still at work.
pub async fn files_of(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<(Digest, bool)>> {
    #[derive(FromQueryResult)]
    struct Row {
        digest: String,
        open: i64,
    }
    let sql = format!(
        "SELECT r.digest, count(*) - count(r.finished_at) AS open FROM import_run r \
         WHERE r.id IN (SELECT w.run FROM import_row w WHERE w.lead {}) GROUP BY r.digest ORDER BY r.digest",
        Dialect::of(db.get_database_backend()).uuid_list("$1")
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    let read = |row: Row| {
        let at = crate::decode::Place("import_run", "digest", &row.digest);
        Ok((crate::decode::digest(at, &row.digest)?, row.open > 0))
    };
    rows.into_iter().map(read).collect()
}
