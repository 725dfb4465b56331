//! `--network`: a name or an id, or the form with keys.

use super::csv;
use super::port::has_keys;
use swarm_types::NetworkAttachmentConfig;

/// Reads a network to attach to.
///
/// # Errors
/// Docker's text on anything that is not one.
pub(crate) fn network(text: &str) -> Result<NetworkAttachmentConfig, String> {
    let mut network = NetworkAttachmentConfig::default();
    if !has_keys(text) {
        text.clone_into(&mut network.target);
        return Ok(network);
    }
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field {field}"));
        };
        let value = value.trim().to_owned();
        match key.trim().to_lowercase().as_str() {
            "name" => network.target = value,
            "alias" => network.aliases.push(value),
            "driver-opt" => {
                let (key, value) = value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                network.driver_opts.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            key => return Err(format!("invalid field key {key}")),
        }
    }
    if network.target.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(network("blue").map(|n| n.target), Ok("blue".into()));
        let full = network("name=blue,alias=db,alias=cache,driver-opt=a=b").expect("reads");
        assert_eq!((full.target.as_str(), &full.aliases[..]), ("blue", &["db".to_owned(), "cache".to_owned()][..]));
        assert_eq!(full.driver_opts.get("a").map(String::as_str), Some("b"));
    }

    #[test]
    fn wrong_networks_are_refused_in_dockers_words() {
        for (text, why) in [
            ("alias=db", "network name/id is not specified"),
            ("name=blue,ip=10.0.0.1", "invalid field key ip"),
            ("name=blue,alias", "invalid field alias"),
            ("name=blue,driver-opt=x", "invalid key value pair format in driver options"),
        ] {
            assert_eq!(network(text), Err(why.into()));
        }
    }
}
