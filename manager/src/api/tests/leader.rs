//! A manager that does not lead, and one that is not sure.

use super::*;
use crate::api::Forwarded;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Another manager that records what it is sent and answers from a list, then with "forwarded".
#[derive(Default)]
struct Other {
    seen: Mutex<Vec<String>>,
    answers: Mutex<Vec<Result<StatusCode, bool>>>,
}

impl Forward for Other {
    fn forward<'a>(&'a self, to: &'a RemoteManager, request: Request<Body>) -> ForwardFuture<'a> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            self.seen.lock().unwrap().push(format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&bytes)));
            match self.answers.lock().unwrap().pop() {
                Some(Err(sent)) => Err(ForwardError { to: to.clone(), reason: "broken".into(), sent }),
                Some(Ok(status)) => {
                    let response = Response::builder().status(status).header("x-swarm-not-leading", "1");
                    Ok(response.body(Body::empty()).unwrap())
                }
                None => Ok(Response::builder().status(StatusCode::ACCEPTED).body(Body::from("\"forwarded\"")).unwrap()),
            }
        })
    }
}

fn follower(answers: Vec<Result<StatusCode, bool>>) -> (World, Arc<Other>) {
    let other = Arc::new(Other { answers: Mutex::new(answers), ..Other::default() });
    let world = World::with(World::new().store.state(), Arc::clone(&other) as Arc<dyn Forward>);
    world.leadership.send_replace(leads(9));
    (world, other)
}

fn leads(number: u8) -> Leadership {
    Leadership::Other(RemoteManager { node_id: node_id(number), addr: "10.0.0.9:2377".into() })
}

#[tokio::test]
async fn writes_and_nodes_go_to_the_leader_and_other_reads_stay() {
    let (world, other) = follower(vec![]);
    let (status, body) = world.raw(Method::POST, "/v1.41/services/create?x=1", "{}").await;
    assert_eq!((status, body), (StatusCode::ACCEPTED, json!("forwarded")));
    world.get("/nodes?filters=").await;
    assert_eq!(world.get("/services").await, (StatusCode::OK, json!([])));
    assert_eq!(world.get("/swarm").await.0, StatusCode::OK);
    assert_eq!(*other.seen.lock().unwrap(), ["POST /v1.41/services/create?x=1 {}", "GET /nodes?filters= "]);
}

#[tokio::test]
async fn nothing_is_forwarded_twice() {
    let (world, other) = follower(vec![]);
    let mut request = Request::delete("/services/web").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Forwarded);
    let response = world.send(request).await;
    assert!(response.headers().contains_key("x-swarm-not-leading"));
    let (status, body) = read(response).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(message(&body), crate::NO_LEADER);
    assert!(other.seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_sent_again() {
    // Last first: not reached, then reached one that does not lead, then answered.
    let (world, other) = follower(vec![Ok(StatusCode::INTERNAL_SERVER_ERROR), Err(false)]);
    assert_eq!(world.delete("/services/web").await.0, StatusCode::ACCEPTED);
    assert_eq!(other.seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_arrived_is_not_sent_again_but_a_read_is() {
    let (world, _) = follower(vec![Err(true)]);
    let (status, body) = world.delete("/services/web").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(message(&body).contains("it is not known whether the request was carried out"), "{body}");
    let (world, other) = follower(vec![Err(true)]);
    assert_eq!(world.get("/nodes").await.0, StatusCode::ACCEPTED);
    assert_eq!(other.seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_a_write_waits_for_one_and_then_fails() {
    let world = World::new();
    world.leadership.send_replace(Leadership::None);
    let start = Instant::now();
    let (status, body) = world.post("/services/create", &spec("web")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(message(&body), crate::NO_LEADER);
    assert!(start.elapsed() >= Duration::from_secs(10) && start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());

    let world = Arc::new(World::new());
    world.leadership.send_replace(Leadership::None);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.post("/services/create", &spec("web")).await.0 }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished());
    world.leadership.send_replace(Leadership::Own { term: 2 });
    assert_eq!(waiting.await.unwrap(), StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_never_answers_costs_the_deadline() {
    struct Silent;
    impl Forward for Silent {
        fn forward<'a>(&'a self, _to: &'a RemoteManager, _request: Request<Body>) -> ForwardFuture<'a> {
            Box::pin(std::future::pending())
        }
    }
    let world = World::with(World::new().store.state(), Arc::new(Silent));
    world.leadership.send_replace(leads(9));
    let start = Instant::now();
    let (status, body) = world.delete("/services/web").await;
    assert_eq!(
        (status, message(&body)),
        (StatusCode::INTERNAL_SERVER_ERROR, "rpc error: code = DeadlineExceeded desc = context deadline exceeded")
    );
    assert_eq!(start.elapsed(), Duration::from_secs(20));
}
