//! `handfast import` as people see it.

use super::*;

/// A server with files beside it, and the command `handfast import` on them.
struct Desk {
    server: Server,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { server: Server::start() };
        desk.write("map.json", &mapping().to_string());
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.server.dir.path().join(name), text).expect("the file is written");
    }

    /// Exit code, data and messages.
    fn import(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.server.cli(&[&["import"], args].concat());
        (output.status.code(), out(&output), err(&output))
    }
}

fn summary(rows: u32, dry: bool, counts: [u32; 6]) -> String {
    let note = if dry { " (dry run: nothing was written)" } else { "" };
    let names = ["created", "updated", "unchanged", "won", "refused", "warnings"];
    let lines = names.iter().zip(counts).map(|(name, count)| format!("{name:<12}{count:>9}\n"));
    format!("{rows} rows{note}\n{}", lines.collect::<String>())
}

#[test]
fn the_command_line_tells_what_became_of_a_file() {
    let desk = Desk::new();
    let row = |n: u32, mail: &str| format!("{n},{AT},{mail}\n");
    desk.write("good.csv", &format!("id,at,mail\n{}", row(1, "a@example.test")));
    desk.write(
        "mixed.csv",
        &format!("id,at,mail\n{}{}{}", row(1, "a@example.test"), row(2, "broken"), row(3, "c@example.test")),
    );
    let refused = "REFUSED      row 3, column \"mail\", \"broken\": an e-mail address has an @\n";

    let (code, data, messages) = desk.import(&["good.csv", "--mapping", "map.json", "--dry-run"]);
    assert_eq!((code, data), (Some(0), summary(1, true, [1, 0, 0, 0, 0, 0])));
    assert_eq!(messages, "Next: the same command without --dry-run.\n");
    assert_eq!(leads(&desk.server.admin()), Vec::<Value>::new());

    let quiet = String::new;
    let answer = desk.import(&["good.csv", "--mapping", "map.json"]);
    assert_eq!(answer, (Some(0), summary(1, false, [1, 0, 0, 0, 0, 0]), quiet()));
    let answer = desk.import(&["mixed.csv", "--mapping", "map.json"]);
    assert_eq!(answer, (Some(1), format!("{refused}\n{}", summary(3, false, [1, 0, 1, 0, 1, 0])), quiet()));
    let (code, data, _) = desk.import(&["mixed.csv", "--mapping", "map.json", "--all"]);
    let rows = format!("UNCHANGED    row 2\n{refused}UNCHANGED    row 4\n");
    assert_eq!((code, data), (Some(1), format!("{rows}\n{}", summary(3, false, [0, 0, 2, 0, 1, 0]))));

    let (code, data, _) = desk.import(&["mixed.csv", "--mapping", "map.json", "--json"]);
    let lines: Vec<Value> = data.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [row, run] = lines.as_slice() else { panic!("a row and the run, found {data}") };
    assert_eq!(
        (code, &row["row"], &row["outcome"], &row["value"]),
        (Some(1), &json!("3"), &json!("REFUSED"), &json!("broken"))
    );
    assert_eq!((&run["status"], &run["rows"], &run["unchanged"]), (&json!("DONE"), &json!("3"), &json!("2")));
}

#[test]
fn the_command_line_fails_with_the_code_of_the_failure() {
    let desk = Desk::new();
    desk.write("good.csv", &format!("id,at,mail\n1,{AT},a@example.test\n"));
    desk.write("other.csv", "id,at,email\n");
    desk.write("empty.csv", "");
    desk.write("typo.json", "{\"system\": \"crm\",}");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["good.csv"], 2, "--mapping"),
        (&["good.csv", "--mapping", "map.json", "--dry"], 2, "--dry-run"),
        (&["none.csv", "--mapping", "map.json"], 3, "none.csv"),
        (&["good.csv", "--mapping", "none.json"], 3, "none.json"),
        (&["other.csv", "--mapping", "map.json"], 1, "no column \"mail\"; it has email (at input/mapping)"),
        (&["empty.csv", "--mapping", "map.json"], 1, "the file is empty"),
        (&["good.csv", "--mapping", "typo.json"], 1, "no mapping: trailing comma at line 1"),
        (&["good.csv", "--mapping", "map.json", "--live-from", "yesterday"], 1, "RFC 3339"),
        (
            &["good.csv", "--mapping", "map.json", "--url", "http://127.0.0.1:9"],
            1,
            "is `handfast serve` running there?",
        ),
    ];
    for (args, expected, message) in cases {
        let (code, data, messages) = desk.import(args);
        assert_eq!((code, data.as_str()), (Some(expected), ""), "{args:?}: {messages}");
        assert!(messages.contains(message), "{args:?}: {message:?} in {messages}");
    }
    assert_eq!(leads(&desk.server.admin()), Vec::<Value>::new());
}

#[test]
fn the_command_line_names_every_missing_column_at_once() {
    let desk = Desk::new();
    desk.write("rows.csv", "key,when,email\n");
    let (code, _, messages) = desk.import(&["rows.csv", "--mapping", "map.json"]);
    assert_eq!(code, Some(1));
    for column in ["id", "at", "mail"] {
        assert!(messages.contains(&format!("no column {column:?}")), "{column}: {messages}");
    }
}
