//! The cluster object.

use super::{
    ApiError, Context,
    commit::{Decision, commit},
    later::{AUTOLOCK, EXTERNAL_CA, ROTATE_CA, ROTATE_UNLOCK_KEY},
    request::Call,
    status::{empty, json},
};
use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use swarm_pki::{JoinToken, RootBundle};
use swarm_state::{Change, Cluster, Object, State};
use swarm_types::{
    Actor, CaConfig, Swarm, SwarmSpec,
    validate::{check_swarm, complete_swarm},
};

/// The cluster, without which nothing else is there.
///
/// # Errors
/// [`ApiError::NotReady`] before this manager has the cluster's state.
pub(super) fn required(state: &State) -> Result<&Arc<Cluster>, ApiError> {
    state.cluster().ok_or(ApiError::NotReady)
}

/// The cluster as it may be shown. Join tokens are shown to operators only.
pub(super) fn shown(cluster: &Cluster, tokens: bool) -> Swarm {
    let mut swarm = cluster.api.clone();
    // Sent back with an update, these would start a rotation.
    swarm.spec.ca_config.signing_ca_cert.clear();
    swarm.spec.ca_config.signing_ca_key.clear();
    if !tokens {
        swarm.join_tokens = None;
    }
    swarm
}

/// `GET /swarm`
pub(super) fn inspect(state: &State) -> Result<Response<Body>, ApiError> {
    json(StatusCode::OK, &shown(required(state)?, true))
}

/// `GET /swarm/unlockkey`: managers are never locked, so there is no key.
pub(super) fn unlock_key(state: &State) -> Result<Response<Body>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct UnlockKey {
        unlock_key: String,
    }
    required(state)?;
    json(StatusCode::OK, &UnlockKey { unlock_key: String::new() })
}

/// `POST /swarm/update`
pub(super) async fn update(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let spec: SwarmSpec = call.json()?;
    let version = call.query.version("swarm")?;
    let rotate_worker = call.query.flag("rotateWorkerToken")?.unwrap_or(false);
    let rotate_manager = call.query.flag("rotateManagerToken")?.unwrap_or(false);
    if call.query.flag("rotateManagerUnlockKey")?.unwrap_or(false) {
        return Err(ROTATE_UNLOCK_KEY.into());
    }
    if spec.encryption_config.auto_lock_managers {
        return Err(AUTOLOCK.into());
    }
    let spec = complete_swarm(spec);
    check_swarm(&spec)?;
    let decide = |state: &State| {
        let cluster = required(state)?;
        check_ca(&cluster.api.spec.ca_config, &spec.ca_config)?;
        if version != cluster.api.version {
            return Err(ApiError::OutOfSequence);
        }
        let mut updated = (**cluster).clone();
        updated.api.spec = spec.clone();
        updated.api.updated_at = Context::now();
        rotate_tokens(&mut updated.api, rotate_worker, rotate_manager)?;
        let changes = vec![Change::update(Object::Cluster(Arc::new(updated)))];
        Ok(Decision { by: Actor::Operator, guards: Vec::new(), changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::OK))
}

/// Refuses what would change who signs.
fn check_ca(current: &CaConfig, wanted: &CaConfig) -> Result<(), ApiError> {
    if !wanted.external_cas.is_empty() {
        return Err(EXTERNAL_CA.into());
    }
    let new_root = !wanted.signing_ca_cert.is_empty() || !wanted.signing_ca_key.is_empty();
    if new_root || wanted.force_rotate != current.force_rotate {
        return Err(ROTATE_CA.into());
    }
    Ok(())
}

fn rotate_tokens(swarm: &mut Swarm, worker: bool, manager: bool) -> Result<(), ApiError> {
    if !worker && !manager {
        return Ok(());
    }
    let roots = RootBundle::from_pem(&swarm.tls_info.trust_root).map_err(|error| {
        tracing::error!(error = crate::chain(&error), "the cluster's root certificate cannot be read");
        ApiError::RootCa
    })?;
    let token = || JoinToken::new(roots.digest(), rand::random()).to_string();
    let tokens = swarm.join_tokens.get_or_insert_default();
    if worker {
        tokens.worker = token();
    }
    if manager {
        tokens.manager = token();
    }
    Ok(())
}
