//! A client's connection to a relay on one of the two runtimes, from its first byte to its last: one story for both,
//! so that only the runtime differs. Buffers are handed over and come back, as completions need it. One exchange at a
//! time; the connection to the target is kept for the client's next request to the same target, and no longer.

use std::io;
use std::net::SocketAddr;

use crate::reference::BUFFER_BYTES;
use crate::reference::connect_head::{
    self, Answer, Asked, ESTABLISHED, HEAD_BYTES_MAX, Refusal, Then, What,
};

/// A connection, as a runtime has it.
pub(super) trait Stream: Sized {
    /// Connects, with TCP_NODELAY.
    async fn dial(target: SocketAddr) -> io::Result<Self>;

    /// Receives into the spare room of `buffer`, behind what it holds: bytes that came, 0 at the end of the stream.
    async fn receive(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>);

    /// Sends all of `buffer`.
    async fn send(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>);

    /// Makes the coming close a reset.
    fn reset(&self);

    /// Relays both ways until both have ended or one is broken, and closes both. The buffers are empty.
    async fn relay(client: Self, target: Self, buffers: [Vec<u8>; 2]);
}

/// What ends a session early.
enum Failure {
    /// The client can still be told.
    Refused(Refusal),
    /// An answer is cut short, or nobody is there to be told.
    Broken,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A session, and whatever it keeps from one exchange to the next.
struct Session<S> {
    client: S,
    target: Option<(SocketAddr, S)>,
    /// What came from the client and has not gone on yet.
    up: Vec<u8>,
    /// What came from the target.
    down: Vec<u8>,
    forwarded: Vec<u8>,
}

/// Serves a client until it ends.
pub(super) async fn serve<S: Stream>(client: S) {
    let mut session = Session {
        client,
        target: None,
        up: Vec::with_capacity(BUFFER_BYTES),
        down: Vec::new(),
        forwarded: Vec::new(),
    };
    let failure = loop {
        match session.exchange().await {
            Ok(Next::Request) => {}
            Ok(Next::End) => return,
            Ok(Next::Tunnel) => return session.tunnel().await,
            Err(failure) => break failure,
        }
    };
    match failure {
        Failure::Refused(refusal) => {
            let _ = session.client.send(refusal.reply().to_vec()).await;
        }
        Failure::Broken => {
            session.client.reset();
            session.target.iter().for_each(|(_, target)| target.reset());
        }
    }
}

/// What comes after an exchange.
enum Next {
    Request,
    Tunnel,
    End,
}

impl<S: Stream> Session<S> {
    /// One request, and its answer to the last byte.
    async fn exchange(&mut self) -> Result<Next, Failure> {
        let Some(asked) = self.read_request().await? else {
            return Ok(Next::End);
        };
        self.up.drain(..asked.bytes);
        self.connect(asked.target).await?;
        let What::Answer { last } = asked.what else {
            let established = ESTABLISHED.to_vec();
            self.client
                .send(established)
                .await
                .0
                .or(Err(Failure::Broken))?;
            return Ok(Next::Tunnel);
        };
        let Some((_, target)) = &mut self.target else {
            return Err(Failure::Broken);
        };
        let (sent, forwarded) = target.send(std::mem::take(&mut self.forwarded)).await;
        self.forwarded = forwarded;
        sent.or(Err(Refusal::Gateway))?;
        loop {
            let answer = self.read_answer().await?;
            match self.pass_answer(answer).await? {
                Next::Request if last => return Ok(Next::End),
                Next::Request if answer.then == Then::Answer => {}
                next => return Ok(next),
            }
        }
    }

    /// The client's next request, none if it has ended.
    async fn read_request(&mut self) -> Result<Option<Asked>, Failure> {
        loop {
            if let Some(asked) = connect_head::request(&self.up, &mut self.forwarded)? {
                return Ok(Some(asked));
            }
            let room = HEAD_BYTES_MAX.saturating_sub(self.up.len());
            self.up.reserve(room);
            let (came, up) = self.client.receive(std::mem::take(&mut self.up)).await;
            self.up = up;
            match came {
                Ok(0) if self.up.is_empty() => return Ok(None),
                Ok(0) | Err(_) => return Err(Failure::Broken),
                Ok(_) => {}
            }
        }
    }

    /// Connects to the target, unless the last request went there.
    async fn connect(&mut self, address: SocketAddr) -> Result<(), Failure> {
        if !matches!(&self.target, Some((there, _)) if *there == address) {
            let target = S::dial(address).await.or(Err(Refusal::Gateway))?;
            self.target = Some((address, target));
        }
        Ok(())
    }

    /// The head of an answer, at the start of `down`.
    async fn read_answer(&mut self) -> Result<Answer, Failure> {
        loop {
            if let Some(answer) = connect_head::answer(&self.down)? {
                return Ok(answer);
            }
            self.down
                .reserve(BUFFER_BYTES.saturating_sub(self.down.len()));
            match self.receive_down().await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Refusal::Gateway.into()),
            }
        }
    }

    /// Sends an answer on, as far as it has come and then as it comes.
    async fn pass_answer(&mut self, answer: Answer) -> Result<Next, Failure> {
        let came = self.down.len() - answer.bytes;
        let (mut left, next) = match answer.then {
            Then::Body { bytes, last: true } => (bytes, Next::End),
            Then::Body { bytes, last: false } => (bytes, Next::Request),
            Then::Tunnel => (came as u64, Next::Tunnel),
            Then::Answer => {
                let rest = self.down.split_off(answer.bytes);
                self.send_down().await?;
                self.down.extend_from_slice(&rest);
                return Ok(Next::Request);
            }
        };
        left = left.checked_sub(came as u64).ok_or(Failure::Broken)?; // nobody asked for more
        self.send_down().await?;
        while left > 0 {
            match self.receive_down().await {
                Ok(came @ 1..) => {
                    left = left.checked_sub(came as u64).ok_or(Failure::Broken)?;
                }
                Ok(0) | Err(_) => return Err(Failure::Broken),
            }
            self.send_down().await?;
        }
        Ok(next)
    }

    async fn receive_down(&mut self) -> io::Result<usize> {
        let Some((_, target)) = &mut self.target else {
            return Ok(0);
        };
        let (came, down) = target.receive(std::mem::take(&mut self.down)).await;
        self.down = down;
        came
    }

    async fn send_down(&mut self) -> Result<(), Failure> {
        let (sent, down) = self.client.send(std::mem::take(&mut self.down)).await;
        self.down = down;
        self.down.clear();
        sent.or(Err(Failure::Broken))
    }

    /// What came early goes first, then everything else as it comes.
    async fn tunnel(mut self) {
        let Some((_, mut target)) = self.target else {
            return;
        };
        if !self.up.is_empty() {
            let sent;
            (sent, self.up) = target.send(self.up).await;
            if sent.is_err() {
                self.client.reset();
                return;
            }
            self.up.clear();
        }
        self.down.reserve(BUFFER_BYTES);
        S::relay(self.client, target, [self.up, self.down]).await;
    }
}
