//! `secret ls` and `config ls`.

use super::Kind;
use crate::failure::Outcome;
use crate::list::{ListFlags, ago, print_rows};
use crate::query::Filters;
use crate::session::Session;
use std::time::SystemTime;
use swarm_template::{Formats, Header, Row, natural};
use swarm_types::{Config, Secret, Timestamp};

const SECRET_FORMATS: Formats = Formats {
    table: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    raw: None,
    raw_quiet: None,
    quiet: "{{.ID}}",
};

const CONFIG_FORMATS: Formats =
    Formats { table: "table {{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}", raw: None, raw_quiet: None, quiet: "{{.ID}}" };

/// Lists secrets.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn secrets(flags: &ListFlags, session: &Session) -> Outcome {
    let mut secrets: Vec<Secret> = session.api.get(&Filters::parse(&flags.filter).on(Kind::Secret.path(), &[])).await?;
    secrets.sort_by(|a, b| natural::compare(&a.spec.name, &b.spec.name));
    let (format, now) = (flags.format(&session.config.secret_format), Timestamp::from_system(SystemTime::now()));
    print_rows(&SECRET_FORMATS, format, flags.is_quiet(), &header(), secrets.iter().map(|secret| secret_row(secret, now)))
}

/// Lists configs.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn configs(flags: &ListFlags, session: &Session) -> Outcome {
    let mut configs: Vec<Config> = session.api.get(&Filters::parse(&flags.filter).on(Kind::Config.path(), &[])).await?;
    configs.sort_by(|a, b| natural::compare(&a.spec.name, &b.spec.name));
    let (format, now) = (flags.format(&session.config.config_format), Timestamp::from_system(SystemTime::now()));
    print_rows(&CONFIG_FORMATS, format, flags.is_quiet(), &header(), configs.iter().map(|config| config_row(config, now)))
}

fn header() -> Header {
    Header::new([
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("CreatedAt", "CREATED"),
        ("UpdatedAt", "UPDATED"),
        ("Labels", "LABELS"),
    ])
}

fn secret_row(secret: &Secret, now: Timestamp) -> Row {
    Row::new("secret.secretContext")
        .column("ID", secret.id.as_str())
        .column("Name", secret.spec.name.as_str())
        .column("Driver", secret.spec.driver.as_ref().map_or("", |driver| driver.name.as_str()))
        .column("CreatedAt", ago(secret.created_at, now))
        .column("UpdatedAt", ago(secret.updated_at, now))
        .labels(&secret.spec.labels)
}

fn config_row(config: &Config, now: Timestamp) -> Row {
    Row::new("config.configContext")
        .column("ID", config.id.as_str())
        .column("Name", config.spec.name.as_str())
        .column("CreatedAt", ago(config.created_at, now))
        .column("UpdatedAt", ago(config.updated_at, now))
        .labels(&config.spec.labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swarm_template::render_rows;

    #[test]
    fn the_tables_are_dockers() {
        let object = json!({
            "ID": "a".repeat(25), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T02:00:00Z",
            "Spec": {"Name": "key", "Labels": {"x": "1"}},
        });
        let now: Timestamp = serde_json::from_value(json!("2024-01-01T03:00:00Z")).expect("is a time");
        let secret: Secret = serde_json::from_value(object.clone()).expect("is a secret");
        let expected = "\
ID                          NAME      DRIVER    CREATED       UPDATED
aaaaaaaaaaaaaaaaaaaaaaaaa   key                 3 hours ago   About an hour ago
";
        assert_eq!(render_rows(SECRET_FORMATS.table, &header(), [secret_row(&secret, now)]).expect("renders"), expected);
        let config: Config = serde_json::from_value(object).expect("is a config");
        let expected = "\
ID                          NAME      CREATED       UPDATED
aaaaaaaaaaaaaaaaaaaaaaaaa   key       3 hours ago   About an hour ago
";
        assert_eq!(render_rows(CONFIG_FORMATS.table, &header(), [config_row(&config, now)]).expect("renders"), expected);
        let format = "{{.Labels}} {{.Label \"x\"}}";
        assert_eq!(render_rows(format, &header(), [config_row(&config, now)]).expect("renders"), "x=1 1\n");
    }
}
