//! The host: loads plugins, judges and routes leads on its own threads, and never lets a guest's failure become its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use handfast_domain::digest::Digest;
use handfast_domain::field::TraitKinds;
use handfast_domain::snapshot::Snapshot;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::batch::{Batch, Judged, Routed, Unasked};
use crate::cache::Cache;
use crate::cases::{self, Case, CaseResult};
use crate::compile;
use crate::config::{HostConfig, Limits};
use crate::engine;
use crate::guest::Sandbox;
use crate::inspect;
use crate::output;
use crate::plugin::{Plugin, SettingsProblem};
use crate::pool::Pool;
use crate::report::{Check, CheckReport, Code};
use crate::rule::{Context, Rule, Settings};

/// Leads of a call that counts as a small one.
const SMALL: usize = 16;

/// A thread that gives way to all others may be kept waiting for long: its wall clock is so many times as patient.
const PATIENCE: u64 = 40;

/// Plugins kept in memory. Whoever calls one holds it anyway; this only saves loading it again.
const LOADED: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the wasm engine does not start: {0}")]
    Engine(String),
    #[error("the threads for rules do not start: {0}")]
    Threads(#[from] std::io::Error),
}

/// Why a stored plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin {digest} does not load: {check}: {message} ({code})", code = code.as_str())]
pub struct LoadError {
    pub digest: Digest,
    pub check: &'static str,
    pub code: Code,
    pub message: String,
}

/// Cheap to clone; the last clone stops the threads.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    engine: Engine,
    fingerprint: String,
    config: HostConfig,
    cache: Cache,
    pool: Pool,
    /// One permit for each call that runs or waits.
    admission: Semaphore,
    /// Large batches leave a thread to the small ones: an import, or a rule that loops, must not make everybody wait.
    bulk: Semaphore,
    /// One permit for each thread of others that judges on its own, and the limits for it.
    beside: Semaphore,
    patient: Limits,
    /// Uploads are compiled one at a time.
    compiling: tokio::sync::Mutex<()>,
    /// The last ones used, newest at the end.
    loaded: Mutex<Vec<Arc<Plugin>>>,
}

impl Host {
    pub fn new(mut config: HostConfig) -> Result<Host, HostError> {
        config.threads = config.threads.max(1);
        config.limits.batch = config.limits.batch.max(1);
        let running = engine::running(&config.limits, config.threads + config.beside);
        let engine = running.map_err(|error| HostError::Engine(format!("{error:#}")))?;
        engine::start_ticker(&engine)?;
        let compatibility = engine::compatibility(&engine);
        let Limits { ms_base, ms_per_lead, .. } = config.limits;
        let patient = Limits {
            ms_base: ms_base.saturating_mul(PATIENCE),
            ms_per_lead: ms_per_lead.saturating_mul(PATIENCE),
            ..config.limits.clone()
        };
        Ok(Host(Arc::new(Inner {
            fingerprint: format!("wasmtime-48/{compatibility}"),
            cache: Cache::new(config.cache_dir.as_deref(), &compatibility, config.cache_key),
            pool: Pool::start(config.threads)?,
            admission: Semaphore::new(config.queue.max(1)),
            bulk: Semaphore::new(config.threads.saturating_sub(1).max(1)),
            beside: Semaphore::new(config.beside),
            patient,
            compiling: tokio::sync::Mutex::new(()),
            loaded: Mutex::new(Vec::new()),
            engine,
            config,
        })))
    }

