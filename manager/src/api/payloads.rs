//! Secrets and configs: listed, shown, created, labelled and removed. The bytes of a secret never leave by here.

use super::{
    ApiError, Context,
    commit::{Decision, commit},
    filters::Filters,
    later::SECRET_DRIVER,
    request::Call,
    resolve,
    status::{empty, json},
    swarm,
};
use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;
use std::{fmt, sync::Arc};
use swarm_state::{Change, Guard, Object, State, Table};
use swarm_types::{
    Actor, Config, ConfigId, ContainerSpec, Payload, PayloadObject, PayloadSpec, Secret, SecretId, Version, validate::check_payload,
};

/// What secrets and configs do not have in common. The type is that of their ids.
pub(super) trait Kind: Copy + Eq + Serialize + fmt::Display + 'static {
    /// In texts.
    const WORD: &'static str;
    /// The first number of bytes that is too large.
    const BYTES_END: usize;
    /// The filters of the list.
    const FILTERS: &'static [&'static str];

    fn parse(text: &str) -> Option<Self>;
    fn random() -> Self;
    fn get(state: &State, id: Self) -> Option<&Arc<PayloadObject<Self>>>;
    fn named<'a>(state: &'a State, name: &str) -> Option<&'a Arc<PayloadObject<Self>>>;
    fn all(state: &State) -> impl Iterator<Item = &Arc<PayloadObject<Self>>>;
    fn stored(object: Arc<PayloadObject<Self>>) -> Object;
    /// As the API shows it.
    fn shown(object: &Arc<PayloadObject<Self>>) -> Arc<PayloadObject<Self>>;
    /// Refuses what this kind does not have.
    fn checked(spec: PayloadSpec) -> Result<PayloadSpec, ApiError>;
    /// Whether a container gets the object.
    fn is_used(self, container: &ContainerSpec) -> bool;
}

impl Kind for SecretId {
    const WORD: &'static str = "secret";
    const BYTES_END: usize = 512_000;
    const FILTERS: &'static [&'static str] = &["id", "label", "name", "names"];

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn random() -> Self {
        Self::from_random(rand::random())
    }

    fn get(state: &State, id: Self) -> Option<&Arc<Secret>> {
        state.secret(id)
    }

    fn named<'a>(state: &'a State, name: &str) -> Option<&'a Arc<Secret>> {
        state.secret_named(name)
    }

    fn all(state: &State) -> impl Iterator<Item = &Arc<Secret>> {
        state.secrets()
    }

    fn stored(object: Arc<Secret>) -> Object {
        Object::Secret(object)
    }

    fn shown(object: &Arc<Secret>) -> Arc<Secret> {
        let PayloadSpec { name, labels, data: _, driver, templating } = &object.spec;
        let spec = PayloadSpec {
            name: name.clone(),
            labels: labels.clone(),
            data: Payload::default(),
            driver: driver.clone(),
            templating: templating.clone(),
        };
        Arc::new(Secret { spec, id: object.id, version: object.version, created_at: object.created_at, updated_at: object.updated_at })
    }

    fn checked(spec: PayloadSpec) -> Result<PayloadSpec, ApiError> {
        if spec.driver.is_some() { Err(SECRET_DRIVER.into()) } else { Ok(spec) }
    }

    fn is_used(self, container: &ContainerSpec) -> bool {
        container.secrets.iter().any(|reference| reference.secret_id == self.as_str())
    }
}

impl Kind for ConfigId {
    const WORD: &'static str = "config";
    const BYTES_END: usize = 1_024_000;
    const FILTERS: &'static [&'static str] = &["id", "label", "name"];

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn random() -> Self {
        Self::from_random(rand::random())
    }

    fn get(state: &State, id: Self) -> Option<&Arc<Config>> {
        state.config(id)
    }

    fn named<'a>(state: &'a State, name: &str) -> Option<&'a Arc<Config>> {
        state.config_named(name)
    }

    fn all(state: &State) -> impl Iterator<Item = &Arc<Config>> {
        state.configs()
    }

    fn stored(object: Arc<Config>) -> Object {
        Object::Config(object)
    }

    fn shown(object: &Arc<Config>) -> Arc<Config> {
        Arc::clone(object)
    }

    fn checked(spec: PayloadSpec) -> Result<PayloadSpec, ApiError> {
        // Docker's configs have no such field, and fields that are unknown are skipped.
        Ok(PayloadSpec { driver: None, ..spec })
    }

    fn is_used(self, container: &ContainerSpec) -> bool {
        container.configs.iter().any(|reference| reference.config_id == self.as_str())
    }
}

/// `GET /secrets`, `GET /configs`
pub(super) fn list<K: Kind>(state: &State, call: &Call) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let filters = Filters::parse(call.query.get("filters"), K::FILTERS)?;
    let fits = |object: &PayloadObject<K>| {
        filters.begins("id", &object.id.to_string())
            && filters.begins("name", &object.spec.name)
            && filters.is("names", &object.spec.name)
            && filters.labelled("label", &object.spec.labels)
    };
    let objects: Vec<Arc<PayloadObject<K>>> = K::all(state).filter(|o| fits(o)).map(K::shown).collect();
    json(StatusCode::OK, &objects)
}

