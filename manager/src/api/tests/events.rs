//! `GET /events`.

use super::*;
use futures_util::StreamExt as _;
use std::time::Duration;

/// The next events of a stream.
async fn take(body: Body, count: usize) -> Vec<Value> {
    let mut stream = body.into_data_stream();
    let mut text = Vec::new();
    while text.iter().filter(|b| **b == b'\n').count() < count {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("an event in time");
        text.extend_from_slice(&chunk.expect("the stream goes on").unwrap());
    }
    text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn changes_are_told_as_they_happen_and_again_on_request() {
    let world = World::new();
    let live = world.send(get("/events?filters=%7B%22type%22%3A%5B%22service%22%5D%7D")).await.into_body();
    let id = world.service("web").await;
    let mut changed = world.stored(id);
    let mut spec = (*changed.current.spec).clone();
    spec.mode.replicated = Some(swarm_types::ReplicatedService { replicas: Some(7) });
    changed.current.spec = Arc::new(spec);
    world.put(Object::Service(Arc::new(changed))).await;
    world.worker(2, "w2").await;
    world.delete(&format!("/services/{id}")).await;

    let events = take(live, 3).await;
    let told: Vec<String> = events.iter().map(|e| format!("{} {}", e["Action"], e["Actor"]["Attributes"])).collect();
    assert_eq!(
        told,
        [r#""create" {"name":"web"}"#, r#""update" {"name":"web","replicas.new":"7","replicas.old":"2"}"#, r#""remove" {"name":"web"}"#]
    );
    assert!(events.iter().all(|e| e["Type"] == "service" && e["scope"] == "swarm" && e["Actor"]["ID"] == id.to_string()));

    // Asked later, with a name of another kind too: only what fits both.
    let again = world.send(get("/events?since=0&filters=%7B%22service%22%3A%5B%22we%22%5D%2C%22event%22%3A%5B%22remove%22%5D%7D")).await;
    assert_eq!(take(again.into_body(), 1).await[0]["Action"], "remove");
    let nodes = world.send(get("/events?since=0&filters=%7B%22node%22%3A%5B%22w2%22%5D%7D")).await;
    assert_eq!(take(nodes.into_body(), 1).await[0]["Actor"]["Attributes"]["name"], "w2");
}

#[tokio::test]
async fn a_stream_with_an_end_ends_and_bad_times_are_refused() {
    let world = World::new();
    world.service("web").await;
    let past = world.send(get("/events?until=1")).await;
    assert_eq!(read(past).await.0, StatusCode::OK);
    for (query, text) in [
        ("since=x", "invalid value for since: \"x\": expected seconds since the Unix epoch"),
        ("since=5&until=4", "`since` time (5) cannot be after `until` time (4)"),
        ("filters=%7B%22color%22%3A%5B%22red%22%5D%7D", "invalid filter 'color'"),
    ] {
        let (status, body) = world.get(&format!("/events?{query}")).await;
        assert_eq!((status, body["message"].as_str()), (StatusCode::BAD_REQUEST, Some(text)));
    }
}
