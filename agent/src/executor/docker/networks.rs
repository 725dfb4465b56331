//! The engine's networks behind which cluster networks are: made when the first task of the node needs one, by our driver.
//!
//! The engine manages no addresses on them (the driver `null`): they are decided with the tasks, several agents may have one
//! network on one engine, and no subnet of the engine's own is in the way.

use super::{
    DockerExecutor,
    create_body::Places,
    link::{ApiVersion, Engine, status_of},
};
use crate::{
    executor::{Attachment, ContainerOrder, ExecutorError, Step},
    network::{EngineNetworks, OPTION_ADDRESS, OPTION_NETWORK, Observed, RESOLV_CONF, ShadowNetwork, resolver},
};
use bollard::{
    models::{
        ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, Ipam, Network, NetworkConnectRequest, NetworkCreateRequest,
    },
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
};
use swarm_types::NetworkId;

/// Engines from this version on take all networks of a container when it is made; older ones take one.
const ALL_AT_ONCE: ApiVersion = ApiVersion(1, 44);
/// Names the engine's own kind of network in its list.
const LABEL: &str = "com.docker.swarm.network";

impl DockerExecutor {
    /// Makes sure of everything that an order's container needs for being on cluster networks.
    pub(super) async fn ensure_places(&self, engine: &Engine, order: &ContainerOrder) -> Result<Places, ExecutorError> {
        let names = self.ensure_networks(engine, order).await?;
        let Some(first) = order.attachments.first() else { return Ok(Places::default()) };
        // Without the file there is nothing that it adds.
        let host_file = tokio::fs::read_to_string(RESOLV_CONF).await.unwrap_or_default();
        let resolver = resolver(&order.spec, first.gateway.into(), &host_file);
        let resolv_conf = match &resolver.file {
            Some(content) => Some(self.ensure_resolv_conf(content).await?),
            None => None,
        };
        Ok(Places { names, resolver: Some(resolver), resolv_conf })
    }

    /// A file with this content. Containers with the same content share one, so there are few, and they stay.
    async fn ensure_resolv_conf(&self, content: &str) -> Result<PathBuf, ExecutorError> {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let path = self.resolver_dir.join(format!("{:016x}-{}", hasher.finish(), content.len()));
        if tokio::fs::read_to_string(&path).await.is_ok_and(|present| present == content) {
            return Ok(path);
        }
        let aside = path.with_extension("new");
        let written = async {
            tokio::fs::create_dir_all(&self.resolver_dir).await?;
            tokio::fs::write(&aside, content).await?;
            tokio::fs::rename(&aside, &path).await
        };
        let failed =
            |source| ExecutorError::Unready { what: format!("could not write {}", path.display()), source: Some(Box::new(source)) };
        written.await.map_err(failed)?;
        Ok(path)
    }

    /// Makes sure of the engine's networks for an order; their names, in the order of its attachments.
    async fn ensure_networks(&self, engine: &Engine, order: &ContainerOrder) -> Result<Vec<String>, ExecutorError> {
        let mut names = Vec::new();
        if order.attachments.is_empty() {
            return Ok(names);
        }
        // One at a time: the engine would make two of a name.
        let _making = self.making_networks.lock().await;
        let present = self.list_networks(engine).await?;
        for attachment in &order.attachments {
            let ours = present.iter().find(|network| self.shadow(network).is_some_and(|s| s.network == Some(attachment.network)));
            names.push(match ours.and_then(|network| network.name.clone()) {
                Some(name) => name,
                None => self.make_network(engine, attachment, &present).await?,
            });
        }
        Ok(names)
    }

