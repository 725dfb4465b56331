//! Which endpoint flags, environment and files lead to.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use swarm_client::{ConfigError, ConfigFile, ConnectFlags, Endpoint, Environment, Transport, config_dir, resolve};

const NO_CONFIG: &str = "/nonexistent";

fn flags(hosts: &[&str]) -> ConnectFlags {
    ConnectFlags { hosts: hosts.iter().map(|h| h.to_string()).collect(), ..Default::default() }
}

fn resolved(flags: &ConnectFlags, environment: &[(&str, &str)]) -> Result<String, String> {
    let environment = environment.iter().copied().collect();
    resolve(flags, &environment, &ConfigFile::default(), Path::new(NO_CONFIG))
        .map(|endpoint| endpoint.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn addresses_are_completed() {
    for (address, full) in [
        ("", "unix:///run/swarm/swarm.sock"),
        ("  ", "unix:///run/swarm/swarm.sock"),
        ("unix://", "unix:///run/swarm/swarm.sock"),
        ("unix:///x/y.sock", "unix:///x/y.sock"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://h", "tcp://h:2375"),
        ("h", "tcp://h:2375"),
        (":1", "tcp://localhost:1"),
        ("tcp://h:5/base/", "tcp://h:5/base"),
        ("tcp://[::1]:5", "tcp://[::1]:5"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("http://h:80", "tcp://h:80"),
        ("https://h", "tcp://h:2376"),
        ("/x.sock", "tcp://localhost:2375/x.sock"),
        ("ssh://h", "ssh://h"),
        ("ssh://me@h:22/run/s.sock", "ssh://me@h:22/run/s.sock"),
        ("ssh://h/", "ssh://h"),
        ("ssh://[::1]:22", "ssh://::1:22"),
    ] {
        assert_eq!(resolved(&flags(&[address]), &[]).as_deref(), Ok(full), "{address}");
    }
    let secure = Endpoint::parse("https://h", None).unwrap();
    assert!(matches!(secure.transport, Transport::Tcp { tls: Some(_), .. }));
}

#[test]
fn wrong_addresses_are_refused_in_dockers_words() {
    for (address, error) in [
        ("foo://x", "invalid bind address format: foo://x"),
        ("tcp://x:y", r#"parse "tcp://x:y": invalid port ":y" after host"#),
        ("tcp://x:70000", r#"parse "tcp://x:70000": invalid port ":70000" after host"#),
        ("tcp://::1:5", "invalid bind address format: tcp://::1:5"),
        ("tcp://unix://x", "invalid proto, expected tcp: unix://x"),
        ("unix://tcp://x", "invalid proto, expected unix: tcp://x"),
        ("ssh://", "ssh host connection is not valid: invalid SSH URL: hostname is empty"),
        ("ssh://a:b@c", "ssh host connection is not valid: invalid SSH URL: plain-text password is not supported"),
        ("ssh://a@c/?x=y", r#"ssh host connection is not valid: invalid SSH URL: query parameters are not allowed: "x=y""#),
        ("ssh://-oProxyCommand=x", "ssh host connection is not valid: invalid SSH URL: user and host must not start with a dash"),
        ("ssh://h:x", r#"ssh host connection is not valid: invalid SSH URL: invalid port "x""#),
    ] {
        let want = format!("unable to resolve docker endpoint: {error}");
        assert_eq!(resolved(&flags(&[address]), &[]).unwrap_err(), want);
    }
}

#[test]
fn first_source_given_counts() {
    let none = flags(&[]);
    let both = [("SWARM_HOST", "tcp://s:1"), ("DOCKER_HOST", "tcp://d:1"), ("DOCKER_CONTEXT", "c")];
    assert_eq!(resolved(&none, &[]).unwrap(), "unix:///run/swarm/swarm.sock");
    assert_eq!(resolved(&none, &both).unwrap(), "tcp://s:1");
    assert_eq!(resolved(&none, &both[1..]).unwrap(), "tcp://d:1");
    assert_eq!(resolved(&none, &[("SWARM_HOST", ""), both[1]]).unwrap(), "tcp://d:1");
    assert_eq!(resolved(&flags(&["h"]), &both).unwrap(), "tcp://h:2375");
    assert_eq!(resolved(&flags(&["a", "b"]), &[]).unwrap_err(), "unable to resolve docker endpoint: Specify only one -H");
    let conflict = ConnectFlags { context: Some("c".into()), ..flags(&["h"]) };
    assert_eq!(resolved(&conflict, &[]).unwrap_err(), "conflicting options: cannot specify both --host and --context");
    let default = ConnectFlags { context: Some("default".into()), ..Default::default() };
    assert_eq!(resolved(&default, &both).unwrap(), "tcp://s:1");
}

fn write_context(dir: &Path, name: &str, meta: &str) -> std::path::PathBuf {
    let id: String = Sha256::digest(name).iter().map(|b| format!("{b:02x}")).collect();
    let folder = dir.join("contexts/meta").join(&id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("meta.json"), meta).unwrap();
    dir.join("contexts/tls").join(id).join("docker")
}

#[test]
fn contexts_are_found_by_flag_environment_and_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let meta = |host: &str, skip: bool| {
        format!(r#"{{"Name":"x","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":{skip}}}}}}}"#)
    };
    write_context(dir.path(), "far", &meta("ssh://u@h", false));
    write_context(dir.path(), "plain", &meta("tcp://p:1", true));
    let tls = write_context(dir.path(), "secure", &meta("tcp://s:1", true));
    fs::create_dir_all(&tls).unwrap();
    fs::write(tls.join("ca.pem"), "CA").unwrap();
    write_context(dir.path(), "kube", r#"{"Name":"kube","Endpoints":{"kubernetes":{}}}"#);
    write_context(dir.path(), "broken", "{");

    let none = Environment::default();
    let current = |name: &str| ConfigFile { current_context: name.into(), ..Default::default() };
    let by_flag = |name: &str| ConnectFlags { context: Some(name.into()), ..Default::default() };
    let at = |flags: &ConnectFlags, env: &Environment, config: &ConfigFile| {
        resolve(flags, env, config, dir.path()).map_err(|error| error.to_string())
    };

    let from_config = at(&ConnectFlags::default(), &none, &current("far")).unwrap();
    assert_eq!(from_config.to_string(), "ssh://u@h");
    let env: Environment = [("DOCKER_CONTEXT", "plain")].into_iter().collect();
    let from_env = at(&ConnectFlags::default(), &env, &current("far")).unwrap();
    assert!(matches!(from_env.transport, Transport::Tcp { tls: None, .. }));
    let from_flag = at(&by_flag("secure"), &env, &current("far")).unwrap();
    match from_flag.transport {
        Transport::Tcp { tls: Some(material), .. } => {
            assert_eq!(material.ca.as_deref(), Some(&b"CA"[..]));
            assert!(material.skip_verify);
        }
        other => panic!("{other:?}"),
    }

    let missing = at(&by_flag("nope"), &none, &current("")).unwrap_err();
    let path = dir.path().join("contexts/meta/ca3704aa0b06f5954c79ee837faa152d84d6b2d42838f0637a15eda8337dbdce/meta.json");
    assert_eq!(
        missing,
        format!(
            "unable to resolve docker endpoint: context \"nope\": context not found: open {}: no such file or directory",
            path.display()
        )
    );
    assert!(at(&by_flag("kube"), &none, &current("")).unwrap_err().contains("does not have a docker endpoint"));
    assert!(at(&by_flag("broken"), &none, &current("")).unwrap_err().contains("EOF while parsing"));
}

#[test]
fn tls_is_asked_for_by_flags_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    let certs = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), "default CA").unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(certs.path().join(file), file).unwrap();
    }
    let material = |flags: &ConnectFlags, env: &[(&str, &str)]| {
        let env = env.iter().copied().collect();
        match resolve(flags, &env, &ConfigFile::default(), dir.path()).unwrap().transport {
            Transport::Tcp { tls, .. } => tls,
            other => panic!("{other:?}"),
        }
    };
    let host = flags(&["tcp://h:1"]);
    assert!(material(&host, &[]).is_none());

    let loose = material(&ConnectFlags { tls: true, ..host.clone() }, &[]).unwrap();
    assert!(loose.skip_verify && loose.cert.is_none());
    assert_eq!(loose.ca.as_deref(), Some(&b"default CA"[..]));

    let path = certs.path().to_str().unwrap();
    let strict = material(&host, &[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)]).unwrap();
    assert!(!strict.skip_verify);
    assert_eq!(strict.key.as_deref(), Some(&b"key.pem"[..]));

    let off = ConnectFlags { tls_verify: Some(false), ..host.clone() };
    assert!(material(&off, &[("DOCKER_TLS_VERIFY", "1")]).unwrap().skip_verify);

    // Without a host, TLS means docker's TLS port.
    let alone = ConnectFlags { tls_verify: Some(true), ..Default::default() };
    let endpoint = resolve(&alone, &Environment::default(), &ConfigFile::default(), dir.path()).unwrap();
    assert_eq!(endpoint.to_string(), "tcp://localhost:2376");

    // A client certificate is a must only if it is named.
    let named = ConnectFlags { tls: true, tls_cert: Some("/nope".into()), ..host };
    let error = resolve(&named, &Environment::default(), &ConfigFile::default(), dir.path());
    assert_eq!(error.unwrap_err().to_string(), "unable to resolve docker endpoint: open /nope: no such file or directory");
    let error = resolve(&alone, &Environment::default(), &ConfigFile::default(), Path::new(NO_CONFIG));
    assert_eq!(error.unwrap_err().to_string(), "unable to resolve docker endpoint: open /nonexistent/ca.pem: no such file or directory");
}

#[test]
fn configuration_files_are_read_leniently() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ConfigFile::load(dir.path()).unwrap().services_format.is_empty());
    let path = dir.path().join("config.json");
    fs::write(&path, r#"{"auths":{"r":{}},"HttpHeaders":{"X-A":"b"},"servicesFormat":"{{.ID}}","currentContext":"c"}"#).unwrap();
    let config = ConfigFile::load(dir.path()).unwrap();
    assert_eq!(config.services_format, "{{.ID}}");
    assert_eq!(config.http_headers["X-A"], "b");
    assert_eq!(config.current_context, "c");
    assert!(config.other.contains_key("auths"));
    fs::write(&path, "{bad").unwrap();
    let error = ConfigFile::load(dir.path()).unwrap_err();
    assert!(matches!(error, ConfigError::Parse { .. }));
    assert!(error.to_string().starts_with(&format!("Error parsing config file ({}): ", path.display())));
}

#[test]
fn configuration_folder() {
    let env = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Environment>();
    let home = env(&[("HOME", "/home/me")]);
    assert_eq!(config_dir(None, &home), Path::new("/home/me/.docker"));
    let both = env(&[("HOME", "/home/me"), ("DOCKER_CONFIG", "/cfg")]);
    assert_eq!(config_dir(None, &both), Path::new("/cfg"));
    assert_eq!(config_dir(Some(Path::new("/flag")), &both), Path::new("/flag"));
}
