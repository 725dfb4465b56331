//! `service inspect`.

use super::pretty;
use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::inspect::{Form, InspectFlags, Inspection};
use crate::output::print;
use crate::query::escape;
use crate::session::Session;
use swarm_template::ObjectKind;
use swarm_types::{Service, Timestamp};

/// Shows services, with the defaults that the server fills in.
///
/// # Errors
/// If a service is missing; the others are shown.
pub(super) async fn inspect(flags: &InspectFlags, services: &[String], session: &Session) -> Outcome {
    let pretty = flags.pretty.unwrap_or_default();
    let format = match flags.format.as_deref().filter(|format| !format.is_empty()) {
        Some(_) if pretty => {
            return Err("--format is incompatible with human friendly format".into());
        }
        Some(format) => format,
        None if pretty => "pretty",
        None => &session.config.service_inspect_format,
    };
    let form = Form::parse(format)?;
    if matches!(form, Form::Pretty) {
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let mut text = String::new();
        for word in services {
            let json = read(word, session).await?;
            let service: Service = absent::read_text(json.as_bytes()).map_err(|e| Failure::new(e.to_string()))?;
            text.push_str(&pretty::pretty(&service, now));
            text.push('\n');
        }
        return print(&text);
    }
    let mut inspection = Inspection::new(form);
    for word in services {
        inspection.take(ObjectKind::Service, read(word, session).await);
    }
    inspection.finish()
}

async fn read(word: &str, session: &Session) -> Outcome<String> {
    let path = format!("/services/{}?insertDefaults=true", escape(word));
    match session.api.find_text(&path).await? {
        Some(json) => Ok(json),
        None => Err(Failure::new(format!("no such service: {word}"))),
    }
}
