//! Requests that lie at a limit of the edge, or beyond it.

use serde_json::{Value, json};

use super::dice::{Dice, text};

fn nested(dice: &mut Dice, before: &str, open: &str, middle: &str, close: &str, after: &str) -> String {
    let times = dice.around(40);
    // Now and then the brackets do not match.
    let closed = if dice.percent(10) { dice.below(times + 3) } else { times };
    format!("{before}{}{middle}{}{after}", open.repeat(times), close.repeat(closed))
}

/// Fragments that spread one another: a chain, a tree or a circle.
fn fragments(dice: &mut Dice) -> String {
    let (count, each) = (dice.between(1, 40), dice.between(1, 4));
    let circle = dice.percent(30);
    let mut text = String::from("{ viewer { ...F0 } }");
    for n in 0..count {
        let next = if circle && n + 1 == count { dice.below(count) } else { n + 1 };
        text += &format!(" fragment F{n} on User {{ key {} }}", format!("...F{next} ").repeat(each));
    }
    if dice.percent(90) {
        text += &format!(" fragment F{count} on User {{ key id }}");
    }
    text
}

pub fn request(dice: &mut Dice) -> Value {
    let tail = ") { edges { cursor } } }";
    let document = match dice.below(20) {
        0 => nested(dice, "{ leads(first: ", "[", "1", "]", tail),
        1 => nested(dice, "{ leads(filter: ", "{source:", "1", "}", tail),
        2 => nested(dice, "", "{a", "", "}", ""),
        3 => nested(dice, "{ viewer ", "{ ... ", "{ key }", "}", "}"),
        4 => nested(dice, "query($x: ", "[", "Int", "]", ") { viewer { key } }"),
        5 | 6 => fragments(dice),
        7 => format!("{{ viewer {{ {} }} }}", "key ".repeat(dice.around(2_000))),
        8 => format!(
            "{{ viewer {{ {} }} }}",
            (0..dice.around(30)).map(|n| format!("a{n}: key ")).collect::<String>()
        ),
        9 => format!("{{ viewer {{ key{} }} }}", " @skip(if: false)".repeat(dice.around(4))),
        10 => format!("{{ viewer {{ {} }} }}", "key @include(if: true) ".repeat(dice.around(20))),
        11 => format!("{{ {} }}", "feedHead ".repeat(dice.around(20))),
        12 => format!("{{ viewer {{ key }} }}#{}", "x".repeat(dice.around(32_747))),
        13 => format!(
            "{{ viewer {{ {} }} }}",
            (0..dice.around(400)).map(|n| format!("u{n} ")).collect::<String>()
        ),
        14 => {
            let values = vec![json!("x"); dice.around(200)];
            let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
            return json!({"query": query, "variables": {"ids": values}});
        }
        15 => {
            let value = (0..dice.around(31)).fold(json!(1), |inner, _| json!({ "k": inner }));
            return json!({"query": "query($team: String) { users(team: $team) { key } }", "variables": {"team": value}});
        }
        16 => {
            let value = "x".repeat(dice.around(65_536));
            return json!({"query": "query($team: String) { users(team: $team) { key } }", "variables": {"team": value}});
        }
        17 => {
            let keys: serde_json::Map<String, Value> =
                (0..dice.around(1_000)).map(|n| (format!("k{n}"), json!(n))).collect();
            return json!({"query": "query($k0: Int) { leads(first: $k0) { edges { cursor } } }", "variables": keys});
        }
        // Small, and by the million what it asks for. More than this would be the machine's end where nothing bounds it.
        18 => {
            let times = dice.between(1, 5);
            let (open, close) = ("possibleTypes { interfaces { ".repeat(times), " } }".repeat(times));
            format!("{{ __type(name: \"Node\") {{ {open} name {close} }} }}")
        }
        _ => {
            let block = "\\\"\"\" {{{ \u{1f4a9} \\u0041 \n\r\t ".repeat(dice.below(200));
            let (quote, inner) = if dice.percent(50) { ("\"\"\"", block) } else { ("\"", text(dice)) };
            format!("{{ users(team: {quote}{inner}{quote}) {{ key }} }}")
        }
    };
    json!({ "query": document })
}
