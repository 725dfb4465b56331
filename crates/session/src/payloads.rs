//! The agent's side of secrets and configs. They are held in memory only: what a restarted agent needs comes again with the
//! complete set that every session begins with.

use crate::PayloadOrders;
use std::{collections::BTreeMap, sync::Arc};
use swarm_types::{Config, ConfigId, Secret, SecretId};

/// The secrets and configs that a node's tasks need, as far as they have arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeldPayloads {
    /// Secrets by id.
    pub secrets: BTreeMap<SecretId, Arc<Secret>>,
    /// Configs by id.
    pub configs: BTreeMap<ConfigId, Arc<Config>>,
}

impl HeldPayloads {
    /// Takes orders; those of a complete set replace everything. Tells whether anything changed.
    pub fn apply(&mut self, complete: bool, orders: PayloadOrders) -> bool {
        let before = self.clone();
        if complete {
            *self = Self::default();
        }
        for id in &orders.secrets_removed {
            self.secrets.remove(id);
        }
        for id in &orders.configs_removed {
            self.configs.remove(id);
        }
        self.secrets.extend(orders.secrets.into_iter().map(|secret| (secret.id, secret)));
        self.configs.extend(orders.configs.into_iter().map(|config| (config.id, config)));
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{PayloadObject, PayloadSpec, Timestamp, Version};

    fn secret(n: u8) -> Arc<Secret> {
        let (created_at, updated_at) = (Timestamp::default(), Timestamp::default());
        let spec = PayloadSpec { data: vec![n].into(), ..PayloadSpec::default() };
        Arc::new(PayloadObject { id: SecretId::from_random([n; 16]), version: Version::default(), created_at, updated_at, spec })
    }

    #[test]
    fn payloads_come_and_go_as_ordered() {
        let mut held = HeldPayloads::default();
        assert!(held.apply(true, PayloadOrders { secrets: vec![secret(1), secret(2)], ..PayloadOrders::default() }));
        assert!(!held.apply(false, PayloadOrders::default()));
        let change = PayloadOrders { secrets: vec![secret(3)], secrets_removed: vec![secret(1).id], ..PayloadOrders::default() };
        assert!(held.apply(false, change));
        assert_eq!(held.secrets.keys().copied().collect::<Vec<_>>(), [secret(2).id, secret(3).id]);
        assert!(held.apply(true, PayloadOrders::default()));
        assert_eq!(held, HeldPayloads::default());
    }
}
