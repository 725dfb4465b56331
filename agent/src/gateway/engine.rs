//! What the gateway knows of the engine behind it.

use super::version::{ApiVersion, NEWEST, OLDEST};
use crate::{
    backend::{self, Answer, BackendError, Endpoint},
    chain,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

/// How long the engine may take to say what it is.
const LEARN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to learn what an engine is that does not answer.
const LEARN_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of `/version` at most.
const VERSION_BYTES_MAX: usize = 1 << 20;

pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const BUILDER_VERSION: HeaderName = HeaderName::from_static("builder-version");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
const OS_TYPE: HeaderName = HeaderName::from_static("ostype");

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// The newest API version it speaks that the gateway speaks too.
    pub newest: ApiVersion,
    /// The oldest one.
    pub oldest: ApiVersion,
    /// Its `Server` header.
    server: HeaderValue,
    /// Headers it answers a ping with, of those that clients look at.
    ping: Vec<(HeaderName, HeaderValue)>,
}

impl Default for EngineFacts {
    /// What is answered while no engine has ever answered us.
    fn default() -> Self {
        Self {
            newest: NEWEST,
            oldest: OLDEST,
            server: HeaderValue::from_static(concat!("Swarm/", env!("CARGO_PKG_VERSION"), " (linux)")),
            ping: vec![(EXPERIMENTAL, HeaderValue::from_static("false")), (OS_TYPE, HeaderValue::from_static("linux"))],
        }
    }
}

impl EngineFacts {
    fn from_answers(ping: &HeaderMap, version: &Bytes) -> Self {
        let version: serde_json::Value = serde_json::from_slice(version).unwrap_or_default();
        let field = |name: &str| version.get(name).and_then(serde_json::Value::as_str).and_then(ApiVersion::parse);
        let from_ping = || ping.get(API_VERSION).and_then(|value| value.to_str().ok()).and_then(ApiVersion::parse);
        let newest = field("ApiVersion").or_else(from_ping).unwrap_or(OLDEST).min(NEWEST);
        let kept = [EXPERIMENTAL, OS_TYPE, BUILDER_VERSION];
        Self {
            newest,
            oldest: field("MinAPIVersion").unwrap_or(OLDEST).min(newest),
            server: ping.get(header::SERVER).cloned().unwrap_or_else(|| Self::default().server),
            ping: kept.into_iter().filter_map(|name| Some((name.clone(), ping.get(&name)?.clone()))).collect(),
        }
    }

    /// Adds the headers that every answer has, where the answer has none of its own.
    pub(crate) fn complete(&self, headers: &mut HeaderMap) {
        let version = HeaderValue::try_from(self.newest.to_string()).expect("digits and a dot are a header value");
        headers.entry(API_VERSION).or_insert(version);
        headers.entry(header::SERVER).or_insert_with(|| self.server.clone());
        for (name, value) in self.ping.iter().filter(|(name, _)| *name != BUILDER_VERSION) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// The builder that the engine prefers, for answers to a ping.
    pub(crate) fn builder(&self) -> Option<(HeaderName, HeaderValue)> {
        self.ping.iter().find(|(name, _)| *name == BUILDER_VERSION).cloned()
    }
}

/// The engine behind the gateway. Its facts are learned on the first need and forgotten when it goes away, which an idle
/// connection tells at once: another version may come back.
#[derive(Debug)]
pub struct Engine {
    endpoint: Endpoint,
    known: RwLock<Known>,
    learning: Mutex<()>,
    /// Counts the times that the engine went away.
    gone: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// What holds for the engine that runs.
    current: Option<Current>,
    /// What held for the last one.
    last: Arc<EngineFacts>,
    /// Tells one acquaintance from the next.
    epoch: u64,
}

#[derive(Debug)]
struct Current {
    facts: Arc<EngineFacts>,
    /// Idles until the engine goes away; its end is how we hear of that.
    _idle: http1::SendRequest<Full<Bytes>>,
}

impl Engine {
    /// The engine at this address. Nothing is asked yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self { endpoint, known: RwLock::default(), learning: Mutex::default(), gone: watch::Sender::new(0) })
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Changes each time the engine went away.
    #[must_use]
    pub fn gone(&self) -> watch::Receiver<u64> {
        self.gone.subscribe()
    }

