//! The client against small servers in the same process.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod server;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};
use server::{Server, authority};
use swarm_client::{ApiVersion, Client, ClientError, ClientOptions, ConnectError, Endpoint, TlsMaterial, Transport, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

fn tls_of(material: TlsMaterial, address: &str) -> Client {
    Client::new(Endpoint::parse(&format!("tcp://{address}"), Some(material)).unwrap())
}

#[tokio::test]
async fn version_is_negotiated_once_per_client() {
    for (theirs, ours) in [("1.41", "1.41"), ("1.99", "1.51"), ("", "1.24")] {
        let server = Server::unix(theirs);
        let client = server.client();
        let echo: Value = client.get("/echo").fetch().await.unwrap();
        assert_eq!(echo["path"], format!("/v{ours}/echo"));
        client.get("/echo").finish().await.unwrap();
        assert_eq!(client.version().await.unwrap().to_string(), ours);
        assert_eq!(server.pings(), 1);
    }
    let server = Server::unix("1.41");
    let options = ClientOptions { version: Some("1.30".parse().unwrap()), ..Default::default() };
    let pinned = Client::with_options(server.endpoint(), options);
    let echo: Value = pinned.get("/echo").fetch().await.unwrap();
    assert_eq!(echo["path"], "/v1.30/echo");
    assert_eq!(server.pings(), 0);
}

#[tokio::test]
async fn ping_tells_what_the_daemon_is() {
    let server = Server::unix("1.44");
    let ping = server.client().ping().await.unwrap();
    assert_eq!(ping.api_version, Some(ApiVersion { major: 1, minor: 44 }));
    assert_eq!(ping.os_type, "linux");
    assert_eq!(ping.swarm, "active/manager");
    assert!(!ping.experimental);
}

#[tokio::test]
async fn requests_carry_query_headers_and_body() {
    let server = Server::unix("1.51");
    let options = ClientOptions { headers: vec![("X-Custom".into(), "1".into()), ("bad name".into(), "x".into())], ..Default::default() };
    let client = Client::with_options(server.endpoint(), options);
    let echo: Value = client
        .post("/services/create")
        .query("filters", r#"{"a b":["c&d=é"]}"#)
        .queries([("version", "7")])
        .header("X-Registry-Auth", "abc")
        .json(&json!({"Name": "web"}))
        .fetch()
        .await
        .unwrap();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["query"], "filters=%7B%22a%20b%22%3A%5B%22c%26d%3D%C3%A9%22%5D%7D&version=7");
    assert_eq!(echo["headers"]["x-registry-auth"], "abc");
    assert_eq!(echo["headers"]["x-custom"], "1");
    assert_eq!(echo["headers"]["content-type"], "application/json");
    assert_eq!(echo["headers"]["user-agent"], concat!("swarm/", env!("CARGO_PKG_VERSION")));
    assert_eq!(echo["body"], r#"{"Name":"web"}"#);

    let empty: Value = client.post("/x").fetch().await.unwrap();
    assert_eq!(empty["headers"]["content-type"], "text/plain");
    let put: Value = client.put("/x").body_of("application/x-tar", "tar").fetch().await.unwrap();
    assert_eq!((&put["method"], &put["body"]), (&json!("PUT"), &json!("tar")));
    let delete: Value = client.delete("/x").query("force", "1").fetch().await.unwrap();
    assert_eq!(delete["method"], "DELETE");
    let plain: Value = client.get("/x").unversioned().fetch().await.unwrap();
    assert_eq!(plain["path"], "/x");
    let mistake = client.get("/x").header("a b", "c").send().await.unwrap_err();
    assert!(matches!(mistake, ClientError::Invalid(_)));
}

#[tokio::test]
async fn base_path_comes_before_the_version() {
    let server = Server::tcp("1.51").await;
    let endpoint = Endpoint::parse(&format!("tcp://{}/base", server.address()), None).unwrap();
    let echo: Value = Client::new(endpoint).get("/echo").fetch().await.unwrap();
    assert_eq!(echo["path"], "/base/v1.51/echo");
}

#[tokio::test]
async fn refusals_are_the_daemons_words() {
    let server = Server::unix("1.51");
    let client = server.client();
    for (path, status, text) in [
        ("/error/json", 404, "Error response from daemon: no such service: x"),
        ("/error/text", 500, "Error response from daemon: plain trouble"),
        ("/error/silent", 503, "Error response from daemon: API returned a 503 (Service Unavailable) but provided no error-message"),
        ("/error/charset", 409, "Error response from daemon: taken"),
    ] {
        let error = client.get(path).send().await.unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.status(), Some(StatusCode::from_u16(status).unwrap()));
        assert_eq!(error.is_not_found(), status == 404);
        assert!(matches!(error, ClientError::Api(_)));
    }
    let empty = client.get("/error/empty").send().await.unwrap_err();
    assert_eq!(
        empty.to_string(),
        "request returned 500 Internal Server Error for API route and version \
         http://api.swarm.localhost/v1.51/error/empty, check if the server supports the requested API version"
    );
    let garbled = client.get("/error/garbled").send().await.unwrap_err();
    assert!(garbled.to_string().starts_with("Error reading JSON: "), "{garbled}");
    let wrong = client.get("/text").fetch::<Value>().await.unwrap_err();
    assert!(matches!(wrong, ClientError::Json(_)));
}

#[tokio::test]
async fn bodies_stream_as_they_are_sent() {
    let server = Server::unix("1.51");
    let mut stream = server.client().get("/stream").send().await.unwrap().stream();
    for piece in ["one\n", "two\n"] {
        // The server sends the next piece only after we took this one.
        assert_eq!(stream.next().await.unwrap().unwrap(), Bytes::from(piece));
        server.step();
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn streams_that_break_are_errors() {
    let server = Server::unix("1.51");
    let mut stream = server.client().get("/stream/broken").send().await.unwrap().stream();
    assert!(stream.next().await.unwrap().is_ok());
    server.step();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("could not read the response of the daemon: "));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::unix("1.51");
    let client = server.client();
    for _ in 0..5 {
        client.get("/text").finish().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn connections_can_be_taken_over() {
    let server = Server::unix("1.51");
    let client = server.client();
    let mut raw = client.post("/upgrade").upgrade("tcp").await.unwrap();
    raw.write_all(b"ping").await.unwrap();
    raw.shutdown().await.unwrap();
    let mut text = String::new();
    raw.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "got ping");

    let refused = client.get("/text").upgrade("tcp").await.unwrap_err();
    assert!(matches!(refused, ClientError::NotUpgraded { status: StatusCode::OK, .. }));
}

#[tokio::test]
async fn raw_connections_speak_what_the_caller_says() {
    let server = Server::unix("1.51");
    let mut raw = dial(&server.endpoint()).await.unwrap();
    raw.write_all(b"GET /text HTTP/1.0\r\n\r\n").await.unwrap();
    raw.shutdown().await.unwrap();
    let mut text = String::new();
    raw.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK") && text.ends_with("some text"), "{text}");
}

#[tokio::test]
async fn missing_daemons_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let error = Client::new(Endpoint::unix(&path)).get("/x").send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Cannot connect to the Docker daemon at unix://{}. Is the docker daemon running?", path.display())
    );
    assert!(matches!(error, ClientError::Connect(ConnectError::Unreachable { .. })));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Client::new(Endpoint::parse(&free.to_string(), None).unwrap()).ping().await;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("Cannot connect to the Docker daemon at tcp://{free}. Is the docker daemon running?")
    );
}

