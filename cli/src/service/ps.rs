//! `service ps`.

use crate::failure::{Failure, Outcome};
use crate::node;
use crate::query::Filters;
use crate::session::Session;
use crate::task_table::{TaskFlags, print_tasks};
use swarm_types::{Service, Task};

/// Lists the tasks of services. Those that are not found are told after the table of the others.
///
/// # Errors
/// If none is found, or a prefix means several.
pub(super) async fn ps(flags: &TaskFlags, services: &[String], session: &Session) -> Outcome {
    let mut by_id = Filters::default();
    let mut by_name = Filters::default();
    for service in services {
        by_id.add("id", service);
        by_name.add("name", service);
    }
    let (by_id, by_name) = (by_id.on("/services", &[]), by_name.on("/services", &[]));
    let (by_id, by_name) =
        futures_util::future::try_join(session.api.get::<Vec<Service>>(&by_id), session.api.get::<Vec<Service>>(&by_name)).await?;
    let mut filters = Filters::parse(&flags.filter);
    let mut missing = Vec::new();
    let mut found = false;
    for word in services {
        match find(word, &by_id, &by_name)? {
            Some(id) => {
                filters.add("service", &id);
                found = true;
            }
            None => missing.push(Failure::new(format!("no such service: {word}"))),
        }
    }
    if found {
        for word in filters.take("node") {
            filters.add("node", &node::reference(&word, session).await?);
        }
        let tasks: Vec<Task> = session.api.get(&filters.on("/tasks", &[])).await?;
        print_tasks(flags, tasks, session).await?;
    }
    Failure::join(missing)
}

/// The id of the service that a word means: its full id, its name, or the beginning of its id.
fn find(word: &str, by_id: &[Service], by_name: &[Service]) -> Outcome<Option<String>> {
    let exact = by_id.iter().find(|service| service.id.as_str() == word);
    let named = || by_name.iter().find(|service| service.spec.name == word);
    if let Some(service) = exact.or_else(named) {
        return Ok(Some(service.id.to_string()));
    }
    let mut starting = by_id.iter().filter(|service| service.id.as_str().starts_with(word));
    match (starting.next(), starting.next()) {
        (Some(_), Some(_)) => Err(Failure::new(format!("multiple services found with provided prefix: {word}"))),
        (only, _) => Ok(only.map(|service| service.id.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(id: &str, name: &str) -> Service {
        serde_json::from_value(json!({
            "ID": format!("{id:0<25}"), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z",
            "UpdatedAt": "2024-01-01T00:00:00Z", "Spec": {"Name": name},
        }))
        .expect("is a service")
    }

    fn found(word: &str) -> Result<Option<String>, String> {
        let all = [service("abc1", "web"), service("abc2", "api"), service("xyz", "abc")];
        find(word, &all, &all).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_comes_before_the_beginning_of_an_id() {
        assert_eq!(found("abc"), Ok(Some(format!("{:0<25}", "xyz"))));
        assert_eq!(found("abc1"), Ok(Some(format!("{:0<25}", "abc1"))));
        assert_eq!(found("ab"), Err("multiple services found with provided prefix: ab".into()));
        assert_eq!(found("nothing"), Ok(None));
    }
}
