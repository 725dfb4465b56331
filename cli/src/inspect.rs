//! `inspect`: objects as the server wrote them, or through a template.

use crate::failure::{Failure, Outcome};
use crate::output::print;
use swarm_template::{MissingKey, ObjectKind, Template, client_functions, json};

/// Flags of `inspect` commands.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct InspectFlags {
    #[arg(short = 'f', long, value_name = "string", help = crate::list::INSPECT_FORMAT_HELP)]
    pub(crate) format: Option<String>,
    /// Print the information in a human friendly format
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::line::values::switch)]
    pub(crate) pretty: Option<bool>,
}

/// How objects are shown.
pub(crate) enum Form {
    /// As an indented JSON array.
    Indented,
    /// As a JSON array on one line.
    Compact,
    /// For people.
    Pretty,
    /// Through a template.
    Template(Box<Template>),
}

impl Form {
    /// The form behind a format.
    ///
    /// # Errors
    /// If it is no template.
    pub(crate) fn parse(format: &str) -> Outcome<Self> {
        match format {
            "" | "raw" => Ok(Self::Indented),
            "json" => Ok(Self::Compact),
            "pretty" => Ok(Self::Pretty),
            _ if format.starts_with("pretty") => Err("cannot supply extra formatting options to the pretty template".into()),
            _ => Template::parse(format, &client_functions())
                .map(|template| Self::Template(Box::new(template)))
                .map_err(|e| Failure::template(format!("template parsing error: {e}"))),
        }
    }
}

/// Renders an object: first as Docker's client sees it, then, for what that does not know, as its plain JSON.
fn render(template: &Template, kind: ObjectKind, json: &str) -> Outcome<String> {
    let typed = kind.typed(json).map(|typed| template.render(&typed));
    if let Some(Ok(text)) = typed {
        return Ok(text);
    }
    let raw = json::parse(json).map_err(|e| Failure::new(e.to_string()))?;
    let plain = template.clone().missing_key(MissingKey::Error).render(&raw);
    // If neither has it, the first error tells more: it names types that are documented.
    plain.map_err(|error| match typed {
        Some(Err(first)) => Failure::new(format!("template parsing error: {first}")),
        _ => Failure::new(format!("template parsing error: {error}")),
    })
}

/// Collects objects and prints them, and then what failed.
pub(crate) struct Inspection {
    template: Option<Box<Template>>,
    compact: bool,
    objects: Vec<String>,
    rendered: String,
    failures: Vec<Failure>,
}

impl Inspection {
    /// Of a form that is not for people.
    pub(crate) fn new(form: Form) -> Self {
        let compact = matches!(form, Form::Compact);
        let template = if let Form::Template(template) = form { Some(template) } else { None };
        Self { template, compact, objects: Vec::new(), rendered: String::new(), failures: Vec::new() }
    }

    /// Takes the JSON of an object of this kind, or why there is none.
    pub(crate) fn take(&mut self, kind: ObjectKind, json: Outcome<String>) {
        let shown = json.and_then(|json| {
            let Some(template) = &self.template else {
                self.objects.push(json);
                return Ok(());
            };
            self.rendered.push_str(&render(template, kind, &json)?);
            self.rendered.push('\n');
            Ok(())
        });
        self.failures.extend(shown.err());
    }

    /// Prints everything.
    ///
    /// # Errors
    /// All that failed.
    pub(crate) fn finish(self) -> Outcome {
        let text = match (&self.template, self.compact) {
            (Some(_), _) if self.rendered.is_empty() => Ok("\n".to_owned()),
            (Some(_), _) => Ok(self.rendered),
            (None, _) if self.objects.is_empty() => Ok("[]\n".to_owned()),
            (None, true) => swarm_template::json_array_compact(&self.objects),
            (None, false) => swarm_template::json_array(&self.objects),
        };
        print(&text.map_err(|e| Failure::new(e.to_string()))?)?;
        Failure::join(self.failures)
    }
}
