//! `secret inspect --pretty` and `config inspect --pretty`.

use crate::list::go_time;
use std::fmt::Write as _;
use swarm_types::{Config, Labels, Secret};

/// A secret for people.
pub(super) fn secret(secret: &Secret) -> String {
    let spec = &secret.spec;
    let driver = spec.driver.as_ref().map_or("", |driver| driver.name.as_str());
    format!(
        "ID:              {}\nName:              {}{}\nDriver:            {driver}\nCreated at:        {}\nUpdated at:        {}\n",
        secret.id,
        spec.name,
        labels(&spec.labels),
        go_time(secret.created_at),
        go_time(secret.updated_at),
    )
}

/// A config for people, its contents included.
pub(super) fn config(config: &Config) -> String {
    let spec = &config.spec;
    format!(
        "ID:\t\t\t{}\nName:\t\t\t{}{}\nCreated at:            \t{}\nUpdated at:            \t{}\nData:\n{}\n",
        config.id,
        spec.name,
        labels(&spec.labels),
        go_time(config.created_at),
        go_time(config.updated_at),
        String::from_utf8_lossy(spec.data.bytes()),
    )
}

fn labels(labels: &Labels) -> String {
    let mut text = String::new();
    if !labels.is_empty() {
        text.push_str("\nLabels:");
    }
    for (key, value) in labels {
        let _ = write!(text, "\n - {key}");
        if !value.is_empty() {
            let _ = write!(text, "={value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_configs_show_their_contents() {
        let object = json!({
            "ID": "a".repeat(25), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T02:00:00.5Z",
            "Spec": {"Name": "key", "Labels": {"x": "1", "y": ""}, "Data": "aGVsbG8="},
        });
        let shown = secret(&serde_json::from_value(object.clone()).expect("is a secret"));
        let expected = "ID:              aaaaaaaaaaaaaaaaaaaaaaaaa
Name:              key
Labels:
 - x=1
 - y
Driver:            
Created at:        2024-01-01 00:00:00 +0000 utc
Updated at:        2024-01-01 02:00:00.5 +0000 utc
";
        assert_eq!(shown, expected);
        let shown = config(&serde_json::from_value(object).expect("is a config"));
        let expected = "ID:\t\t\taaaaaaaaaaaaaaaaaaaaaaaaa
Name:\t\t\tkey
Labels:
 - x=1
 - y
Created at:            \t2024-01-01 00:00:00 +0000 utc
Updated at:            \t2024-01-01 02:00:00.5 +0000 utc
Data:
hello
";
        assert_eq!(shown, expected);
    }
}
