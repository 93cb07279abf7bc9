//! Chance as a client: requests and frames from a grammar, bent and broken. Whatever comes, the server lives, answers in its
//! own words, and answers everybody else as ever.
//!
//! Each run prints its seed. `HANDFAST_FUZZ_SEED` repeats it; `HANDFAST_FUZZ_SECONDS` makes it longer than five seconds.

mod dice;
mod frames;
mod grammar;
mod shapes;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handfast_tests::{Server, card, eventually};
use serde_json::{Value, json};

use crate::catalogue::{fault, post, sane, short};
use crate::schema::all_types;
use dice::{Dice, mutate};

/// The budget of one address would be spent by so many refusals.
const UNLIMITED: [(&str, &str); 2] =
    [("HANDFAST__EDGE__RATE__TOKEN_PER_SECOND", "0"), ("HANDFAST__EDGE__RATE__ADDRESS_PER_SECOND", "0")];

/// Errors of one answer together.
const ERROR_BYTES: usize = 16 * 1024;

/// What caches and the allocator may keep when all is over.
const KEPT_KB: u64 = 64 * 1024;

/// No answer is larger: there are only a few leads to be told of, and the schema itself is a fifth of it.
const ANSWER_BYTES: usize = 1024 * 1024;

/// No answer takes longer, on a machine that does other things beside.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Runs cases until the time is over. `case` gets its dice and tells what came of it, or what is wrong and with what.
fn run(server: &Server, mut case: impl FnMut(&mut Dice) -> Result<String, String>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("HANDFAST_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    let time = Duration::from_secs(number("HANDFAST_FUZZ_SECONDS").unwrap_or(5));
    println!("HANDFAST_FUZZ_SEED={seed}");
    for _ in 0..20 {
        sane(server).expect("the server answers before it begins");
    }
    let before = server.resident_kb().expect("the server runs");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut cases, mut found, mut ends) = (0, Ok(()), BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        // Somebody else, the whole time.
        let other = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                sane(server)?;
                asked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok::<(), String>(())
        });
        let began = Instant::now();
        while began.elapsed() < time && found.is_ok() && !other.is_finished() {
            match case(&mut Dice::of(seed, cases)) {
                Ok(end) => *ends.entry(end).or_default() += 1,
                Err(fault) => found = Err(format!("case {cases}: {fault}")),
            }
            cases += 1;
        }
        over.store(true, Ordering::Relaxed);
        let other = other.join().expect("the other client ends");
        found = std::mem::replace(&mut found, Ok(()))
            .and(other.map_err(|fault| format!("about case {cases}: {fault}")));
    });
    let log: Vec<String> =
        server.log().into_iter().filter(|line| line.contains("panicked") || line.contains("ERROR")).collect();
    println!("{cases} cases, {} sane queries beside them: {ends:?}", asked.load(Ordering::Relaxed));
    if let Err(fault) = found {
        let lives = if server.resident_kb().is_some() { "lives" } else { "is gone" };
        panic!("HANDFAST_FUZZ_SEED={seed}: {fault}\nthe process {lives}; its log: {log:#?}");
    }
    assert!(log.is_empty(), "HANDFAST_FUZZ_SEED={seed}: the log tells of faults: {log:#?}");
    // A run of which everything was refused for one reason has tried nothing.
    assert!(ends.len() > 5, "only {ends:?}");
    assert!(asked.load(Ordering::Relaxed) > 10, "the other client was hardly answered");
    eventually(15, "memory returns", || {
        let now = server.resident_kb().expect("the server runs");
        println!("{before} kB before, {now} kB now");
        (now < before + KEPT_KB).then_some(())
    });
    eventually(15, "every stream is given back", || {
        let (_, text) = server.api("").get("/metrics");
        let open = text.lines().find_map(|line| line.strip_prefix("handfast_streams_open "));
        open.is_none_or(|open| open.trim() == "0").then_some(())
    });
}

/// What is wrong with the errors of an answer.
fn errors(errors: &Value) -> Result<(), String> {
    let errors = errors.as_array().map(Vec::as_slice).unwrap_or_default();
    let bytes: usize = errors.iter().map(|error| error.to_string().len()).sum();
    if errors.len() > 20 || bytes > ERROR_BYTES {
        return Err(format!("{} errors of {bytes} bytes", errors.len()));
    }
    for error in errors {
        if error["extensions"]["code"] == "INTERNAL" {
            return Err(format!("the server failed: {error}"));
        }
        if let Some(fault) = fault(error) {
            return Err(format!("{fault}: {}", short(&error.to_string(), 600)));
        }
    }
    Ok(())
}

/// The first code of an answer over HTTP, or what is wrong with it.
fn answer(server: &Server, body: &[u8]) -> Result<String, String> {
    let began = Instant::now();
    let answer = post(server, body);
    let json = answer.json();
    let judged = if answer.status == 0 {
        Err("there is no answer".to_owned())
    } else if answer.status >= 500 && answer.status != 503 {
        Err("the server failed".to_owned())
    } else if !(json["data"].is_object()
        || json["errors"].as_array().is_some_and(|errors| !errors.is_empty()))
    {
        Err("neither data nor errors".to_owned())
    } else if answer.body.len() > ANSWER_BYTES {
        Err(format!("an answer of {} bytes", answer.body.len()))
    } else if began.elapsed() > ANSWER_TIME {
        Err(format!("it took {:?}", began.elapsed()))
    } else {
        errors(&json["errors"])
    };
    let code = json["errors"][0]["extensions"]["code"].as_str().unwrap_or("data").to_owned();
    judged.map(|()| code).map_err(|fault| {
        let said = short(&String::from_utf8_lossy(body), 4_000);
        format!("{fault}\nasked: {said}\nanswered: {} {}", answer.status, short(&answer.body, 1_000))
    })
}

#[test]
fn no_request_stops_the_server_or_gets_an_answer_that_is_none() {
    let server = Server::configured(&UNLIMITED);
    // Something to be found: leads that a rule has looked at.
    server.deploy("scorecard", "mql", &card(10));
    for n in 0..10 {
        let lead =
            json!({"lead": {"email": format!("l{n}@example.test"), "source": "test", "consent": n % 2 == 0}});
        server.admin().mutate("captureLead", "CaptureLeadInput", lead, "created");
    }
    let types = all_types(&server.admin());
    run(&server, |dice| {
        let mut request =
            if dice.percent(25) { shapes::request(dice) } else { grammar::request(&types, dice) };
        if dice.percent(20) {
            let mut document = request["query"].as_str().unwrap_or_default().as_bytes().to_vec();
            mutate(dice, &mut document);
            request["query"] = json!(String::from_utf8_lossy(&document));
        }
        let mut body = request.to_string().into_bytes();
        if dice.percent(10) {
            mutate(dice, &mut body);
        }
        answer(&server, &body)
    });
}

#[test]
fn no_frame_stops_the_server_or_closes_a_socket_without_reason() {
    let server = Server::configured(&UNLIMITED);
    server.admin().capture("lead@example.test");
    run(&server, |dice| {
        let script = frames::script(&server.token, dice);
        frames::play(&server, &script).map_err(|fault| {
            format!("{fault}\nsent: {}", short(&String::from_utf8_lossy(&script.bytes), 2_000))
        })
    });
}