    async fn make_network(&self, engine: &Engine, attachment: &Attachment, present: &[Network]) -> Result<String, ExecutorError> {
        let is_taken = present.iter().any(|network| network.name.as_deref() == Some(&attachment.name));
        // Somebody else's of that name stays what it is: a network of the engine, or of another agent beside us.
        let name = if is_taken { format!("{}.{}", attachment.name, self.driver) } else { attachment.name.clone() };
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some(self.driver.clone()),
            internal: Some(attachment.internal),
            ipam: Some(Ipam { driver: Some("null".to_owned()), ..Ipam::default() }),
            options: Some(HashMap::from([(OPTION_NETWORK.to_owned(), attachment.network.to_string())])),
            labels: Some(HashMap::from([(LABEL.to_owned(), attachment.network.to_string())])),
            ..NetworkCreateRequest::default()
        };
        match engine.docker().create_network(request).await {
            Ok(_) => Ok(name),
            Err(error) => Err(self.link.judge(engine, error)),
        }
    }

    /// Connects a container with the networks that it was not made with, if it never ran.
    pub(super) async fn connect_rest(
        &self,
        engine: &Engine,
        order: &ContainerOrder,
        names: &[String],
        present: &ContainerInspectResponse,
    ) -> Result<(), ExecutorError> {
        let state = present.state.as_ref().and_then(|state| state.status);
        if state != Some(ContainerStateStatusEnum::CREATED) {
            return Ok(());
        }
        let settings = present.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let id = present.id.clone().unwrap_or_default();
        for (attachment, name) in order.attachments.iter().zip(names) {
            if settings.is_some_and(|networks| networks.contains_key(name)) {
                continue;
            }
            let request = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(endpoint(attachment)) };
            match engine.docker().connect_network(name, request).await {
                Ok(()) => {}
                Err(error) => return Err(self.link.judge(engine, error)),
            }
        }
        Ok(())
    }

    async fn list_networks(&self, engine: &Engine) -> Result<Vec<Network>, ExecutorError> {
        engine.docker().list_networks(None::<ListNetworksOptions>).await.map_err(|error| self.link.judge(engine, error))
    }

    /// The network as one of ours, if it is.
    fn shadow(&self, network: &Network) -> Option<ShadowNetwork> {
        if network.driver.as_ref() != Some(&self.driver) {
            return None;
        }
        let option = network.options.as_ref().and_then(|options| options.get(OPTION_NETWORK));
        Some(ShadowNetwork { id: network.id.clone()?, network: option.and_then(|id| NetworkId::parse(id).ok()) })
    }
}

impl EngineNetworks for DockerExecutor {
    fn observe(&self) -> Step<'_, Observed> {
        Box::pin(async {
            let engine = self.link.engine().await?;
            let networks: Vec<_> = self.list_networks(&engine).await?.iter().filter_map(|network| self.shadow(network)).collect();
            if networks.is_empty() {
                return Ok(Observed::default());
            }
            let options = ListContainersOptionsBuilder::new().all(true).build();
            let containers = engine.docker().list_containers(Some(options)).await.map_err(|error| self.link.judge(&engine, error))?;
            let settings = containers.into_iter().filter_map(|container| container.network_settings?.networks).flatten();
            let on_ours = settings.filter(|(_, endpoint)| networks.iter().any(|n| endpoint.network_id.as_ref() == Some(&n.id)));
            let endpoints = on_ours.filter_map(|(_, endpoint)| endpoint.endpoint_id).collect();
            Ok(Observed { networks, endpoints })
        })
    }

    fn remove_network<'a>(&'a self, id: &'a str) -> Step<'a, ()> {
        Box::pin(async move {
            let engine = self.link.engine().await?;
            // Not while one is being made: it may be about to be found.
            let _making = self.making_networks.lock().await;
            match engine.docker().remove_network(id).await {
                Err(error) if status_of(&error) != Some(404) => Err(self.link.judge(&engine, error)),
                _ => Ok(()),
            }
        })
    }
}

/// The attachments that the engine takes when it makes the container.
pub(super) fn at_once(order: &ContainerOrder, api: ApiVersion) -> &[Attachment] {
    let count = if api < ALL_AT_ONCE { 1 } else { order.attachments.len() };
    &order.attachments[..count.min(order.attachments.len())]
}

/// A container's place on a network, for our driver. Names are not for the engine: it would answer them itself.
pub(super) fn endpoint(attachment: &Attachment) -> EndpointSettings {
    let own = [(OPTION_ADDRESS.to_owned(), attachment.address.to_string())];
    let options = attachment.driver_opts.iter().map(|(key, value)| (key.clone(), value.clone())).chain(own);
    EndpointSettings { driver_opts: Some(options.collect()), ..EndpointSettings::default() }
}
