//! Bodies that no client should send.

use super::*;
use bytes::Bytes;
use futures_util::stream;
use proptest::prelude::*;
use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

const PATHS: [&str; 4] = ["/services/create", "/services/web/update?version=2", "/nodes/m1/update?version=1", "/swarm/update?version=1"];

#[tokio::test]
async fn what_is_no_json_is_refused_with_one_error() {
    let world = World::new();
    for path in PATHS {
        for broken in ["{", "nope", "{}x", "{\"a\":}", "\u{0}", "   ", &"[".repeat(100_000)] {
            let (status, body) = world.raw(Method::POST, path, broken.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {broken:.20}");
            assert!(message(&body).starts_with("invalid JSON: "), "{body}");
        }
        for other in ["[]", "1", "\"x\"", "true"] {
            let (status, body) = world.raw(Method::POST, path, other.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {other}: {body}");
        }
    }
}

#[tokio::test]
async fn content_types_are_json_or_nothing() {
    let world = World::new();
    let create = async |content: Option<&str>, name: &str| {
        let request = Request::post("/services/create");
        let request = content.map_or(Request::post("/services/create"), |c| request.header("content-type", c));
        read(world.send(request.body(Body::from(spec(name).to_string())).unwrap()).await).await
    };
    assert_eq!(create(None, "a").await.0, StatusCode::CREATED);
    assert_eq!(create(Some("application/json; charset=utf-8"), "b").await.0, StatusCode::CREATED);
    let (status, body) = create(Some("text/plain"), "c").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message(&body), "unsupported Content-Type header (text/plain): must be 'application/json'");
}

#[tokio::test]
async fn a_huge_body_is_refused_and_never_held() {
    let world = World::new();
    for announced in [true, false] {
        let read_chunks = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read_chunks);
        // 1 GiB in all: more than is listened to.
        let piece = Bytes::from(vec![b' '; 1 << 20]);
        let chunks = stream::iter((0..1024).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(piece.clone())
        }));
        let request = Request::post("/services/create").header("content-type", "application/json");
        let request = if announced { request.header("content-length", 1 << 30) } else { request };
        let (status, body) = read(world.send(request.body(Body::from_stream(chunks)).unwrap()).await).await;
        assert_eq!((status, message(&body)), (StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than 4 MiB"));
        // Listened to for a while, so that the client reads the answer, but not for ever.
        assert!(read_chunks.load(Ordering::Relaxed) <= 520);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let world = World::new();
    let parts = stream::iter([Ok(Bytes::from("{\"Name\":")), Err(std::io::Error::other("gone"))]);
    let request = Request::post("/services/create").body(Body::from_stream(parts)).unwrap();
    let (status, body) = read(world.send(request).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message(&body).starts_with("could not read the request body: "), "{body}");
}

/// Any JSON, with names of real fields among the keys so that it gets somewhere.
fn any_json() -> impl Strategy<Value = Value> {
    let names = proptest::sample::select(vec![
        "Name",
        "Labels",
        "TaskTemplate",
        "ContainerSpec",
        "Image",
        "Env",
        "Mounts",
        "Target",
        "Mode",
        "Replicated",
        "Replicas",
        "Global",
        "EndpointSpec",
        "Ports",
        "TargetPort",
        "PublishedPort",
        "PublishMode",
        "Placement",
        "Constraints",
        "Resources",
        "Limits",
        "NanoCPUs",
        "Healthcheck",
        "Interval",
        "RestartPolicy",
        "Condition",
        "Role",
        "Availability",
        "CAConfig",
        "NodeCertExpiry",
        "UpdateConfig",
        "MaxFailureRatio",
        "Hostname",
        "Networks",
        "Reservations",
        "GenericResources",
        "DiscreteResourceSpec",
        "Preferences",
        "Spread",
    ]);
    let keys = prop_oneof![8 => names.prop_map(str::to_owned), 1 => ".*".prop_map(|s: String| s)];
    let texts = prop_oneof![
        proptest::sample::select(vec!["web", "nginx", "host", "worker", "active", "drain", "any", "{{.Node.ID}}", "{{", "a==b", "", "1"])
            .prop_map(str::to_owned),
        ".*".prop_map(|s: String| s),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => proptest::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A good spec in which some places hold anything.
fn nearly_good() -> impl Strategy<Value = Value> {
    let places = proptest::sample::select(vec![
        "/Name",
        "/Labels",
        "/Mode",
        "/Mode/Replicated",
        "/EndpointSpec",
        "/EndpointSpec/Ports",
        "/TaskTemplate/Placement",
        "/TaskTemplate/Placement/Constraints",
        "/TaskTemplate/Resources",
        "/TaskTemplate/RestartPolicy",
        "/TaskTemplate/ContainerSpec/Env",
        "/TaskTemplate/ContainerSpec/Mounts",
        "/TaskTemplate/ContainerSpec/Healthcheck",
        "/TaskTemplate/ContainerSpec/Image",
        "/TaskTemplate/ContainerSpec/Hostname",
        "/TaskTemplate/Networks",
        "/UpdateConfig",
    ]);
    proptest::collection::vec((places, any_json()), 1..3).prop_map(|changes| {
        changes.into_iter().fold(spec("web"), |spec, (place, value)| {
            let blocked =
                place.match_indices('/').skip(1).any(|(at, _)| spec.pointer(&place[..at]).is_some_and(|v| !v.is_object() && !v.is_null()));
            if blocked { spec } else { with(spec, place, value) }
        })
    })
}

fn always_an_answer(body: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        world.service("web").await;
        for path in PATHS {
            let before = world.store.state().applied();
            let (status, answer) = world.raw(Method::POST, path, body.to_owned()).await;
            let after = world.store.state().applied();
            if status.is_success() {
                assert_eq!(after, before + 1);
            } else {
                assert!(!message(&answer).is_empty());
                assert_eq!(after, before, "a refused request stored something");
            }
        }
        // Whatever was stored can be read again.
        for path in ["/services?status=1", "/nodes", "/swarm", "/tasks"] {
            assert_eq!(world.get(path).await.0, StatusCode::OK);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_json_gets_an_answer(body in any_json()) {
        always_an_answer(&body.to_string());
    }

    #[test]
    fn nearly_good_specs_get_an_answer(body in nearly_good()) {
        always_an_answer(&body.to_string());
    }

    #[test]
    fn any_text_gets_an_answer(body in ".*") {
        always_an_answer(&body);
    }

    #[test]
    fn any_path_and_query_gets_an_answer(path in "/(services|nodes|tasks|swarm|v1.41)?/?[ -~]{0,20}", filters in ".{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let escaped: String = filters.bytes().map(|b| format!("%{b:02X}")).collect();
        let Ok(uri) = format!("{}?filters={escaped}", path.replace(['?', '#', ' '], "")).parse::<http::Uri>() else { return Ok(()) };
        runtime.block_on(async {
            let request = Request::get(uri).body(Body::empty()).unwrap();
            let (status, body) = read(World::new().send(request).await).await;
            assert!(status.is_success() || !message(&body).is_empty());
        });
    }
}
