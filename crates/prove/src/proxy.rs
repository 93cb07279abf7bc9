//! A TCP proxy that makes trouble on purpose: it delays, hands over single bytes, cuts, resets, falls silent, or drops the answer to
//! a request that it has passed on. What it does to which connection follows from its seed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::dice::Dice;

/// What happens to the connections of a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Each connection ends after so many milliseconds, in one way or another; `None` leaves that to others.
    pub life: Option<(u64, u64)>,
    /// So many of a hundred answers are dropped, and their connection with them.
    pub dropped_answers: u64,
    /// So many of a hundred connections are slow: each piece waits for some milliseconds, or comes in single bytes.
    pub slow: u64,
}

impl Manner {
    pub const PLAIN: Manner = Manner { life: None, dropped_answers: 0, slow: 0 };
}

#[derive(Default)]
pub struct Counts {
    pub connections: AtomicU64,
    pub cuts: AtomicU64,
    pub dropped_answers: AtomicU64,
}

/// Listens until it is dropped. Where it passes connections on to can change.
pub struct Proxy {
    pub address: SocketAddr,
    pub counts: Arc<Counts>,
    target: Arc<Mutex<SocketAddr>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Proxy {
    pub async fn start(target: SocketAddr, seed: u64, manner: Manner) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (counts, target) = (Arc::<Counts>::default(), Arc::new(Mutex::new(target)));
        let (counted, aimed) = (counts.clone(), target.clone());
        let listening = tokio::spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let to = *aimed.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(pass(client, to, Dice::of(seed, number), manner, counted.clone()));
            }
        });
        Ok(Proxy { address, counts, target, listening })
    }

    /// New connections go there from now on.
    pub fn aim(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

/// How a connection ends.
#[derive(Clone, Copy)]
enum End {
    Close,
    Reset,
    /// Nothing comes any more, and nobody says so.
    Silence,
}

/// How bytes are passed on.
#[derive(Clone, Copy)]
enum Pace {
    Plain,
    Delay(Duration),
    Bytes,
}

async fn pass(mut client: TcpStream, to: SocketAddr, mut dice: Dice, manner: Manner, counts: Arc<Counts>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let ends = manner.life.map(|(from, to)| dice.millis(from, to));
    let end = [End::Close, End::Reset, End::Silence][dice.below(3)];
    let pace = match dice.percent(manner.slow) {
        true if dice.percent(50) => Pace::Bytes,
        true => Pace::Delay(dice.millis(1, 20)),
        false => Pace::Plain,
    };
    let over = async {
        match ends {
            Some(life) => sleep(life).await,
            None => std::future::pending().await,
        }
    };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = copy(from_client, to_server) => return,
            () = answers(from_server, to_client, pace, &mut dice, manner, &counts) => return,
            () = over => {}
        }
    }
    counts.cuts.fetch_add(1, Ordering::Relaxed);
    match end {
        End::Close => {}
        End::Reset => drop(client.set_zero_linger()),
        End::Silence => sleep(SILENCE).await,
    }
}

/// Longer than a client of ours waits.
const SILENCE: Duration = Duration::from_secs(8);

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// As [`copy`], but now and then what the server answers never arrives.
async fn answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    pace: Pace,
    dice: &mut Dice,
    manner: Manner,
    counts: &Counts,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if dice.percent(manner.dropped_answers) {
            counts.dropped_answers.fetch_add(1, Ordering::Relaxed);
            // A part of it may arrive.
            let part = dice.below(count);
            drop(to.write_all(&buffer[..part]).await);
            return;
        }
        if hand_over(&mut to, &buffer[..count], pace).await.is_err() {
            return;
        }
    }
}

async fn hand_over(to: &mut WriteHalf<'_>, bytes: &[u8], pace: Pace) -> std::io::Result<()> {
    match pace {
        Pace::Plain => to.write_all(bytes).await,
        Pace::Delay(pause) => {
            sleep(pause).await;
            to.write_all(bytes).await
        }
        Pace::Bytes => {
            for byte in bytes {
                to.write_all(&[*byte]).await?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers what it is asked.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        address
    }

    /// What comes back, and how it ended.
    async fn ask(manner: Manner) -> (Vec<u8>, std::io::Result<usize>) {
        let proxy = Proxy::start(echo().await, 7, manner).await.expect("a proxy");
        let mut stream = TcpStream::connect(proxy.address).await.expect("a connection");
        stream.write_all(b"hello").await.expect("written");
        let mut heard = Vec::new();
        loop {
            match stream.read_buf(&mut heard).await {
                Ok(1..) if heard.len() < 5 || manner.life.is_some() => {}
                ended => return (heard, ended),
            }
        }
    }

    #[tokio::test]
    async fn bytes_pass_however_slowly() {
        assert_eq!(ask(Manner::PLAIN).await.0, b"hello");
        assert_eq!(ask(Manner { slow: 100, ..Manner::PLAIN }).await.0, b"hello");
    }

    #[tokio::test]
    async fn an_answer_is_dropped_with_its_connection() {
        let (heard, ended) = ask(Manner { dropped_answers: 100, ..Manner::PLAIN }).await;
        assert!(heard.len() < 5 && matches!(ended, Ok(0) | Err(_)), "{heard:?} {ended:?}");
    }

    #[tokio::test]
    async fn a_connection_ends_when_its_life_is_over() {
        let life = Some((50, 50));
        let ended = tokio::time::timeout(SILENCE + SILENCE, ask(Manner { life, ..Manner::PLAIN })).await;
        let (heard, ended) = ended.expect("it ends");
        assert!(heard == b"hello" && matches!(ended, Ok(0) | Err(_)), "{heard:?} {ended:?}");
    }
}
