//! Calls about this host's membership.

use super::{
    Gateway, body,
    reply::{self, Body},
    status::{self, Failure},
};
use crate::membership::ManagerView;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

impl Gateway {
    pub(super) async fn init(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let wanted = body::read_json(request.into_body()).await?;
        let node_id = self.membership.init(wanted).await?;
        Ok(reply::json(StatusCode::OK, &node_id))
    }

    pub(super) async fn join(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let wanted = body::read_json(request.into_body()).await?;
        self.membership.join(wanted).await?;
        Ok(reply::done())
    }

    pub(super) async fn leave(&self, query: &str) -> Result<Response<Body>, Failure> {
        self.membership.leave(is_set(query, "force")).await?;
        Ok(reply::done())
    }

    /// Managers are never locked, as long as there is no autolock.
    pub(super) fn unlock(&self) -> Result<Response<Body>, Failure> {
        let view = self.membership.view();
        match view.manager {
            ManagerView::Ready => Err(Failure::new(StatusCode::CONFLICT, "swarm is not locked")),
            ManagerView::NotReady | ManagerView::None => Err(status::no_manager(&view)),
        }
    }
}

/// Whether a query has this key with a true value, as Docker reads them: everything but nothing, `0`, `no`, `false` and
/// `none`.
fn is_set(query: &str, key: &str) -> bool {
    let pairs = query.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.filter(|(name, _)| *name == key).map(|(_, value)| value.trim().to_ascii_lowercase()).next();
    value.is_some_and(|value| !matches!(value.as_str(), "" | "0" | "no" | "false" | "none"))
}

#[cfg(test)]
mod tests {
    use super::is_set;

    #[test]
    fn truth_is_dockers() {
        for set in ["?force=1", "?force=true", "?a=b&force=xx", "?force=TRUE"] {
            assert!(is_set(set, "force"), "{set}");
        }
        for unset in ["", "?", "?force", "?force=", "?force=0", "?force=False", "?force=no", "?force=none", "?forced=1"] {
            assert!(!is_set(unset, "force"), "{unset}");
        }
    }
}
