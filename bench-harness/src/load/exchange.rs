//! One question and its answer: so many bytes out, so many back, checked. When it began is the business of who asks.

use std::net::TcpStream;

use crate::load::error::LoadError;
use crate::load::question::Question;
use crate::load::{Readiness, Scratch, socket};

/// A round trip under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    question: Question,
    sent: usize,
    /// The start of an answer whose head is not whole yet.
    head: Vec<u8>,
    has_head: bool,
    received: usize,
}

impl Exchange {
    /// A round trip of which nothing is sent yet.
    pub(crate) fn new(question: Question) -> Self {
        Self {
            question,
            sent: 0,
            head: Vec::new(),
            has_head: false,
            received: 0,
        }
    }

    /// Sends what is left to send, as far as the socket takes it.
    pub(crate) fn push(&mut self, socket: &TcpStream, scratch: &Scratch) -> Result<(), LoadError> {
        while self.sent < self.question.length() {
            let rest = self.question.rest(self.sent, &scratch.pattern);
            let sent = socket::send(socket, rest).map_err(LoadError::io("sending a question"))?;
            let Some(sent) = sent else { break };
            self.sent += sent;
        }
        Ok(())
    }

    /// Goes on after an event; true once the whole answer is there.
    pub(crate) fn advance(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<bool, LoadError> {
        if self.sent < self.question.length() && readiness.writable {
            self.push(socket, scratch)?;
        }
        if !readiness.readable {
            return Ok(false);
        }
        let doing = "waiting for an answer";
        loop {
            let came =
                socket::receive(socket, &mut scratch.buffer).map_err(LoadError::io(doing))?;
            let came = match came {
                None => return Ok(false),
                Some(0) => return Err(LoadError::EarlyEnd { doing }),
                Some(came) => came,
            };
            if self.take(came, scratch)? {
                return Ok(true);
            }
            // A short read has emptied the socket, and more will raise an event.
            if came < scratch.buffer.len() {
                return Ok(false);
            }
        }
    }

    /// Checks the `came` bytes in the buffer; true once the answer is whole.
    fn take(&mut self, came: usize, scratch: &Scratch) -> Result<bool, LoadError> {
        let bytes = &scratch.buffer[..came];
        if self.has_head {
            return self.take_payload(bytes, scratch);
        }
        if self.head.is_empty()
            && let Some(length) = self.question.head_bytes(bytes)?
        {
            self.has_head = true;
            return self.take_payload(&bytes[length..], scratch);
        }
        self.head.extend_from_slice(bytes);
        let Some(length) = self.question.head_bytes(&self.head)? else {
            return Ok(false);
        };
        self.has_head = true;
        let head = std::mem::take(&mut self.head);
        self.take_payload(&head[length..], scratch)
    }

    fn take_payload(&mut self, bytes: &[u8], scratch: &Scratch) -> Result<bool, LoadError> {
        let (expected, came) = (
            self.question.answer_bytes_max(self.sent),
            self.received + bytes.len(),
        );
        if came > expected {
            return Err(LoadError::Surplus {
                expected: expected as u64,
                came: came as u64,
            });
        }
        let position = self.received as u64;
        scratch.pattern.check(self.question.seed, position, bytes)?;
        self.received = came;
        Ok(came == self.question.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, SocketAddr};

    use crate::load::pattern::Pattern;
    use crate::load::{Mode, Target, Wait, http, websocket};
    use crate::plan::Scenario;

    const BYTES: usize = 300;

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let target = Target {
            proxy: address,
            origin: address,
            mode: Mode::Forward,
            wait: Wait::Sleep,
            has_origin: true,
        };
        let mut scratch = Scratch {
            buffer: vec![0; 1024].into_boxed_slice(),
            pattern: Pattern::new(),
        };
        let scenarios = [
            (Scenario::Get, http::body_head(BYTES as u64)),
            (Scenario::WebSocketEcho, websocket::header(BYTES)),
        ];
        for (scenario, head) in scenarios {
            let questions = Question::written(scenario, &target, BYTES, &scratch.pattern);
            let question = &questions[3];
            let answer = [head, scratch.pattern.copy(question.seed, BYTES)].concat();
            let mut take = |exchange: &mut Exchange, bytes: &[u8]| {
                scratch.buffer[..bytes.len()].copy_from_slice(bytes);
                exchange.take(bytes.len(), &scratch)
            };
            for cut in 1..answer.len() {
                let mut exchange = Exchange::new(question.clone());
                assert!(!take(&mut exchange, &answer[..cut]).unwrap());
                assert!(take(&mut exchange, &answer[cut..]).unwrap());
                let more = take(&mut exchange, &[0]);
                assert!(matches!(more, Err(LoadError::Surplus { .. })), "{more:?}");
            }
            let mut other = Exchange::new(questions[4].clone());
            let taken = take(&mut other, &answer);
            assert!(matches!(taken, Err(LoadError::Corrupt { .. })), "{taken:?}");
        }
    }
}
