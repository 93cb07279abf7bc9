//! What a file may look like, and what is said of rows and mappings that cannot be read.

use super::*;

#[test]
fn every_common_way_to_write_a_table_brings_the_same_leads() {
    let server = Server::start();
    let api = server.admin();
    let names = ["Lovelace, Ada", "Ada \"the first\" King; | Byron", "=cmd|' /C calc'!A0"];
    let csv = |separator: &str, end: &str| {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let note = quoted(&format!("two{end}lines, \"and\" more;\t|"));
        let rows =
            names.iter().enumerate().map(|(n, name)| [n.to_string(), AT.into(), note.clone(), quoted(name)]);
        let header = ["id", "at", "note", "name"].map(str::to_owned);
        std::iter::once(header).chain(rows).map(|row| row.join(separator) + end).collect::<String>()
    };
    let ndjson = |end: &str| {
        let row =
            |(n, name)| json!({"id": n, "at": AT, "note": ["two", "\nlines"], "name": name}).to_string();
        names.iter().enumerate().map(row).collect::<Vec<_>>().join(end)
    };
    let cases = [
        ("comma", csv(",", "\n"), Value::Null),
        ("bom", format!("\u{feff}{}", csv(";", "\n")), Value::Null),
        ("semicolon", csv(";", "\r\n"), Value::Null),
        ("tab", csv("\t", "\n"), Value::Null),
        ("bar", csv("|", "\n"), Value::Null),
        ("given", csv("~", "\n"), json!("~")),
        ("cr", csv(",", "\r"), Value::Null),
        ("no-end", csv(",", "\n").trim_end().to_owned(), Value::Null),
        ("blanks", csv(",", "\n").replace("\"\n", "\"\n\n\n"), Value::Null),
        ("ndjson", ndjson("\n"), Value::Null),
        ("ndjson-bom", format!("\u{feff}\r\n{}\r\n", ndjson("\r\n\r\n")), Value::Null),
    ];
    for (system, file, delimiter) in cases {
        let mapping = json!({
            "system": system, "id": "id", "occurredAt": {"column": "at"}, "lead": {"name": "name"},
            "delimiter": delimiter,
        });
        let ended = import(&api, &file, &mapping);
        assert_eq!(ended.counts(), json!({"rows": 3, "created": 3}), "{system}: {:?}", ended.refused());
        for (id, name) in names.iter().enumerate() {
            assert_eq!(lead(&api, system, &id.to_string())["contact"]["name"], *name, "{system}");
        }
    }
}

