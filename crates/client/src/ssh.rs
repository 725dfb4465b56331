//! A connection through ssh: a command there passes our bytes on to the socket.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::endpoint::SshTarget;

/// What ssh says on its error stream is shown up to this length.
const STDERR_BYTES_MAX: u64 = 4096;

/// The streams of a running ssh. Dropping it kills ssh.
pub(crate) struct SshStream {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Waits for ssh to end and says why, if it failed.
    ending: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
    ended: bool,
}

impl SshStream {
    /// Starts ssh. Whether it gets through shows when the stream is used.
    pub(crate) fn spawn(target: &SshTarget) -> io::Result<SshStream> {
        SshStream::start("ssh", &arguments(target))
    }

    fn start(program: &str, arguments: &[String]) -> io::Result<SshStream> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("ssh has no standard streams");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let command = format!("{program} {}", arguments.join(" "));
        Ok(SshStream { stdin: Some(stdin), stdout, ending: Box::pin(ending(child, stderr, command)), ended: false })
    }

    /// The reason why ssh ended, once it did.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.ending.as_mut().poll(cx));
        self.ended = true;
        Poll::Ready(result)
    }
}

async fn ending(mut child: Child, stderr: ChildStderr, command: String) -> io::Result<()> {
    let mut said = Vec::new();
    let mut stderr = stderr.take(STDERR_BYTES_MAX);
    // ssh closes the stream when it ends, so the order of these two does not matter.
    stderr.read_to_end(&mut said).await?;
    drop(stderr);
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => "a signal".into(),
    };
    Err(io::Error::other(format!(
        "command [{command}] has exited with {how}, make sure the URL is valid, and swarm or \
         Docker 18.09 or later is installed on the remote host: stderr={}",
        String::from_utf8_lossy(&said)
    )))
}

/// The arguments of ssh. The remote shell runs what follows the host.
fn arguments(target: &SshTarget) -> Vec<String> {
    let mut arguments = vec!["-o".into(), "ConnectTimeout=30".into(), "-T".into()];
    if let Some(user) = &target.user {
        arguments.extend(["-l".into(), user.clone()]);
    }
    if let Some(port) = target.port {
        arguments.extend(["-p".into(), port.to_string()]);
    }
    arguments.extend(["--".into(), target.host.clone()]);
    let options = match &target.socket {
        Some(path) => format!(" {}", quoted(&format!("--host=unix://{path}"))),
        None => String::new(),
    };
    // A host without swarm may still have docker. Asking there saves a second connection, and
    // `sh -c` makes it independent of the login shell.
    let script = format!(
        "if command -v swarm >/dev/null 2>&1; then exec swarm{options} system dial-stdio; \
         else exec docker{options} system dial-stdio; fi"
    );
    arguments.extend(["sh".into(), "-c".into(), quoted(&script)]);
    arguments
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The end of the stream is an error if ssh failed.
        self.poll_ending(cx)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stdin) = &mut self.stdin else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match ready!(Pin::new(stdin).poll_write(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ready!(self.poll_ending(cx))?;
                Poll::Ready(Err(error))
            }
            result => Poll::Ready(result),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stdin) = &mut self.stdin {
            ready!(Pin::new(stdin).poll_shutdown(cx))?;
        }
        self.stdin = None; // Closing the pipe is what ssh notices.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn target(socket: Option<&str>) -> SshTarget {
        SshTarget { user: Some("me".into()), host: "far".into(), port: Some(2222), socket: socket.map(str::to_string) }
    }

    fn shell(script: &str) -> SshStream {
        SshStream::start("sh", &["-c".into(), script.into()]).unwrap()
    }

    #[test]
    fn remote_command_prefers_swarm() {
        let all = arguments(&target(None));
        let fixed = ["-o", "ConnectTimeout=30", "-T", "-l", "me", "-p", "2222", "--", "far", "sh", "-c"];
        assert_eq!(all[..fixed.len()], fixed);
        assert_eq!(
            all[fixed.len()..],
            ["'if command -v swarm >/dev/null 2>&1; then exec swarm system dial-stdio; \
              else exec docker system dial-stdio; fi'"]
        );
        let plain = SshTarget { user: None, host: "h".into(), port: None, socket: None };
        assert_eq!(arguments(&plain)[..5], ["-o", "ConnectTimeout=30", "-T", "--", "h"]);
    }

    /// The remote shell must see the socket as one word, whatever is in it.
    #[test]
    fn remote_command_quotes_the_socket() {
        let script = arguments(&target(Some("/a b/it's.sock"))).pop().unwrap();
        let fake = "swarm() { printf '%s|' \"$@\"; }";
        let run = format!("set -- {script}; {fake}; eval \"$(echo \"$1\" | sed 's/exec //g')\"");
        let output = std::process::Command::new("sh").args(["-c", &run]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(shown, "--host=unix:///a b/it's.sock|system|dial-stdio|", "{output:?}");
    }

    #[tokio::test]
    async fn bytes_go_through_the_command() {
        let mut stream = shell("cat");
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn failing_command_is_named_with_what_it_said() {
        let mut stream = shell("echo no way >&2; exit 255");
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err().to_string();
        assert!(error.starts_with("command [sh -c echo no way >&2; exit 255] has exited with exit status 255"));
        assert!(error.ends_with("stderr=no way\n"), "{error}");
    }
}
