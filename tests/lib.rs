//! What black-box tests share: a started server in a directory of its own, and the little client that they talk through.
//! Nothing here links the product; the binary's path comes from `HANDFAST_BIN`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The built binary: `HANDFAST_BIN`, else the debug build.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("HANDFAST_BIN").map(PathBuf::from);
    let path = path.unwrap_or_else(|| root().join("target/debug/handfast"));
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask test`, or build it with `cargo build -p handfast`",
        path.display()
    );
    path
}

/// A built plugin, for example `scorecard`.
pub fn plugin(name: &str) -> PathBuf {
    let dir = std::env::var_os("HANDFAST_PLUGINS")
        .map(PathBuf::from)
        .unwrap_or_else(|| root().join("target/plugins"));
    let path = dir.join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
    path
}

/// The folder of the npm clients, if the test command prepared it.
pub fn clients() -> Option<PathBuf> {
    let dir = std::env::var_os("HANDFAST_CLIENTS")
        .map(PathBuf::from)
        .unwrap_or_else(|| root().join("tests/clients"));
    let ready = dir.join("node_modules").exists();
    if !ready {
        eprintln!(
            "skipped: {} has no node_modules; `cargo xtask test` installs them with npm",
            dir.display()
        );
    }
    ready.then_some(dir)
}

/// The browser: `HANDFAST_CHROMIUM`, else one on the path, if there is any.
pub fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HANDFAST_CHROMIUM") {
        return Some(path.into());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    let found = places.find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: chromium is missing; install it with apt-get install chromium");
    }
    found
}

/// The server's binary with the feature `nats`, and NATS's own server, if that is installed.
pub fn nats() -> Option<(PathBuf, PathBuf)> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join("nats-server"));
    let Some(nats) = places.find(|path| path.is_file()) else {
        eprintln!("skipped: nats-server is missing; install it with apt-get install nats-server");
        return None;
    };
    let path = std::env::var_os("HANDFAST_NATS_BIN").map(PathBuf::from);
    let path = path.unwrap_or_else(|| root().join("target/debug/handfast-nats"));
    assert!(path.exists(), "{} is missing: run `cargo xtask test --only nats`", path.display());
    Some((path, nats))
}

/// Debian's registry of containers, if it is here.
pub fn registry() -> Option<PathBuf> {
    let named = std::env::var_os("HANDFAST_REGISTRY_BIN").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&folders).map(|folder| folder.join("docker-registry"));
    let unpacked = root().join("target/tools/docker-registry/usr/bin/docker-registry");
    let found = named.into_iter().chain(places).chain([unpacked]).find(|path| path.is_file());
    if found.is_none() {
        eprintln!(
            "skipped: docker-registry is missing; `cargo xtask test --only registry` unpacks Debian's, or install it with \
             apt-get install docker-registry"
        );
    }
    found
}

/// A real data set, if it is here.
pub fn data(path: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("HANDFAST_DATA").map(PathBuf::from)?;
    let file = dir.join(path);
    if !file.exists() {
        eprintln!("skipped: {} is not here", file.display());
        return None;
    }
    Some(file)
}

/// The database of a data directory: the file in it, or with `HANDFAST_TEST_POSTGRES` a schema named after it.
pub fn database(dir: &Path) -> Vec<(&'static str, String)> {
    let Ok(url) = std::env::var("HANDFAST_TEST_POSTGRES") else { return vec![] };
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let schema: String =
        name.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from).collect();
    vec![("HANDFAST__DATABASE__URL", url), ("HANDFAST__DATABASE__SCHEMA", format!("t_{schema}"))]
}

/// Whether this run is the one on PostgreSQL.
pub fn on_postgres() -> bool {
    std::env::var_os("HANDFAST_TEST_POSTGRES").is_some()
}

/// A command on the data of a stopped server.
pub fn offline(dir: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(binary());
    command.args(args).arg("--data-dir").arg(dir).current_dir(dir).envs(database(dir));
    command.stdin(Stdio::null()).output().expect("the command line runs")
}

/// An empty data directory whose server finds the rules compiled that another test has compiled before: a second of work for
/// each of them. Compiled code is sealed with the root secret, so that all have the same.
pub fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shared = binary().with_file_name("compiled-for-tests");
    std::fs::create_dir_all(&shared).expect("a folder beside the binary");
    std::os::unix::fs::symlink(shared, dir.path().join("compiled-rules")).expect("a link");
    std::fs::write(dir.path().join("secret"), [7; 32]).expect("a secret");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.path().join("secret"), private).expect("a private file");
    dir
}

/// A running server. It ends with the test.
pub struct Server {
    child: Child,
    pub url: String,
    /// The admin's token.
    pub token: String,
    pub dir: tempfile::TempDir,
    agent: ureq::Agent,
    /// What it wrote to its log so far.
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts on an empty directory and waits until it answers.
    pub fn start() -> Server {
        Server::start_in(prepared(), None)
    }

    /// Starts again on a directory that an earlier server left.
    pub fn start_in(dir: tempfile::TempDir, token: Option<String>) -> Server {
        let database = database(dir.path());
        Server::start_on(dir, token, database)
    }

    /// Starts on an empty directory with more configuration.
    pub fn configured(more: &[(&'static str, &str)]) -> Server {
        let dir = prepared();
        let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let environment = database(dir.path()).into_iter().chain(more).collect();
        Server::start_on(dir, None, environment)
    }

    /// Starts again on a directory that an earlier server left, with more configuration.
    pub fn restarted(dir: tempfile::TempDir, token: String, more: &[(&'static str, &str)]) -> Server {
        let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let environment = database(dir.path()).into_iter().chain(more).collect();
        Server::start_on(dir, Some(token), environment)
    }

    /// The lines of its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Starts another node of the same workspace, which must be on PostgreSQL.
    pub fn beside(&self) -> Server {
        self.configured_beside(&[])
    }

    /// The same with more configuration.
    pub fn configured_beside(&self, more: &[(&'static str, &str)]) -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let secret = |dir: &Path| dir.join("secret");
        std::fs::copy(secret(self.dir.path()), secret(dir.path())).expect("nodes share the root secret");
        let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let environment = database(self.dir.path()).into_iter().chain(more).collect();
        Server::start_on(dir, Some(self.token.clone()), environment)
    }

    /// Starts on an empty directory by a program that ends in the server's, or becomes it.
    pub fn under(program: impl FnOnce(&Path) -> Command) -> Server {
        let dir = prepared();
        let (command, database) = (program(dir.path()), database(dir.path()));
        Server::start_by(command, dir, None, database)
    }

    fn start_on(
        dir: tempfile::TempDir,
        token: Option<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Server {
        Server::of(&binary(), dir, token, environment)
    }

    /// Starts another build of the server.
    pub fn of(
        program: &Path,
        dir: tempfile::TempDir,
        token: Option<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Server {
        Server::start_by(Command::new(program), dir, token, environment)
    }

    fn start_by(
        mut command: Command,
        dir: tempfile::TempDir,
        token: Option<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Server {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path())
            .current_dir(dir.path())
            .env("HANDFAST__LOG__LEVEL", "warn")
            .env("HANDFAST__SERVER__TIMER_INTERVAL_MS", "100")
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (send, lines) = std::sync::mpsc::channel();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("[server] {line}");
                kept.lock().expect("nobody panics with it").push(line.clone());
                drop(send.send(line));
            }
        });
        let mut url = None;
        let deadline = Instant::now() + Duration::from_secs(60);
        while url.is_none() {
            let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.expect("the server says where it serves within a minute");
            url = line
                .strip_prefix("Handfast serves ")
                .map(|rest| rest.trim_end_matches("/graphql").to_owned());
        }
        let token = token.unwrap_or_else(|| {
            let mut text = String::new();
            let stdout = child.stdout.take().expect("stdout is piped");
            BufReader::new(stdout).read_line(&mut text).expect("the first start prints a token");
            text.trim().to_owned()
        });
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(120)))
            .http_status_as_error(false)
            .build();
        let url = url.unwrap_or_default();
        Server { child, url, token, dir, agent: config.into(), log }
    }

    /// Ends it as a power cut would, and gives the directory back.
    pub fn kill(mut self) -> (tempfile::TempDir, String) {
        drop(self.child.kill());
        drop(self.child.wait());
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory"));
        (dir, self.token.clone())
    }

    /// As [`Server::kill`], but asks it to end in order.
    pub fn stop(mut self) -> (tempfile::TempDir, String) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory"));
        (dir, self.token.clone())
    }

    /// The process, to be looked at from outside.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kilobytes of memory that the process has now; `None` when it is gone.
    pub fn resident_kb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        // One that has ended and was not waited for has no memory left.
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    pub fn admin(&self) -> Api {
        self.api(&self.token)
    }

    pub fn api(&self, token: &str) -> Api {
        Api { agent: self.agent.clone(), url: self.url.clone(), token: token.to_owned() }
    }

    /// A user of a team with a token of all scopes but the administrator's.
    pub fn user(&self, key: &str, team: &str) -> Api {
        let input = json!({"key": key, "name": key, "team": team});
        self.admin().mutate("upsertUser", "UpsertUserInput", input, "user { id }");
        let scopes =
            ["leads:read", "leads:write", "charter:sign", "plugins:deploy", "import", "webhooks:write"];
        self.token(key, &scopes)
    }

    /// A token of a known user.
    pub fn token(&self, user: &str, scopes: &[&str]) -> Api {
        let input = json!({"user": user, "name": "test", "scopes": scopes});
        let made = self.admin().mutate("createToken", "CreateTokenInput", input, "secret");
        self.api(made["secret"].as_str().expect("a new token tells its text"))
    }

    /// Uploads a built plugin with its cases and puts it into a slot. Answers its sha-256.
    pub fn deploy(&self, name: &str, slot: &str, settings: &Value) -> String {
        let digest = self.push(name);
        self.set(slot, &digest, settings);
        digest
    }

    /// Uploads a built plugin with its cases and waits for its checks. Answers its sha-256.
    pub fn push(&self, name: &str) -> String {
        let (wasm, cases) = (plugin(name), root().join("plugins").join(name).join("cases"));
        let of_sales = ["fair-share", "graded-answers"].contains(&name);
        let team = if of_sales { "sales" } else { "marketing" };
        let pushed = self.cli(&[
            "plugin",
            "push",
            &wasm.to_string_lossy(),
            "--team",
            team,
            "--cases",
            &cases.to_string_lossy(),
        ]);
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        String::from_utf8_lossy(&pushed.stdout).trim().to_owned()
    }

    /// Puts an uploaded version with settings into a slot.
    pub fn set(&self, slot: &str, digest: &str, settings: &Value) {
        let input = json!({"slot": slot, "digest": digest, "settings": settings.to_string(), "mode": "LIVE"});
        self.admin().mutate("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    }

    /// Runs the command line against the same data directory or server.
    pub fn cli(&self, args: &[&str]) -> std::process::Output {
        Command::new(binary())
            .args(args)
            .current_dir(self.dir.path())
            .envs(database(self.dir.path()))
            .env("HANDFAST_URL", &self.url)
            .env("HANDFAST_TOKEN", &self.token)
            .stdin(Stdio::null())
            .output()
            .expect("the command line runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client with a token.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    pub url: String,
    pub token: String,
}

impl Api {
    /// The whole answer, with status.
    pub fn post(&self, body: &Value) -> (u16, Value) {
        self.try_post(body).expect("the server answers with JSON")
    }

    /// None when the server is gone.
    pub fn try_post(&self, body: &Value) -> Option<(u16, Value)> {
        let request = self.agent.post(format!("{}/graphql", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let mut response = request.send_json(body).ok()?;
        let answer = response.body_mut().read_json().ok()?;
        Some((response.status().as_u16(), answer))
    }

    /// The data of an operation that must have no errors.
    pub fn query(&self, document: &str, variables: Value) -> Value {
        let (status, answer) = self.post(&json!({"query": document, "variables": variables}));
        assert!(answer["errors"].is_null(), "{status}: {}\n{document}\n{variables}", answer["errors"]);
        answer["data"].clone()
    }

    /// The first error of an operation that must have one.
    pub fn error(&self, document: &str, variables: Value) -> Value {
        let (_, answer) = self.post(&json!({"query": document, "variables": variables}));
        assert!(answer["errors"][0].is_object(), "no error in {answer}");
        answer["errors"][0].clone()
    }

    /// A mutation `field(input: …)` whose payload must have no errors. `kind` is the input's type.
    pub fn mutate(&self, field: &str, kind: &str, input: Value, selection: &str) -> Value {
        let payload = self.attempt(field, kind, input.clone(), selection);
        assert_eq!(payload["errors"], json!([]), "{field} {input}");
        payload
    }

    /// A mutation whose payload may have errors.
    pub fn attempt(&self, field: &str, kind: &str, input: Value, selection: &str) -> Value {
        let errors = "errors { message path code ... on GateNotMet { missing } ... on VersionConflict { current } \
                      ... on IllegalTransition { allowed } }";
        let document =
            format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} {errors} }} }}");
        self.query(&document, json!({"input": input}))[field].clone()
    }

    /// Puts a file and answers its sha-256.
    pub fn put_blob(&self, kind: &str, bytes: &[u8]) -> String {
        let mut response = self
            .agent
            .put(format!("{}/blobs?kind={kind}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/octet-stream")
            .send(bytes)
            .expect("the server answers");
        let answer: Value = response.body_mut().read_json().expect("the answer is JSON");
        answer["sha256"].as_str().unwrap_or_else(|| panic!("no sha256 in {answer}")).to_owned()
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .call()
            .expect("the server answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    /// Captures a lead and answers `lead { id uuid … }`.
    pub fn capture(&self, email: &str) -> Value {
        let input = json!({"lead": {"email": email, "source": "test"}});
        let payload =
            self.mutate("captureLead", "CaptureLeadInput", input, "lead { id uuid version stage workState }");
        payload["lead"].clone()
    }
}

/// Settings of a card that lets everybody pass who scores at least `advance`: 10 for consent, 20 for a title.
pub fn card(advance: i32) -> Value {
    json!({
        "fit": [
            {"field": "contact.consent", "yes": 10, "no": -10},
            {"field": "contact.seniority", "values": [{"is": ["C_LEVEL"], "points": 20}]},
        ],
        "thresholds": {"advance": advance, "holdDays": 7},
    })
}

/// Settings of a router without territories.
pub fn fair_share() -> Value {
    json!({"fallbackQueue": "fallback", "withoutTerritory": "anyone"})
}

/// Waits until `done` answers something, at most for `seconds`.
pub fn eventually<T>(seconds: u64, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}
