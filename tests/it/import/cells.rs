//! What stands in a cell: how it is read, and how a bad one is named.

use super::*;

/// A file with all sorts of columns, of which a case fills some and leaves the others as good as they come.
pub(super) const CELLS: [(&str, &str); 18] = [
    ("id", ""),
    ("at", "29.02.2024"),
    ("mail", ""),
    ("phone", ""),
    ("name", "Ada"),
    ("channel", "ads"),
    ("employer", "Example Ltd"),
    ("revenue", "$1,117.10K"),
    ("staff", "1,250"),
    ("consent", "yes"),
    ("seats", "5"),
    ("rep", ""),
    ("fair", ""),
    ("stage", ""),
    ("result", ""),
    ("closed", "01.04.2024"),
    ("value", ""),
    ("why", ""),
];

pub(super) fn cells_mapping() -> Value {
    json!({
        "system": "crm",
        "id": "id",
        "occurredAt": {"column": "at", "pattern": "%d.%m.%Y"},
        "lead": {
            "email": "mail",
            "phone": "phone",
            "name": "name",
            "channel": {"column": "channel", "values": {"ads": "PAID_SEARCH", "fair": "EVENT"}},
            "consent": "consent",
            "campaign": "fair",
            "company": {
                "name": "employer",
                "annualRevenue": {"column": "revenue", "missing": ["999"]},
                "employees": {"column": "staff", "missing": ["-1", "NA"]},
            },
        },
        "traits": [{"key": "seats", "kind": "integer", "from": "seats"}],
        "owner": "rep",
        "stage": "stage",
        "ending": {
            "outcome": {"column": "result", "values": {"gained": "WON", "gone": "LOST", "later": "RECYCLED"}},
            "at": {"column": "closed", "pattern": "%d.%m.%Y"},
            "amount": "value",
            "reason": "why",
        },
    })
}

/// A table of rows that differ from good ones in the given cells; ids and addresses are their numbers.
pub(super) fn cells(rows: &[Vec<(&str, &str)>]) -> String {
    let line = |cells: Vec<String>| cells.join(";") + "\n";
    let header = line(CELLS.iter().map(|(column, _)| (*column).to_owned()).collect());
    let rows = rows.iter().enumerate().map(|(n, given)| {
        let cell = |column: &str, good: &str| match (given.iter().find(|(name, _)| *name == column), column) {
            (Some((_, text)), _) => (*text).to_owned(),
            (None, "id") => n.to_string(),
            (None, "mail") => format!("c{n}@example.test"),
            _ => good.to_owned(),
        };
        line(CELLS.iter().map(|(column, good)| cell(column, good)).collect())
    });
    header + &rows.collect::<String>()
}