    /// Engine version and hash of all that its code depends on; part of each decision.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// Calls that run or wait for a thread.
    pub fn waiting(&self) -> usize {
        self.0.config.queue.max(1).saturating_sub(self.0.admission.available_permits())
    }

    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    /// All checks of an upload, in order, up to the first failure.
    pub async fn check(&self, wasm: &[u8], cases: &[Case], traits: &TraitKinds) -> CheckReport {
        let digest = Digest::of_bytes(wasm);
        let mut report = CheckReport { digest, kind: None, descriptor: None, checks: Vec::new() };
        let component = match self.compiled(digest, wasm, &mut report).await {
            Some(component) => component,
            None => return report,
        };
        let plugin = match self.open(digest, component).await {
            Ok(plugin) => Arc::new(plugin),
            Err((name, code, message)) => {
                report.checks.push(Check::of(name, Err((code, message))));
                return report;
            }
        };
        report.kind = Some(plugin.kind);
        report.descriptor = Some(plugin.descriptor.clone());
        let described = format!("{} {}", plugin.descriptor.name, plugin.descriptor.version);
        report.checks.push(Check::of("describe", Ok(described)));
        report.checks.push(Check::of("schema", Ok("a JSON Schema".into())));
        report.checks.push(Check::of("reads", output::reads(&plugin.descriptor, plugin.kind, traits)));
        if !report.ok() {
            return report;
        }
        report.checks.push(self.check_cases(&plugin, cases, traits).await);
        if report.ok() {
            self.remember(&plugin);
        }
        report
    }

    /// A plugin by its bytes: from memory, from the disk cache, or compiled. An upload that was never checked is inspected
    /// first, so that loading is as safe as checking.
    pub async fn load(&self, wasm: &[u8], traits: &TraitKinds) -> Result<Arc<Plugin>, LoadError> {
        let digest = Digest::of_bytes(wasm);
        let refuse = |check, code, message| LoadError { digest, check, code, message };
        let plugin = match self.remembered(digest) {
            Some(plugin) => plugin,
            None => {
                let cached = match self.cached(digest).await {
                    Some(component) => Ok(component),
                    None => {
                        let mut report =
                            CheckReport { digest, kind: None, descriptor: None, checks: Vec::new() };
                        self.compiled(digest, wasm, &mut report).await.ok_or(report)
                    }
                };
                let component = cached.map_err(|report| {
                    let check =
                        report.refusal().cloned().unwrap_or_else(|| Check::of("compile", Ok(String::new())));
                    refuse(check.name, check.code.unwrap_or(Code::PluginMalformed), check.message)
                })?;
                let opened = self.open(digest, component).await;
                Arc::new(opened.map_err(|(name, code, message)| refuse(name, code, message))?)
            }
        };
        output::reads(&plugin.descriptor, plugin.kind, traits)
            .map_err(|(code, message)| refuse("reads", code, message))?;
        self.remember(&plugin);
        Ok(plugin)
    }

    /// The plugin's JSON Schema, then its own `check-settings`.
    pub async fn check_settings(
        &self,
        plugin: &Arc<Plugin>,
        settings: &str,
    ) -> Result<Settings, Vec<SettingsProblem>> {
        let problem = |message: String| vec![SettingsProblem { pointer: String::new(), message }];
        let settings = Settings::parse(settings).map_err(|error| problem(format!("not JSON: {error}")))?;
        let (inner, plugin, checked) = (self.0.clone(), plugin.clone(), settings.clone());
        let job = move || plugin.check_settings(inner.sandbox(), &checked);
        let answer = self.0.pool.submit(job).await;
        answer.unwrap_or_else(|_| Err(problem("the host failed while it checked".into()))).map(|()| settings)
    }

    /// Judges any number of leads, in batches spread over the threads. Every lead gets an answer, in the order given.
    pub async fn evaluate(
        &self,
        rule: &Rule,
        settings: &Settings,
        context: Context,
        leads: Vec<Arc<Snapshot>>,
    ) -> Vec<Judged> {
        let Ok(_permit) = self.0.admission.try_acquire() else {
            return self.0.batch(rule, settings, context).unjudged(&leads, Unasked::Busy);
        };
        let leads: Arc<[Arc<Snapshot>]> = leads.into();
        let large = leads.len() > SMALL;
        // Equal batches, as few as possible: fuel caps and fixed costs are per batch.
        let batches = leads.len().div_ceil(self.0.config.limits.batch);
        let size = leads.len().div_ceil(batches.max(1)).max(1);
        let mut judged = Vec::with_capacity(leads.len());
        let mut running = VecDeque::new();
        let mut next = 0;
        while next < leads.len() || !running.is_empty() {
            // At most one batch a thread is under way for one call, so that a long import does not fill the queue.
            let most = if large { self.0.config.threads.saturating_sub(1).max(1) } else { 1 };
            while next < leads.len() && running.len() < most {
                let range = next..(next + size).min(leads.len());
                next = range.end;
                let (inner, rule, settings) = (self.0.clone(), rule.clone(), settings.clone());
                let (leads, own) = (leads.clone(), range.clone());
                // The semaphore is never closed.
                let turn = match large {
                    true => self.0.bulk.acquire().await.ok(),
                    false => None,
                };
                let answer = self.0.pool.submit(move || {
                    let leads = &leads[own];
                    inner.batch(&rule, &settings, context).judge(leads, leads.len())
                });
                running.push_back((range, answer, turn));
            }
            if let Some((range, answer, _turn)) = running.pop_front() {
                judged.extend(match answer.await {
                    Ok(answers) => answers,
                    Err(_) => self.0.batch(rule, settings, context).unjudged(&leads[range], Unasked::Broken),
                });
            }
        }
        judged
    }

