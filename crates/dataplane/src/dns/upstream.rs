//! Asking other servers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time;

use super::answer::{HEADER_BYTES, Transport, question_end};
use super::resolv_conf::SERVERS_MAX;

/// A server that said nothing for so long is asked further, and the next one besides. With three servers
/// each has at least a second before the resolver in the container, which waits for four, gives up.
const NEXT_AFTER: Duration = Duration::from_millis(1000);
/// When nobody answers any more.
const GIVE_UP_AFTER: Duration = Duration::from_millis(3700);
/// A server that did not answer is asked after the others for so long.
const SHUNNED_FOR: Duration = Duration::from_secs(30);
/// Silent servers to remember; with more, the record is begun anew.
const SILENT_MAX: usize = 256;

/// Other servers, and which of them were silent of late.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    silent: Mutex<HashMap<SocketAddr, Instant>>,
}

/// What asking one server came to.
enum Heard {
    /// An answer to the question.
    Answer(Vec<u8>),
    /// The server cannot tell; another may.
    Refusal(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl Upstream {
    /// Asks servers one after the other until one knows, and returns its answer under the question's id.
    /// What a server says that cannot tell is returned when nobody can. `None` when nobody answers.
    ///
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn ask(&self, servers: &[SocketAddr], query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut servers = self.order(servers).into_iter();
        let mut asked = FuturesUnordered::new();
        let mut refusal = None;
        let give_up = time::sleep(GIVE_UP_AFTER);
        tokio::pin!(give_up);
        loop {
            let latest = servers.next();
            match latest {
                Some(server) => asked.push(ask_one(server, query, transport)),
                None if asked.is_empty() => return refusal,
                None => {}
            }
            let next = time::sleep(if latest.is_some() { NEXT_AFTER } else { GIVE_UP_AFTER });
            tokio::select! {
                Some((server, heard)) = asked.next() => match heard {
                    Heard::Answer(answer) => {
                        self.note(server, false);
                        return Some(answer);
                    }
                    Heard::Refusal(answer) => refusal = Some(answer),
                    Heard::Nothing => self.note(server, true),
                },
                () = next => latest.into_iter().for_each(|server| self.note(server, true)),
                () = &mut give_up => return refusal,
            }
        }
    }

    /// The servers, those that were silent of late last.
    fn order(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers: Vec<_> = servers.iter().copied().take(SERVERS_MAX).collect();
        servers.sort_by_key(|server| silent.get(server).is_some_and(|since| since.elapsed() < SHUNNED_FOR));
        servers
    }

    /// Remembers whether a server is silent.
    fn note(&self, server: SocketAddr, is_silent: bool) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_silent {
            silent.remove(&server);
            return;
        }
        if silent.len() >= SILENT_MAX {
            silent.clear();
        }
        silent.insert(server, Instant::now());
    }
}

async fn ask_one(server: SocketAddr, query: &[u8], transport: Transport) -> (SocketAddr, Heard) {
    let answer = match transport {
        Transport::Udp => ask_udp(server, query).await,
        Transport::Tcp => ask_tcp(server, query).await,
    };
    let heard = match answer {
        // The codes by which a server says that it failed, does not do this, or not for us.
        Ok(answer) if matches!(answer[3] & 0x0f, 2 | 4 | 5) => Heard::Refusal(answer),
        Ok(answer) => Heard::Answer(answer),
        Err(_) => Heard::Nothing,
    };
    (server, heard)
}

/// Asks by one packet from a port of its own, which together with the id is what keeps others from
/// answering in the server's place.
async fn ask_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let (sent, id) = with_new_id(query);
    socket.send(&sent).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = with_old_id(&buffer[..length], &sent, id) {
            return Ok(answer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sent, id) = with_new_id(query);
    write_message(&mut stream, &sent).await?;
    let mut buffer = Vec::new();
    loop {
        read_message(&mut stream, &mut buffer).await?;
        if let Some(answer) = with_old_id(&buffer, &sent, id) {
            return Ok(answer);
        }
    }
}

/// Writes a message with its length before it, in one piece.
pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Reads a message with its length before it.
pub(crate) async fn read_message(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await?;
    Ok(())
}

fn with_new_id(query: &[u8]) -> (Vec<u8>, [u8; 2]) {
    let mut sent = query.to_vec();
    let id = [sent[0], sent[1]];
    sent[..2].copy_from_slice(&rand::random::<[u8; 2]>());
    (sent, id)
}

/// An answer to what was sent, under the id of the question; `None` when it is something else.
fn with_old_id(answer: &[u8], sent: &[u8], id: [u8; 2]) -> Option<Vec<u8>> {
    let is_answer = answer.len() >= HEADER_BYTES && answer[..2] == sent[..2] && answer[2] & 0x80 != 0;
    if !is_answer {
        return None;
    }
    let same = match (question_end(answer), question_end(sent)) {
        (Some(end), Some(sent_end)) => {
            // The last four bytes are kind and class; what is before them is a name.
            let (name, kind) = answer[HEADER_BYTES..end].split_at(end - HEADER_BYTES - 4);
            let (sent_name, sent_kind) = sent[HEADER_BYTES..sent_end].split_at(sent_end - HEADER_BYTES - 4);
            name.eq_ignore_ascii_case(sent_name) && kind == sent_kind
        }
        // Some servers leave the question out when they refuse it.
        (None, _) => answer[4..6] == [0, 0] && answer[3] & 0x0f != 0,
        (Some(_), None) => false,
    };
    same.then(|| {
        let mut answer = answer.to_vec();
        answer[..2].copy_from_slice(&id);
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x07example\0\0\x01\0\x01";

    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
        let mut bytes = QUERY.to_vec();
        bytes[2] |= 0x80;
        change(&mut bytes);
        with_old_id(&bytes, QUERY, [7, 8])
    }

    #[test]
    fn only_an_answer_to_the_question_is_one() {
        assert_eq!(answer(|_| ()).expect("an answer")[..2], [7, 8]);
        assert!(answer(|bytes| bytes[13] = b'W').is_some(), "case does not matter");
        assert!(answer(|bytes| bytes[13] = b'x').is_none(), "another name");
        assert!(answer(|bytes| bytes[0] = 0).is_none(), "another id");
        assert!(answer(|bytes| bytes[2] = 1).is_none(), "a question");
        let kind = QUERY.len() - 3;
        assert!(answer(|bytes| bytes[kind] = 28).is_none(), "another kind");
        assert!(answer(|bytes| bytes.truncate(20)).is_none(), "a part");
        let bare = |code: u8| {
            answer(|bytes| {
                bytes.truncate(12);
                bytes[5] = 0;
                bytes[3] = code;
            })
        };
        assert!(bare(5).is_some() && bare(0).is_none());
    }
}