/// Each case is a row of one file, with a good row after each: the first cell of a case is at fault, and the
/// message names what helps. The good rows are in.
fn at_fault(cases: &[(Vec<(&str, &str)>, &str)]) {
    let server = Server::start();
    let rows: Vec<_> = cases.iter().flat_map(|(bad, _)| [bad.clone(), vec![]]).collect();
    let ended = import(&server.admin(), cells(&rows), &cells_mapping());
    let good = ended.rows.iter().filter(|row| long(&row["row"]) % 2 == 1);
    let not_in: Vec<_> = good.filter(|row| row["outcome"] != "CREATED").collect();
    assert!(not_in.is_empty(), "{not_in:?}");
    let mut wrong = vec![];
    for (place, (cells, message)) in (0..).zip(cases) {
        let (column, value) = (cells[0].0, cells[0].1.chars().take(80).collect::<String>());
        let named = ended.refused().into_iter().find(|row| long(&row["row"]) == 2 + 2 * place);
        let found = named.map(|row| (&row["column"], &row["value"], text(row, "message").contains(message)));
        if found != Some((&json!(column), &json!(value), true)) {
            wrong.push(format!("{cells:?} and {message:?}: {}", named.unwrap_or(&Value::Null)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bad_cell_is_named_with_its_row_column_value_and_what_helps() {
    let long = "x".repeat(257);
    at_fault(&[
        (vec![("at", "31.02.2024")], "%d.%m.%Y"),
        (vec![("at", "29.02.2023")], "`pattern` in the mapping"),
        (vec![("at", "2024-02-29")], "`pattern` in the mapping"),
        (vec![("at", "1/2/03")], "`pattern` in the mapping"),
        (vec![("at", "01.01.99999")], "%d.%m.%Y"),
        (vec![("at", "")], "the time is missing"),
        (vec![("mail", "no address")], "has an @"),
        (vec![("mail", "a@b")], "for example example.com"),
        (vec![("mail", &format!("{long}@example.test"))], "at most 254 characters"),
        (vec![("mail", "a b@example.test")], "not allowed"),
        (vec![("phone", "030 901820")], "+49 30 901820"),
        (vec![("name", &long)], "1 to 256 characters, found 257"),
        (vec![("channel", "tv")], "lists ads, fair; add this text or `otherwise`"),
        (vec![("revenue", "#VALUE!")], "for example 1250.50"),
        (vec![("revenue", "1e309")], "for example 1250.50"),
        (vec![("revenue", "NaN")], "for example 1250.50"),
        (vec![("revenue", "99999999999999999999")], "2^53"),
        (vec![("staff", "12.5")], "for example 1250"),
        (vec![("consent", "nein")], "yes or no"),
        (vec![("rep", "admn")], "no user \"admn\"; nearest: admin"),
        (vec![("fair", "spring")], "no campaign \"spring\"; create it first"),
        (vec![("stage", "qualified")], "INQUIRY, IQL, MQL, SAL, SQL, OPPORTUNITY, CUSTOMER"),
        (vec![("stage", "ADVOCATE")], "INQUIRY, IQL, MQL, SAL, SQL, OPPORTUNITY, CUSTOMER"),
        (vec![("result", "perhaps")], "lists gained, gone, later; add this text or `otherwise`"),
        (vec![("closed", ""), ("result", "gained")], "the time of the ending is missing"),
        (vec![("closed", "31.04.2024"), ("result", "gained")], "%d.%m.%Y"),
        (vec![("value", "#VALUE!"), ("result", "gained")], "for example 1250.50"),
    ]);
}

#[test]
fn a_refused_trait_or_time_is_shown_with_its_value() {
    at_fault(&[
        (vec![("seats", "five")], "integer"),
        (vec![("seats", "5.5")], "integer"),
        (vec![("at", "01.01.2199")], "a day ahead"),
    ]);
}

#[test]
fn a_number_in_the_other_notation_is_refused_and_the_mapping_s_key_for_it_named() {
    at_fault(&[
        (vec![("revenue", "1.234,56")], "`decimal`"),
        // Fifteen, if a comma were dropped wherever it stands.
        (vec![("revenue", "1,5")], "`decimal`"),
        (vec![("value", "10,50"), ("result", "gained")], "`decimal`"),
    ]);
}

#[test]
fn a_number_that_cannot_be_is_refused() {
    at_fault(&[(vec![("staff", "-5")], ""), (vec![("revenue", "-1")], "")]);
}

#[test]
fn a_time_that_cannot_be_is_refused() {
    at_fault(&[
        (vec![("at", "01.01.0000")], ""),
        (vec![("at", "01.01.0203")], ""),
        (vec![("at", "01.01.24")], ""),
        (vec![("closed", "01.01.2199"), ("result", "gained")], "ahead"),
    ]);
}

#[test]
fn an_ending_that_the_charter_refuses_names_the_cell_of_its_reason() {
    at_fault(&[
        (vec![("why", "NOPE"), ("result", "gone")], "NO_BUDGET, NO_TIMELINE"),
        (vec![("why", ""), ("result", "gone")], "reason"),
        (vec![("why", "NOT_READY"), ("result", "gone")], "instead, recycle it"),
    ]);
}

#[test]
fn cells_are_read_as_people_write_them() {
    let server = Server::start();
    let api = server.admin();
    let rows = [
        vec![("mail", " Ada@A.Example.TEST "), ("phone", "0049 (30) 901-820")],
        vec![("mail", "ada@b.example.test"), ("revenue", "999"), ("staff", "-1")],
        vec![("mail", "ada@c.example.test"), ("revenue", "2.5M"), ("staff", "10K")],
        vec![("mail", "ada@d.example.test"), ("revenue", "€ 1 250.5"), ("staff", "NA"), ("channel", "fair")],
        vec![
            ("mail", "plus+tag@bücher.example.test"),
            ("employer", ""),
            ("revenue", ""),
            ("staff", ""),
            ("seats", ""),
        ],
    ];
    let ended = import(&api, cells(&rows), &cells_mapping());
    assert_eq!(ended.counts(), json!({"rows": 5, "created": 5}), "{:?}", ended.refused());
    let accounts = [
        ("Example Ltd", Some("1250"), Some("111710000")),
        ("Example Ltd", None, None),
        ("Example Ltd", Some("10000"), Some("250000000")),
        ("Example Ltd", None, Some("125050")),
        ("bücher.example.test", None, None),
    ];
    for (id, (name, employees, revenue)) in accounts.into_iter().enumerate() {
        let account = &lead(&api, "crm", &id.to_string())["account"];
        assert_eq!(
            *account,
            json!({"name": name, "employees": employees, "annualRevenue": revenue}),
            "row {id}"
        );
    }
    let first = lead(&api, "crm", "0");
    let contact =
        json!({"email": "ada@a.example.test", "name": "Ada", "title": null, "phone": "+4930901820"});
    assert_eq!((&first["contact"], &first["channel"]), (&contact, &json!("PAID_SEARCH")));
    // The charter's zone is Berlin's.
    assert_eq!(first["capturedAt"], "2024-02-28T23:00:00.000Z");
    assert_eq!(
        first["traits"],
        json!([{"key": "seats", "value": "5", "observedAt": "2024-02-28T23:00:00.000Z"}])
    );
    let (fair, plus) = (lead(&api, "crm", "3"), lead(&api, "crm", "4"));
    assert_eq!((&fair["channel"], &plus["traits"]), (&json!("EVENT"), &json!([])));

    let decimal = |cell: &str| json!({"lead": {"company": {cell: {"decimal": ","}}}});
    let mapping = with(&with(&cells_mapping(), decimal("annualRevenue")), decimal("employees"));
    let row = vec![("id", "de"), ("mail", "ada@e.example.test"), ("revenue", "1.234,56"), ("staff", "1.250")];
    import(&api, cells(&[row]), &mapping);
    let account = &lead(&api, "crm", "de")["account"];
    assert_eq!(*account, json!({"name": "Example Ltd", "employees": "1250", "annualRevenue": "123456"}));
}

#[test]
fn a_file_without_times_takes_one_for_all_rows() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"occurredAt": {"column": null, "otherwise": AT}}));
    import(&api, "id,mail\n1,ada@example.test\n", &mapping);
    assert_eq!(lead(&api, "crm", "1")["capturedAt"], "2024-01-01T10:00:00.000Z");
    let mapping = with(&mapping, json!({"occurredAt": {"column": "at"}}));
    let ended = import(
        &api,
        format!(
            "id,at,mail\n2,,b@example.test\n3,2023-05-05T05:05:05Z,c@example.test\n4,{AT}?,d@example.test\n"
        ),
        &mapping,
    );
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "CREATED"), (4, "REFUSED")]);
    let came = ["2", "3"].map(|id| lead(&api, "crm", id)["capturedAt"].clone());
    assert_eq!(came, ["2024-01-01T10:00:00.000Z", "2023-05-05T05:05:05.000Z"]);
    for (more, path) in
        [(json!({"otherwise": "yesterday"}), "otherwise"), (json!({"otherwise": null, "column": null}), "")]
    {
        let payload = attempt(&api, "id,mail\n", &with(&mapping, json!({"occurredAt": more})), json!({}));
        let path: Vec<&str> =
            ["input", "mapping", "occurredAt", path].into_iter().filter(|part| !part.is_empty()).collect();
        assert_eq!(payload["errors"][0]["path"], json!(path), "{payload}");
    }
}