    /// Judges leads on the calling thread, for long work that brings threads of its own: it takes no turn and no place in the
    /// queue from leads that come in now. At most `beside` threads may; one more is answered with BUSY.
    pub fn judge_here(
        &self,
        rule: &Rule,
        settings: &Settings,
        context: Context,
        leads: &[Arc<Snapshot>],
    ) -> Vec<Judged> {
        let Inner { engine, patient, beside, config, .. } = &*self.0;
        let batch = Batch { sandbox: Sandbox { engine, limits: patient }, rule, settings, context };
        let Ok(_permit) = beside.try_acquire() else { return batch.unjudged(leads, Unasked::Busy) };
        leads.chunks(config.limits.batch).flat_map(|leads| batch.judge(leads, leads.len())).collect()
    }

    /// Judges one lead again as it was judged in a batch of `batch_size`: under the same cap.
    pub async fn replay(
        &self,
        rule: &Rule,
        settings: &Settings,
        context: Context,
        lead: Arc<Snapshot>,
        batch_size: u32,
    ) -> Judged {
        let (inner, own, with, again) = (self.0.clone(), rule.clone(), settings.clone(), lead.clone());
        let size = (batch_size as usize).clamp(1, self.0.config.limits.batch);
        let job = move || inner.batch(&own, &with, context).judge(std::slice::from_ref(&again), size);
        let answers = self.0.pool.submit(job).await;
        let unjudged =
            || self.0.batch(rule, settings, context).unjudged(std::slice::from_ref(&lead), Unasked::Broken);
        // Both sides answer exactly one lead.
        answers.unwrap_or_else(|_| unjudged()).remove(0)
    }

    /// Routes one lead; its snapshot holds the pool.
    pub async fn assign(
        &self,
        rule: &Rule,
        settings: &Settings,
        context: Context,
        lead: Arc<Snapshot>,
    ) -> Routed {
        let Ok(_permit) = self.0.admission.try_acquire() else {
            return self.0.batch(rule, settings, context).unrouted(&lead, Unasked::Busy);
        };
        let (inner, own, with, routed) = (self.0.clone(), rule.clone(), settings.clone(), lead.clone());
        let answer = self.0.pool.submit(move || inner.batch(&own, &with, context).route(&routed)).await;
        answer.unwrap_or_else(|_| self.0.batch(rule, settings, context).unrouted(&lead, Unasked::Broken))
    }

    /// Runs cases against a plugin and compares what they expect.
    pub async fn run_cases(
        &self,
        plugin: &Arc<Plugin>,
        cases: &[Case],
        traits: &TraitKinds,
    ) -> Vec<CaseResult> {
        let mut results = Vec::new();
        for case in cases {
            let (inner, plugin, own, traits) = (self.0.clone(), plugin.clone(), case.clone(), traits.clone());
            let job = move || cases::run(inner.sandbox(), &plugin, &own, &traits);
            let answer = self.0.pool.submit(job).await;
            results.push(answer.unwrap_or_else(|_| CaseResult::broken(case)));
        }
        results
    }