    /// What it says of itself, or said last.
    pub(crate) fn last_facts(&self) -> Arc<EngineFacts> {
        let known = self.read();
        Arc::clone(known.current.as_ref().map_or(&known.last, |current| &current.facts))
    }

    /// What it says of itself, asked if need be.
    pub(crate) async fn facts(self: &Arc<Self>) -> Result<Arc<EngineFacts>, BackendError> {
        if let Some(facts) = self.current() {
            return Ok(facts);
        }
        let _one_at_a_time = self.learning.lock().await;
        if let Some(facts) = self.current() {
            return Ok(facts);
        }
        let late = |_| BackendError::Timeout { endpoint: self.endpoint.clone(), after: LEARN_TIMEOUT };
        let facts = timeout(LEARN_TIMEOUT, self.learn()).await.map_err(late)??;
        tracing::info!(endpoint = %self.endpoint, api = %facts.newest, "the engine answers");
        Ok(facts)
    }

    /// Keeps the facts known, so that also answers which do not need the engine carry its version. Runs until dropped.
    pub async fn keep_known(self: Arc<Self>) {
        let mut gone = self.gone();
        loop {
            gone.borrow_and_update();
            match self.facts().await {
                Ok(_) => {
                    if gone.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "the engine does not answer yet");
                    sleep(LEARN_PAUSE).await;
                }
            }
        }
    }

    fn current(&self) -> Option<Arc<EngineFacts>> {
        self.read().current.as_ref().map(|current| Arc::clone(&current.facts))
    }

    async fn learn(self: &Arc<Self>) -> Result<Arc<EngineFacts>, BackendError> {
        let epoch = {
            let mut known = self.write();
            known.epoch += 1;
            known.epoch
        };
        let engine = Arc::downgrade(self);
        let forget = move || {
            if let Some(engine) = engine.upgrade() {
                engine.forget(epoch);
            }
        };
        let mut sender = backend::open::<Full<Bytes>>(&self.endpoint, forget).await?;
        let ping = self.ask(&mut sender, "/_ping").await?;
        let version = self.ask(&mut sender, "/version").await?;
        let facts = Arc::new(EngineFacts::from_answers(&ping.headers, &version.body));
        let is_closed = sender.is_closed();
        {
            let mut known = self.write();
            known.last = Arc::clone(&facts);
            known.current = Some(Current { facts: Arc::clone(&facts), _idle: sender });
        }
        if is_closed {
            // Its end was noticed before there was anything to forget.
            self.forget(epoch);
        }
        Ok(facts)
    }

    async fn ask(&self, sender: &mut http1::SendRequest<Full<Bytes>>, path: &str) -> Result<Answer, BackendError> {
        let broken = |source| BackendError::Broken { endpoint: self.endpoint.clone(), source };
        let request = Request::builder().method(Method::GET).uri(path).header(header::HOST, "docker");
        let request = request.body(Full::default()).expect("the paths are constants");
        sender.ready().await.map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        backend::collect(&self.endpoint, response, VERSION_BYTES_MAX).await
    }

    /// Forgets what holds for an engine that went away, unless another one was met since.
    fn forget(&self, epoch: u64) {
        let had = {
            let mut known = self.write();
            if known.epoch == epoch { known.current.take() } else { None }
        };
        if had.is_some() {
            tracing::info!(endpoint = %self.endpoint, "the engine went away");
            self.gone.send_modify(|count| *count += 1);
        }
    }

    /// Looks at an answer's headers: another engine may be speaking.
    pub(crate) fn notice(&self, headers: &HeaderMap) {
        let Some(server) = headers.get(header::SERVER) else {
            return;
        };
        if self.current().is_some_and(|facts| facts.server != *server) {
            let epoch = self.read().epoch;
            self.forget(epoch);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        // A poisoned lock still holds whole facts: they are replaced in single assignments.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