/// `GET /secrets/{id}`, `GET /configs/{id}`
pub(super) fn inspect<K: Kind>(state: &State, input: &str) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    json(StatusCode::OK, &K::shown(resolve::payload(state, input)?))
}

#[derive(Serialize)]
struct Created<K> {
    #[serde(rename = "ID")]
    id: K,
}

/// `POST /secrets/create`, `POST /configs/create`
pub(super) async fn create<K: Kind>(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let spec = K::checked(call.json::<PayloadSpec>()?)?;
    check_payload(&spec, K::WORD, K::BYTES_END)?;
    let now = Context::now();
    let object = Arc::new(PayloadObject { id: K::random(), version: Version::default(), created_at: now, updated_at: now, spec });
    let decide = |state: &State| {
        swarm::required(state)?;
        if K::named(state, &object.spec.name).is_some() {
            return Err(ApiError::PayloadExists { kind: K::WORD, name: object.spec.name.clone() });
        }
        let changes = vec![Change::create(K::stored(Arc::clone(&object)))];
        Ok(Decision { by: Actor::Operator, guards: Vec::new(), changes, answer: object.id })
    };
    let id = commit(&context.store, decide).await?;
    json(StatusCode::CREATED, &Created { id })
}

/// `POST /secrets/{id}/update`, `POST /configs/{id}/update`: labels and nothing else.
pub(super) async fn update<K: Kind>(context: &Context, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    let spec: PayloadSpec = call.json()?;
    let version = call.query.version(K::WORD).map_err(|_| ApiError::PayloadVersion(K::WORD))?;
    let decide = |state: &State| {
        swarm::required(state)?;
        let object: &Arc<PayloadObject<K>> = resolve::payload(state, input)?;
        // Clients send back what they read, and of a secret they read no bytes.
        if spec.name != object.spec.name || (!spec.data.is_empty() && spec.data != object.spec.data) {
            return Err(ApiError::OnlyLabels);
        }
        if version != object.version {
            return Err(ApiError::OutOfSequence);
        }
        let mut updated = (**object).clone();
        updated.spec.labels.clone_from(&spec.labels);
        updated.updated_at = Context::now();
        let changes = vec![Change::update(K::stored(Arc::new(updated)))];
        Ok(Decision { by: Actor::Operator, guards: Vec::new(), changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::OK))
}

/// `DELETE /secrets/{id}`, `DELETE /configs/{id}`
pub(super) async fn remove<K: Kind>(context: &Context, input: &str) -> Result<Response<Body>, ApiError> {
    let decide = |state: &State| {
        swarm::required(state)?;
        let object: &Arc<PayloadObject<K>> = resolve::payload(state, input)?;
        let services = users(state, object.id);
        if !services.is_empty() {
            return Err(ApiError::PayloadInUse { kind: K::WORD, name: object.spec.name.clone(), services });
        }
        // A service that comes to use it meanwhile makes this be decided anew.
        let guards = vec![Guard::Unchanged(Table::Services, state.changed(Table::Services))];
        let changes = vec![Change::delete(&K::stored(Arc::clone(object)))];
        Ok(Decision { by: Actor::Operator, guards, changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Checks that the secrets and configs of a container exist under the names they are given, and gives what the answer relies on.
pub(super) fn check_stored(state: &State, container: Option<&ContainerSpec>) -> Result<Vec<Guard>, ApiError> {
    let Some(container) = container else { return Ok(Vec::new()) };
    let secrets = container.secrets.iter().map(|r| (r.secret_id.as_str(), r.secret_name.as_str()));
    let configs = container.configs.iter().map(|r| (r.config_id.as_str(), r.config_name.as_str()));
    let mut guards = stored::<SecretId>(state, secrets)?;
    guards.extend(stored::<ConfigId>(state, configs)?);
    Ok(guards)
}

fn stored<'a, K: Kind>(state: &State, references: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<Guard>, ApiError> {
    let (mut guards, mut names) = (Vec::new(), Vec::new());
    for (id, name) in references {
        let found = K::parse(id).and_then(|id| K::get(state, id)).filter(|object| object.spec.name == name);
        match found {
            Some(object) => guards.push(Guard::At(K::stored(Arc::clone(object)).key(), object.version)),
            None => names.push(name.to_owned()),
        }
    }
    if names.is_empty() { Ok(guards) } else { Err(ApiError::PayloadsMissing { kind: K::WORD, names }) }
}

/// Names of the services whose tasks get the object.
fn users<K: Kind>(state: &State, id: K) -> Vec<String> {
    let uses = |container: &ContainerSpec| id.is_used(container);
    let services = state.services().filter(|s| s.current.spec.task_template.container_spec.as_ref().is_some_and(uses));
    services.map(|s| s.current.spec.name.clone()).collect()
}
