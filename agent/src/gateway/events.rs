//! `/events`: what happens on this host and in the cluster, in one stream.

use super::{
    Gateway, MANAGER_VERSION, NEWEST, Target, proxy,
    reply::{self, Body},
    status::Failure,
    uri,
};
use crate::{backend, error_chain::chain, membership::ManagerView};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};

impl Gateway {
    /// The engine's events, and on a manager those of the cluster between them. The stream ends when both have ended; a
    /// manager that goes away takes only its own part along.
    pub(super) async fn events(&self, request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let cluster = match self.membership.view().manager {
            ManagerView::Ready => self.cluster_events(target).await?,
            ManagerView::None | ManagerView::NotReady => None,
        };
        let cluster = match cluster {
            // The engine has not been asked yet, and would say the same of the same parameters.
            Some(answer) if !answer.status().is_success() => return Ok(answer.map(|body| body.boxed_unsync())),
            answer => answer,
        };
        let response = self.to_engine(request, target).await?;
        let Some(cluster) = cluster.filter(|_| response.status().is_success()) else { return Ok(response) };
        let (mut head, engine) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        let cluster = lines(cluster.into_body().boxed_unsync()).take_while(|line| {
            if let Err(error) = line {
                tracing::warn!(%error, "the manager's events broke off; the engine's go on");
            }
            std::future::ready(line.is_ok())
        });
        let both = stream::select(lines(engine), cluster).map(|line| line.map(Frame::data));
        Ok(Response::from_parts(head, StreamBody::new(both).boxed_unsync()))
    }

    /// The manager's answer; `None` if it does not answer at all.
    async fn cluster_events(&self, target: &Target) -> Result<Option<Response<Incoming>>, Failure> {
        let version = target.version.unwrap_or(NEWEST).to_string();
        let request = Request::get(uri(&format!("{}{}", target.path, target.query))?)
            .header(header::HOST, "localhost")
            .header(MANAGER_VERSION, HeaderValue::try_from(version).expect("digits and a dot are a header value"))
            .body(Empty::<Bytes>::new())
            .expect("the parts are valid");
        match backend::send(self.manager.endpoint(), request).await {
            Ok(mut answer) => {
                proxy::keep_end_to_end(answer.headers_mut(), false);
                Ok(Some(answer))
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the manager's events cannot be had; telling the engine's only");
                Ok(None)
            }
        }
    }
}

/// A body in whole lines, so that those of two bodies can follow each other.
fn lines(body: Body) -> impl Stream<Item = Result<Bytes, hyper::Error>> + Send {
    stream::unfold((body, BytesMut::new()), |(mut body, mut held)| async move {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    held.extend_from_slice(data);
                    if let Some(end) = held.iter().rposition(|byte| *byte == b'\n') {
                        return Some((Ok(held.split_to(end + 1).freeze()), (body, held)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (reply::empty(), BytesMut::new()))),
                None if held.is_empty() => return None,
                None => return Some((Ok(held.split().freeze()), (body, held))),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_whatever_the_pieces() {
        let pieces = ["{\"a\":", "1}\n{\"b\":2}\n{", "\"c\":3}\n", "rest"];
        let pieces = pieces.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let body = StreamBody::new(stream::iter(pieces)).boxed_unsync();
        let told: Vec<Bytes> = lines(body).map(|line| line.expect("no error")).collect().await;
        assert_eq!(told, ["{\"a\":1}\n{\"b\":2}\n", "{\"c\":3}\n", "rest"]);
    }
}