    async fn check_cases(&self, plugin: &Arc<Plugin>, cases: &[Case], traits: &TraitKinds) -> Check {
        if cases.is_empty() {
            let mut check = Check::of("cases", Ok("no cases: a version without them cannot go LIVE".into()));
            check.code = Some(Code::NoCases);
            return check;
        }
        let results = self.run_cases(plugin, cases, traits).await;
        for result in &results {
            if let Some(problem) = result.problems.first() {
                return Check::of(
                    "cases",
                    Err((problem.code, format!("{}: {}", result.name, problem.message))),
                );
            }
        }
        let leads: usize = cases.iter().map(|case| case.leads.len()).sum();
        let fuel: Vec<u64> = results.iter().flat_map(|result| &result.fuel).copied().collect();
        let (each, most) =
            (fuel.iter().sum::<u64>() / leads.max(1) as u64, fuel.iter().max().copied().unwrap_or(0));
        let judged = "run twice, singly and reversed with equal results";
        let count = cases.len();
        Check::of(
            "cases",
            Ok(format!("{count} cases with {leads} leads, {judged}; {each} fuel a lead, at most {most}")),
        )
    }

    /// Inspects and compiles, and notes each check. Answers nothing when one of them failed.
    async fn compiled(&self, digest: Digest, wasm: &[u8], report: &mut CheckReport) -> Option<Component> {
        let (limits, bytes) = (self.0.config.limits.clone(), wasm.to_vec());
        let inspected = tokio::task::spawn_blocking(move || {
            let mut checks = Vec::new();
            (inspect::inspect(&bytes, &limits, &mut checks), checks)
        });
        let (kind, checks) = inspected.await.unwrap_or_else(|error| {
            (
                None,
                vec![Check::of(
                    "valid",
                    Err((Code::PluginMalformed, format!("the validator failed: {error}"))),
                )],
            )
        });
        report.checks.extend(checks);
        report.kind = Some(kind?);

        let _one_at_a_time = self.0.compiling.lock().await;
        let known = match self.remembered(digest) {
            Some(plugin) => Some(plugin.component()),
            None => self.cached(digest).await,
        };
        if let Some(component) = known {
            report.checks.push(Check::of("compile", Ok("compiled before".into())));
            return Some(component);
        }
        let compiled = compile::compile(&self.0.config.compiler, &self.0.engine, wasm).await;
        let inner = self.0.clone();
        let stored = match compiled {
            Ok(compiled) => tokio::task::spawn_blocking(move || {
                let size = compiled.len();
                let component = inner.cache.put(&inner.engine, digest, &compiled);
                component
                    .map(|component| (component, size))
                    .map_err(|error| (Code::PluginMalformed, format!("{error:#}")))
            })
            .await
            .unwrap_or_else(|error| Err((Code::PluginMalformed, format!("loading failed: {error}")))),
            Err(refused) => Err(refused),
        };
        match stored {
            Ok((component, size)) => {
                report.checks.push(Check::of("compile", Ok(format!("{size} bytes of machine code"))));
                Some(component)
            }
            Err(refused) => {
                report.checks.push(Check::of("compile", Err(refused)));
                None
            }
        }
    }

    async fn cached(&self, digest: Digest) -> Option<Component> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || inner.cache.get(&inner.engine, digest)).await.ok().flatten()
    }

    async fn open(
        &self,
        digest: Digest,
        component: Component,
    ) -> Result<Plugin, (&'static str, Code, String)> {
        let inner = self.0.clone();
        let job = move || Plugin::open(inner.sandbox(), digest, &component);
        let broken = |_| {
            Err((
                "describe",
                Code::PluginTrapped,
                "the host failed while it asked for the description".into(),
            ))
        };
        self.0.pool.submit(job).await.unwrap_or_else(broken)
    }

    fn remembered(&self, digest: Digest) -> Option<Arc<Plugin>> {
        let loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().find(|plugin| plugin.digest == digest).cloned()
    }

    fn remember(&self, plugin: &Arc<Plugin>) {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|known| known.digest != plugin.digest);
        loaded.push(plugin.clone());
        if loaded.len() > LOADED {
            loaded.remove(0);
        }
    }
}

impl Inner {
    fn sandbox(&self) -> Sandbox<'_> {
        Sandbox { engine: &self.engine, limits: &self.config.limits }
    }

    fn batch<'a>(&'a self, rule: &'a Rule, settings: &'a Settings, context: Context) -> Batch<'a> {
        Batch { sandbox: self.sandbox(), rule, settings, context }
    }
}
