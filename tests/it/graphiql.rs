//! GraphiQL, which the server brings along: what a browser gets, and that it works under its content policy.

use std::process::Command;

use handfast_tests::{Server, chromium, clients};

fn header<'a, T>(answer: &'a ureq::http::Response<T>, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[test]
fn the_page_and_its_files_come_from_here_under_a_strict_policy() {
    let server = Server::start();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let get = |path: &str| agent.get(format!("{}{path}", server.url)).call().expect("the server answers");

    let mut page = get("/graphiql");
    assert_eq!((page.status().as_u16(), header(&page, "cache-control")), (200, "no-store"));
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let policy = header(&page, "content-security-policy").to_owned();
    for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.body_mut().read_to_string().expect("text");

    let named: Vec<&str> =
        text.split("\"/graphiql/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(named.len() > 3, "the page names its files: {text}");
    for name in named {
        let file = get(&format!("/graphiql/{name}"));
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(header(&file, "content-security-policy"), policy, "{name}");
        assert_eq!(header(&file, "x-content-type-options"), "nosniff", "{name}");
    }

    for path in ["/graphiql/other.js", "/graphiql/a/b", "/graphiql/..%2f..%2fsecret"] {
        assert_eq!(get(path).status(), 404, "{path}");
    }
    let refused = agent.post(format!("{}/graphiql", server.url)).send_empty().expect("the server answers");
    assert_eq!((refused.status().as_u16(), header(&refused, "allow")), (405, "GET, HEAD"));
}

#[test]
fn graphiql_queries_and_subscribes_in_a_browser_without_a_breach_of_its_policy() {
    let (Some(dir), Some(chromium)) = (clients(), chromium()) else { return };
    let server = Server::start();
    let output = Command::new("node")
        .current_dir(&dir)
        .args(["graphiql.mjs", &server.url, &server.token])
        .arg(chromium)
        .output()
        .expect("node runs");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
