//! `system dial-stdio`: standard input and output as a connection to the daemon, which is what `ssh://` runs on the far side.

use crate::failure::{Failure, Outcome};
use crate::session::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, split, stdin, stdout};

/// Passes bytes on in both directions until the daemon has nothing more to say.
///
/// The end of standard input is passed on too, and the answer to what came before it is waited for.
///
/// # Errors
/// If there is no connection, or it breaks.
pub(super) async fn dial_stdio(session: &Session) -> Outcome {
    let connection = session.api.dial().await;
    let connection = connection.map_err(|e| Failure::new(format!("failed to open the raw stream connection: {e}")))?;
    let (from_daemon, to_daemon) = split(connection);
    let upwards = pass(stdin(), to_daemon, "stdin to stream");
    let downwards = pass(from_daemon, stdout(), "stream to stdout");
    tokio::pin!(upwards, downwards);
    tokio::select! {
        end = &mut upwards => {
            end?;
            downwards.await
        }
        // Not waiting for standard input: a terminal never ends by itself.
        end = &mut downwards => end,
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, what: &str) -> Outcome {
    let error = |e: std::io::Error| Failure::new(format!("error while Copy ({what}): {e}"));
    copy(&mut from, &mut to).await.map_err(error)?;
    to.shutdown().await.map_err(error)
}