#[test]
fn campaigns_that_a_file_names_are_created_if_the_mapping_says_so() {
    let server = Server::start();
    let api = server.admin();
    let known = json!({"key": "known", "name": "Known", "kind": "webinar", "channel": "WEBINAR"});
    api.mutate("createCampaign", "CreateCampaignInput", known, "campaign { id }");
    let file = format!(
        "id,at,mail,fair,way\n1,{AT},a@example.test,known,EMAIL\n2,{AT},b@example.test,new,EMAIL\n\
                        3,{AT},c@example.test,new,DISPLAY\n4,{AT},d@example.test,,DISPLAY\n"
    );
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair", "channel": "way"}}));
    let ended = import(&api, &file, &mapping);
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "REFUSED"), (4, "REFUSED"), (5, "CREATED")]);
    let ended = import(&api, &file, &with(&mapping, json!({"createCampaigns": "landing-page"})));
    assert_eq!(ended.told(), [(2, "UNCHANGED"), (3, "CREATED"), (4, "CREATED"), (5, "UNCHANGED")]);
    let mut found = all(&api, "campaigns", "", "key kind channel results { leads }");
    found.sort_by_key(|campaign| campaign["key"].to_string());
    let campaign = |key, kind, channel, leads: &str| {
        let results = json!({"leads": leads});
        json!({"key": key, "kind": kind, "channel": channel, "results": results})
    };
    assert_eq!(
        found,
        [campaign("known", "webinar", "WEBINAR", "1"), campaign("new", "landing-page", "EMAIL", "2")]
    );
}

#[test]
fn a_campaign_that_cannot_be_created_for_its_key_says_what_a_key_is() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair"}, "createCampaigns": "fair"}));
    let ended = import(&api, format!("id,at,mail,fair\n1,{AT},a@example.test,Spring Fair\n"), &mapping);
    assert_eq!(ended.told(), [(2, "REFUSED")]);
    assert!(text(&ended.rows[0], "message").contains("a-z, 0-9, - and _"), "{}", ended.rows[0]);
}

// Stories.
