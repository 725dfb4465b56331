//! `--external-ca`: a CA outside the cluster.

use crate::service::flags::csv;
use swarm_types::ExternalCa;

/// Reads `protocol=cfssl,url=URL[,cacert=FILE][,OPTION=VALUE]`.
///
/// # Errors
/// If protocol or URL are missing, or the certificate cannot be read.
pub(crate) fn external_ca(text: &str) -> Result<ExternalCa, String> {
    let mut ca = ExternalCa::default();
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        match key {
            "protocol" if value.eq_ignore_ascii_case("cfssl") => ca.protocol = value.to_ascii_lowercase(),
            "protocol" => return Err(format!("unrecognized external CA protocol {value}")),
            "url" => value.clone_into(&mut ca.url),
            "cacert" => {
                let pem =
                    std::fs::read_to_string(value).map_err(|e| format!("unable to read CA cert for external CA: open {value}: {e}"))?;
                if !pem.contains("-----BEGIN ") {
                    return Err("CA cert for external CA must be in PEM format".into());
                }
                ca.ca_cert = pem;
            }
            _ => {
                ca.options.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    match (ca.protocol.is_empty(), ca.url.is_empty()) {
        (true, _) => Err("the external-ca option needs a protocol= parameter".into()),
        (false, true) => Err("the external-ca option needs a url= parameter".into()),
        (false, false) => Ok(ca),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_and_url_are_needed() {
        let ca = external_ca("protocol=CFSSL,url=https://ca,a=b").expect("reads");
        assert_eq!((ca.protocol.as_str(), ca.url.as_str(), ca.options["a"].as_str()), ("cfssl", "https://ca", "b"));
        assert_eq!(external_ca("url=x").expect_err("has none"), "the external-ca option needs a protocol= parameter");
        assert_eq!(external_ca("protocol=cfssl").expect_err("has none"), "the external-ca option needs a url= parameter");
        assert_eq!(external_ca("protocol=x").expect_err("is unknown"), "unrecognized external CA protocol x");
        assert_eq!(external_ca("x").expect_err("is no pair"), "invalid field 'x' must be a key=value pair");
    }
}