#[test]
fn a_row_has_the_number_of_the_line_that_an_editor_shows() {
    let server = Server::start();
    let api = server.admin();
    let cases = [
        ("LF", "id,at,mail\n1,A,@1\n2,never,@2\n3,A,@3\n", [2, 3, 4]),
        ("break in quotes", "id,at,mail,note\n1,A,@1,\"a\nb\nc\"\n2,never,@2,\n3,A,@3,\n", [2, 5, 6]),
        (
            "NDJSON",
            "{\"id\":1,\"at\":\"A\",\"mail\":\"@1\"}\n\n{\"id\":2,\"at\":\"never\",\"mail\":\"@2\"}\r\n\
             {\"id\":3,\"at\":\"A\",\"mail\":\"@3\"}",
            [1, 3, 4],
        ),
        ("LF and blank lines", "id,at,mail\n\n\n1,A,@1\n\n2,never,@2\n3,A,@3\n", [4, 6, 7]),
        ("CRLF", "id,at,mail\r\n1,A,@1\r\n2,never,@2\r\n3,A,@3\r\n", [2, 3, 4]),
        ("CRLF and blank lines", "id,at,mail\r\n\r\n1,A,@1\r\n\r\n2,never,@2\r\n3,A,@3\r\n", [3, 5, 6]),
        ("CR", "id,at,mail\r1,A,@1\r2,never,@2\r3,A,@3\r", [2, 3, 4]),
    ];
    let mut wrong = vec![];
    for (place, (name, file, lines)) in cases.iter().enumerate() {
        let file = file.replace('A', AT).replace('@', &format!("row{place}@"));
        let file = ["1", "2", "3"]
            .iter()
            .fold(file, |file, n| file.replace(&format!("@{n}"), &format!("{n}@example.test")));
        let mapping = with(&mapping(), json!({"system": format!("s{place}")}));
        let told = import(&api, &file, &mapping);
        let expected = [(lines[0], "CREATED"), (lines[1], "REFUSED"), (lines[2], "CREATED")];
        if told.told() != expected {
            wrong.push(format!("{name}: {:?}, not {expected:?}", told.told()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_that_cannot_be_read_are_named_and_the_others_are_in() {
    let server = Server::start();
    let api = server.admin();
    let mut file = b"id,at,mail,name\n".to_vec();
    let good = |n: u32| format!("{n},{AT},good{n}@example.test,Good\n").into_bytes();
    let bad: [(&[u8], Value, &str); 5] = [
        (b"1,2024-01-01T10:00:00Z,short@example.test\n", Value::Null, "3 cells, the header 4"),
        (b"2,2024-01-01T10:00:00Z,long@example.test,a,b\n", Value::Null, "5 cells, the header 4"),
        (b"3,2024-01-01T10:00:00Z,latin@example.test,M\xfcller\n", json!("name"), "save the file as UTF-8"),
        (b"4,2024-01-01T10:00:00Z,nul@example.test,M\0ller\n", json!("name"), "NUL"),
        (b"5,2024-01-01T10:00:00Z,tab@example.test,M\tller\n", json!("name"), "control characters"),
    ];
    for (n, (row, ..)) in (100..).zip(&bad) {
        file.extend(good(n));
        file.extend_from_slice(row);
    }
    file.extend(good(200));
    let ended = import(&api, &file, &with(&mapping(), json!({"lead": {"name": "name"}})));
    assert_eq!(ended.counts(), json!({"rows": 11, "created": 6, "refused": 5}));
    for ((place, (_, column, message)), row) in bad.iter().enumerate().zip(ended.refused()) {
        assert_eq!((long(&row["row"]), &row["column"]), (3 + 2 * place as i64, column), "{row}");
        assert!(text(row, "message").contains(message), "{message:?} in {row}");
    }
    assert_eq!(leads(&api).len(), 6);
}

#[test]
fn rows_of_ndjson_that_cannot_be_read_are_named_and_the_others_are_in() {
    let server = Server::start();
    let api = server.admin();
    let row = |n: u32| {
        json!({"id": n, "at": AT, "mail": format!("n{n}@example.test"), "who": {"name": "N"}}).to_string()
    };
    let file = [row(1), "{\"id\": 2".into(), "[3]".into(), row(4), "null".into(), row(6)].join("\n");
    let ended = import(&api, file, &with(&mapping(), json!({"lead": {"name": "who.name"}})));
    let expected =
        [(1, "CREATED"), (2, "REFUSED"), (3, "REFUSED"), (4, "CREATED"), (5, "REFUSED"), (6, "CREATED")];
    assert_eq!(ended.told(), expected);
    let shown: Vec<&str> = ended.refused().into_iter().map(|row| text(row, "value")).collect();
    assert_eq!(shown, ["{\"id\": 2", "[3]", "null"]);
}

#[test]
fn ndjson_in_another_encoding_is_refused_rather_than_garbled() {
    let server = Server::start();
    let api = server.admin();
    let file =
        b"{\"id\":1,\"at\":\"2024-01-01T10:00:00Z\",\"mail\":\"a@example.test\",\"name\":\"M\xfcller\"}\n\
          {\"id\":2,\"at\":\"2024-01-01T10:00:00Z\",\"mail\":\"b@example.test\",\"name\":\"Muller\"}\n";
    let ended = import(&api, file, &with(&mapping(), json!({"lead": {"name": "name"}})));
    assert_eq!(ended.told(), [(1, "REFUSED"), (2, "CREATED")], "{:?}", lead(&api, "crm", "1")["contact"]);
    assert!(text(&ended.rows[0], "message").contains("UTF-8"), "{}", ended.rows[0]);
}

#[test]
fn a_key_that_only_later_rows_of_ndjson_have_is_no_missing_column() {
    let server = Server::start();
    let api = server.admin();
    let first = json!({"id": 1, "at": AT, "mail": "first@example.test"});
    let second = json!({"id": 2, "at": AT, "mail": "second@example.test", "name": "Second"});
    let payload = attempt(
        &api,
        format!("{first}\n{second}\n"),
        &with(&mapping(), json!({"lead": {"name": "name"}})),
        json!({}),
    );
    assert_eq!(payload["errors"], json!([]), "most exports leave out what is null");
    assert_eq!(wait(&api, &payload["run"]["id"]).told(), [(1, "CREATED"), (2, "CREATED")]);
}

/// A file whose third line opens a quote that nothing closes, followed by many rows.
fn unclosed(rows: usize, columns: &str, start: &str) -> String {
    let after = (0..rows).map(|n| format!("r{n},{AT},r{n}@example.test,\n"));
    format!("{columns}\n1,{AT},one@example.test,\n{start}\n{}", after.collect::<String>())
}

fn quote_is_named(rows: usize, start: &str) {
    let server = Server::start();
    let api = server.admin();
    let ended = wait(&api, &start_unclosed(&api, rows, start));
    assert_eq!(ended.run["status"], "DONE", "{}", ended.run);
    let told = ended.told();
    assert_eq!(told[..2], [(2, "CREATED"), (3, "REFUSED")], "{:?}", ended.refused());
    assert!(text(&ended.rows[1], "message").contains("quote"), "{}", ended.rows[1]);
    // The lines that the quote swallowed are rows again.
    let rest: Vec<(i64, &str)> = (4..).zip(std::iter::repeat_n("CREATED", told.len() - 2)).collect();
    assert_eq!(told[2..], rest, "{:?}", ended.refused());
    assert!(told.len() > rows, "{} of {rows} rows", told.len());
}

fn start_unclosed(api: &Api, rows: usize, row: &str) -> Value {
    start(api, unclosed(rows, "id,at,mail,note", row), &mapping(), json!({}))
}

const OPEN: &str = "2,2024-01-01T10:00:00Z,two@example.test,\"a note";

#[test]
fn a_quote_that_swallows_some_hundred_rows_is_named_at_its_row() {
    quote_is_named(2_000, OPEN);
}

#[test]
fn a_quote_that_swallows_the_last_few_rows_is_named_at_its_row() {
    quote_is_named(3, OPEN);
}

#[test]
fn a_quote_before_an_address_is_named_and_not_the_address() {
    quote_is_named(3, "2,2024-01-01T10:00:00Z,\"two@example.test,");
}

#[test]
fn a_quote_that_swallows_a_large_file_is_named_at_its_row() {
    quote_is_named(22_000, OPEN);
}

#[test]
fn what_is_no_table_is_refused_before_it_starts() {
    let server = Server::start();
    let api = server.admin();
    let wide: String = (0..1_001).map(|n| format!("c{n},")).collect();
    let utf16 = |order: fn(u16) -> [u8; 2]| {
        "\u{feff}id,at,mail\n".encode_utf16().flat_map(order).collect::<Vec<u8>>()
    };
    let digest = ["input", "digest"];
    let columns = ["input", "mapping"];
    let cases: [(Vec<u8>, [&str; 2], &str); 11] = [
        (b"".to_vec(), digest, "empty"),
        (b" \r\n\n".to_vec(), digest, "empty"),
        ("\u{feff}".into(), digest, "empty"),
        (utf16(u16::to_le_bytes), digest, "save it as UTF-8"),
        (utf16(u16::to_be_bytes), digest, "save it as UTF-8"),
        (b"id,at,mail,stra\xdfe\n".to_vec(), digest, "header: not UTF-8"),
        (b"id,at,mail\0\n".to_vec(), digest, "NUL"),
        (b"{\"id\": 1, \"at\"\n".to_vec(), digest, "row 1: not JSON"),
        (b"id,at,mail,mail\n".to_vec(), columns, "two columns named \"mail\""),
        (b"id,at,email,name\n".to_vec(), columns, "no column \"mail\"; it has email"),
        (format!("id,at,mail,{wide}\n").into(), columns, "at most 1000 columns, found 1005"),
    ];
    for (file, path, message) in cases {
        let payload = attempt(&api, &file, &mapping(), json!({}));
        let error = &payload["errors"][0];
        assert_eq!(
            (&payload["run"], &error["path"], &error["code"]),
            (&Value::Null, &json!(path), &json!("VALIDATION")),
            "{payload}"
        );
        assert!(text(error, "message").contains(message), "{message:?} in {error}");
    }
    assert_eq!(all(&api, "importRuns", "", "id"), Vec::<Value>::new());
}

#[test]
fn a_table_without_rows_or_with_bad_rows_only_brings_nobody() {
    let server = Server::start();
    let api = server.admin();
    let ended = import(&api, "id,at,mail\n", &mapping());
    assert_eq!((ended.counts(), ended.rows.len()), (json!({}), 0));
    let file: String = (0..600).map(|n| format!("{n},never,bad{n}@example.test\n")).collect();
    let ended = import(&api, format!("id,at,mail\n{file}"), &mapping());
    assert_eq!(ended.counts(), json!({"rows": 600, "refused": 600}));
    assert_eq!(leads(&api), Vec::<Value>::new());
}

// Mappings.

#[test]
fn a_wrong_mapping_is_refused_and_says_where() {
    let server = Server::start();
    let api = server.admin();
    let cell = |path: &str, cell: Value| with(&mapping(), json!({"lead": {path: cell}}));
    let time = |key: &str, value: &str| with(&mapping(), json!({"occurredAt": {key: value}}));
    let top = |more: Value| with(&mapping(), more);
    let cases = [
        (json!("[]"), json!(["input", "mapping"]), "no mapping"),
        (
            top(json!({"occuredAt": {"column": "at"}})),
            json!(["input", "mapping"]),
            "`occuredAt`, expected one of `system`",
        ),
        (cell("emial", json!("mail")), json!(["input", "mapping"]), "`emial`, expected one of `email`"),
        (
            cell("name", json!({"colum": "mail"})),
            json!(["input", "mapping"]),
            "`colum`, expected one of `column`",
        ),
        (cell("name", json!(7)), json!(["input", "mapping"]), "the name of a column"),
        (top(json!({"system": "My CRM"})), json!(["input", "mapping", "system"]), "a key is"),
        (
            top(json!({"occurredAt": null})),
            json!(["input", "mapping", "occurredAt"]),
            "the time when it came in",
        ),
        (top(json!({"lead": null, "id": null})), json!(["input", "mapping", "id"]), "`id` of the lead"),
        (top(json!({"lead": null})), json!(["input", "mapping", "lead"]), "reads nothing"),
        (time("pattern", "%Q"), json!(["input", "mapping", "occurredAt", "pattern"]), "for example %Y-%m-%d"),
        (time("timeZone", "Europe/Berln"), json!(["input", "mapping"]), "no IANA time zone"),
        (top(json!({"delimiter": "\""})), json!(["input", "mapping", "delimiter"]), "one ASCII character"),
        (
            top(json!({"createCampaigns": "Trade Fair"})),
            json!(["input", "mapping", "createCampaigns"]),
            "a key",
        ),
        (
            top(json!({"traits": [{"key": "My Trait", "from": "id"}]})),
            json!(["input", "mapping", "traits", "0", "key"]),
            "a key is",
        ),
        (
            top(json!({"traits": [{"key": "seats", "kind": "number", "from": "id"}]})),
            json!(["input", "mapping"]),
            "`integer`",
        ),
    ];
    for (mapping, path, message) in cases {
        let payload = attempt(&api, "id,at,mail\n", &mapping, json!({}));
        let mut errors = payload["errors"].as_array().into_iter().flatten();
        let named = errors.any(|error| error["path"] == path && text(error, "message").contains(message));
        assert!(named && payload["run"].is_null(), "{message:?} at {path} in {payload}");
    }
    assert_eq!(all(&api, "importRuns", "", "id"), Vec::<Value>::new());
}

#[test]
fn a_pattern_that_reads_no_date_is_refused_before_it_starts() {
    let server = Server::start();
    let api = server.admin();
    for pattern in ["YYYY-MM-DD", "%H:%M", "%d.%m."] {
        let mapping = with(&mapping(), json!({"occurredAt": {"pattern": pattern}}));
        let payload = attempt(&api, "id,at,mail\n", &mapping, json!({}));
        assert_eq!(
            payload["errors"][0]["path"],
            json!(["input", "mapping", "occurredAt", "pattern"]),
            "{pattern}: {payload}"
        );
    }
}

#[test]
fn a_trait_that_is_mapped_twice_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let one = json!({"key": "seats", "from": "id"});
    let payload = attempt(&api, "id,at,mail\n", &with(&mapping(), json!({"traits": [one, one]})), json!({}));
    assert_eq!(payload["errors"][0]["path"], json!(["input", "mapping", "traits", "1", "key"]), "{payload}");
}

#[test]
fn a_known_trait_keeps_its_kind() {
    let server = Server::start();
    let api = server.admin();
    let define = json!({"key": "seats", "kind": "INTEGER", "meaning": "Licences in use"});
    api.mutate("defineTrait", "DefineTraitInput", define, "definition { key }");
    for (kind, personal) in [("text", false), ("integer", true)] {
        let one = json!({"key": "seats", "kind": kind, "personal": personal, "from": "id"});
        let payload = attempt(&api, "id,at,mail\n", &with(&mapping(), json!({"traits": [one]})), json!({}));
        assert_eq!(payload["errors"][0]["path"], json!(["input", "mapping", "traits", "0"]), "{payload}");
        assert!(text(&payload["errors"][0], "message").contains("seats is integer"), "{payload}");
    }
}

// Cells.
