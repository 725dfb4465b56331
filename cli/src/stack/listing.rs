//! `stack ls`.

use super::NAMESPACE_LABEL;
use crate::failure::Outcome;
use crate::list::{choose, print_rows};
use crate::query::Filters;
use crate::session::Session;
use std::collections::BTreeMap;
use swarm_template::{Formats, Header, Row, natural};
use swarm_types::Service;

const FORMATS: Formats = Formats { table: "table {{.Name}}\t{{.Services}}", raw: None, raw_quiet: None, quiet: "{{.Name}}" };

/// Lists stacks: the names in the labels of services, and how many services have each.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn ls(format: Option<&str>, session: &Session) -> Outcome {
    let mut filters = Filters::default();
    filters.add("label", NAMESPACE_LABEL);
    let services: Vec<Service> = session.api.get(&filters.on("/services", &[])).await?;
    let mut stacks: BTreeMap<&str, usize> = BTreeMap::new();
    for name in services.iter().filter_map(|service| service.spec.labels.get(NAMESPACE_LABEL)) {
        *stacks.entry(name).or_default() += 1;
    }
    let mut stacks: Vec<(&str, usize)> = stacks.into_iter().collect();
    stacks.sort_by(|one, other| natural::compare(one.0, other.0));
    let header = Header::new([("Name", "NAME"), ("Services", "SERVICES")]);
    let rows = stacks
        .into_iter()
        .map(|(name, count)| Row::new("formatter.stackContext").column("Name", name).column("Services", count.to_string()));
    print_rows(&FORMATS, choose(format, "", false), false, &header, rows)
}