#[tokio::test]
async fn sockets_of_others_say_so() {
    let denied = ConnectError::Permission {
        endpoint: "unix:///s".into(),
        source: std::sync::Arc::new(io::Error::from(io::ErrorKind::PermissionDenied)),
    };
    assert_eq!(denied.to_string(), "permission denied while trying to connect to the Docker daemon socket at unix:///s: permission denied");
}

#[tokio::test]
async fn broken_servers_are_told_from_missing_ones() {
    for (reply, reason) in
        [("", "EOF"), ("garbage\r\n\r\n", "malformed HTTP response.\n* Are you trying to connect to a TLS-enabled daemon without TLS?")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
        });
        let client = Client::new(Endpoint::parse(&address.to_string(), None).unwrap());
        let error = client.ping().await.unwrap_err();
        assert_eq!(error.to_string(), format!("error during connect: Head \"http://{address}/_ping\": {reason}"));
        server.await.unwrap();
    }
}

#[tokio::test]
async fn tls_needs_the_right_certificates() {
    let authority = authority();
    let server = Server::tls("1.51", &authority).await;
    let address = server.address();
    let both = TlsMaterial {
        ca: Some(authority.ca.clone()),
        cert: Some(authority.client_cert.clone()),
        key: Some(authority.client_key.clone()),
        skip_verify: false,
    };
    let echo: Value = tls_of(both.clone(), &address).get("/echo").fetch().await.unwrap();
    assert_eq!(echo["path"], "/v1.51/echo");

    let unknown = TlsMaterial { ca: Some(server::authority().ca), ..both.clone() };
    let error = tls_of(unknown.clone(), &address).ping().await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("error during connect: tcp://{address}: tls: failed to verify certificate: x509: certificate signed by unknown authority")
    );
    let loose = TlsMaterial { skip_verify: true, ..unknown };
    assert!(tls_of(loose, &address).ping().await.is_ok());

    let anonymous = TlsMaterial { cert: None, key: None, ..both.clone() };
    let error = tls_of(anonymous, &address).ping().await.unwrap_err().to_string();
    assert!(error.contains("check your TLS client certification settings"), "{error}");

    let half = TlsMaterial { key: None, ..both.clone() };
    let error = tls_of(half, &address).ping().await.unwrap_err().to_string();
    assert_eq!(error, "a TLS client certificate and its key must be given together");
    let junk = TlsMaterial { ca: Some(b"junk".to_vec()), ..both.clone() };
    let error = tls_of(junk, &address).ping().await.unwrap_err().to_string();
    assert!(error.starts_with("could not load the certificate authorities: "), "{error}");

    let plain = Server::tcp("1.51").await;
    let error = tls_of(both, &plain.address()).ping().await.unwrap_err().to_string();
    assert!(error.ends_with("http: server gave HTTP response to HTTPS client"), "{error}");
}

#[tokio::test]
async fn plain_client_of_a_tls_server_gets_a_hint() {
    let server = Server::tls("1.51", &authority()).await;
    let client = Client::new(Endpoint::parse(&server.address(), None).unwrap());
    let error = client.ping().await.unwrap_err();
    assert!(error.to_string().contains("without TLS?") || error.to_string().ends_with("EOF"), "{error}");
}

#[tokio::test]
async fn dropped_requests_end() {
    let server = Server::unix("1.51");
    let client = server.client();
    client.ping().await.unwrap();
    let hanging = timeout(Duration::from_millis(50), client.get("/hang").send()).await;
    assert!(hanging.is_err());
    server.request_ended().await;
    client.get("/text").finish().await.unwrap();
}

#[test]
fn keys_stay_out_of_debug_output() {
    let material = TlsMaterial { key: Some(b"SECRET".to_vec()), ..Default::default() };
    let endpoint = Endpoint::parse("tcp://h", Some(material)).unwrap();
    assert!(matches!(endpoint.transport, Transport::Tcp { .. }));
    let shown = format!("{endpoint:?}");
    assert!(!shown.contains("SECRET") && !shown.contains("83, 69"), "{shown}");
}
