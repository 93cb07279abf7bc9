//! GraphiQL at `/graphiql`, from this binary alone: no other host, no inline script, no Node.
//!
//! The folder `graphiql` has our page and the npm packages' files as they were published, compressed. `NOTICE.txt` there says
//! which they are, how to get them again, and under which licences they stand.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing from elsewhere, nothing inline, and nobody frames the page, which has a token in it. The hash is the one style that
/// GraphiQL's dialogs and menus write into the page (react-remove-scroll, on a page without scroll bars).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; \
                      connect-src 'self'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    kept: Kept,
}

/// How long a browser may keep a file, and how it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Ours: it changes with the server.
    Never,
    /// It has its version in its name, and is compressed with gzip. Every browser takes that, so that no other form is kept here.
    Forever,
}

const PAGE: File =
    File { name: "", kind: HTML, bytes: include_bytes!("graphiql/index.html"), kept: Kept::Never };

const FILES: [File; 7] = [
    File { name: "start.js", kind: SCRIPT, bytes: include_bytes!("graphiql/start.js"), kept: Kept::Never },
    File { name: "start.css", kind: STYLE, bytes: include_bytes!("graphiql/start.css"), kept: Kept::Never },
    File { name: "NOTICE.txt", kind: TEXT, bytes: include_bytes!("graphiql/NOTICE.txt"), kept: Kept::Never },
    File {
        name: "graphiql-4.1.2.js",
        kind: SCRIPT,
        bytes: include_bytes!("graphiql/graphiql-4.1.2.js.gz"),
        kept: Kept::Forever,
    },
    File {
        name: "graphiql-4.1.2.css",
        kind: STYLE,
        bytes: include_bytes!("graphiql/graphiql-4.1.2.css.gz"),
        kept: Kept::Forever,
    },
    File {
        name: "react-18.3.1.js",
        kind: SCRIPT,
        bytes: include_bytes!("graphiql/react-18.3.1.js.gz"),
        kept: Kept::Forever,
    },
    File {
        name: "react-dom-18.3.1.js",
        kind: SCRIPT,
        bytes: include_bytes!("graphiql/react-dom-18.3.1.js.gz"),
        kept: Kept::Forever,
    },
];

pub fn routes() -> Router {
    Router::new()
        .route("/graphiql", get(page).fallback(other_method))
        .route("/graphiql/", get(page).fallback(other_method))
        .route("/graphiql/{*name}", get(file).fallback(other_method))
}

async fn page() -> Response {
    serve(&PAGE)
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => serve(file),
        None => tell(StatusCode::NOT_FOUND, "There is no such file here. GraphiQL is at /graphiql.\n"),
    }
}

async fn other_method() -> Response {
    let mut answer = tell(StatusCode::METHOD_NOT_ALLOWED, "Use GET. Operations go to /graphql.\n");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

fn serve(file: &File) -> Response {
    let mut answer = file.bytes.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    let caching = match file.kept {
        Kept::Never => "no-store",
        Kept::Forever => "public, max-age=31536000, immutable",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if file.kept == Kept::Forever {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    guarded(answer)
}

fn tell(status: StatusCode, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")];
    guarded((status, headers, text).into_response())
}

fn guarded(mut answer: Response) -> Response {
    let guards: [(HeaderName, &str); 3] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in guards {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn text<'a>(answer: &'a Response, name: &str) -> &'a str {
        answer.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[tokio::test]
    async fn every_file_is_told_as_what_it_is_and_under_the_policy() {
        for known in &FILES {
            let answer = file(Path(known.name.to_owned())).await;
            assert_eq!(answer.status(), StatusCode::OK, "{}", known.name);
            assert_eq!(text(&answer, "content-type"), known.kind);
            assert_eq!(text(&answer, "content-security-policy"), POLICY);
            assert_eq!(text(&answer, "x-content-type-options"), "nosniff");
            let packed = text(&answer, "content-encoding") == "gzip";
            assert_eq!(packed, text(&answer, "cache-control").contains("immutable"), "{}", known.name);
            let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
            assert_eq!(packed, bytes.starts_with(&[0x1f, 0x8b]), "{}", known.name);
        }
    }

    #[test]
    fn the_page_has_nothing_inline_and_names_only_files_that_are_served() {
        let page = str::from_utf8(PAGE.bytes).expect("UTF-8");
        let scripts = page.matches("<script").count();
        assert_eq!(page.matches("<script defer src=\"/graphiql/").count(), scripts);
        for inline in ["<style", " style=", " onload=", " onclick=", "javascript:", "//"] {
            assert!(!page.contains(inline), "{inline}");
        }
        let named = page.split("\"/graphiql/").skip(1).filter_map(|rest| rest.split('"').next());
        let named: Vec<&str> = named.collect();
        assert_eq!(named.len(), FILES.len(), "each is used: {named:?}");
        for name in named {
            assert!(FILES.iter().any(|file| file.name == name), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_found() {
        for name in ["other.js", "a/b", "../graphiql.rs", "index.html", "graphiql-4.1.2.js.gz"] {
            let answer = file(Path(name.to_owned())).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
            assert_eq!(text(&answer, "content-security-policy"), POLICY);
        }
    }
}
