//! Pipes and splice(2). See `kernel-notes/splice.md`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// A pipe that carries spliced bytes between two sockets, and how many it holds.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: u32,
}

/// What one splice did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spliced {
    /// This many bytes moved; never zero.
    Moved(u32),
    /// The socket cannot go on now: nothing to read, or no room to write.
    Blocked,
    /// The source has ended.
    End,
}

impl Pipe {
    /// A pipe of at least half of `bytes`. Past `fs.pipe-user-pages-soft` the kernel silently gives new pipes two
    /// slots, and refuses to enlarge them: such a pipe is reported as out of resources rather than used.
    ///
    /// # Errors
    /// What pipe2(2) says, or ENOMEM for a pipe that is too small.
    pub fn open(bytes: u32) -> io::Result<Self> {
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: `ends` has room for the two descriptors.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: pipe2 succeeded, so both are open and owned by nobody else.
        let (read, write) =
            unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: F_SETPIPE_SZ and F_GETPIPE_SZ take and give integers.
        let capacity = unsafe {
            libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, bytes as libc::c_int);
            check(libc::fcntl(write.as_raw_fd(), libc::F_GETPIPE_SZ))?
        };
        if u32::try_from(capacity).unwrap_or(0) < bytes / 2 {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        Ok(Self {
            read,
            write,
            held: 0,
        })
    }

    /// Bytes in the pipe.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Moves up to `bytes` bytes from a non-blocking socket into the pipe. Call it on an empty pipe only: on a pipe
    /// with bytes in it, "the pipe is full" and "the socket is empty" look the same.
    ///
    /// # Errors
    /// ECONNRESET and its like from the socket.
    pub fn fill(&mut self, socket: BorrowedFd<'_>, bytes: u32) -> io::Result<Spliced> {
        debug_assert_eq!(self.held, 0);
        match splice(socket, self.write.as_raw_fd(), bytes) {
            Ok(0) => Ok(Spliced::End),
            Ok(moved) => {
                self.held += moved;
                Ok(Spliced::Moved(moved))
            }
            Err(error) => blocked(error),
        }
    }

    /// Moves what the pipe holds into a non-blocking socket, as far as it takes it.
    ///
    /// # Errors
    /// EPIPE, ECONNRESET and their like from the socket.
    pub fn drain(&mut self, socket: BorrowedFd<'_>) -> io::Result<Spliced> {
        debug_assert!(self.held > 0);
        // SAFETY: the pipe's read end is open for as long as `self`.
        let read = unsafe { BorrowedFd::borrow_raw(self.read.as_raw_fd()) };
        match splice(read, socket.as_raw_fd(), self.held) {
            Ok(0) => Ok(Spliced::Blocked),
            Ok(moved) => {
                self.held -= moved.min(self.held);
                Ok(Spliced::Moved(moved))
            }
            Err(error) => blocked(error),
        }
    }
}

fn splice(from: BorrowedFd<'_>, to: RawFd, bytes: u32) -> io::Result<u32> {
    // SAFETY: both descriptors are open; the null offsets say that neither is seekable.
    let moved = unsafe {
        libc::splice(
            from.as_raw_fd(),
            std::ptr::null_mut(),
            to,
            std::ptr::null_mut(),
            bytes as usize,
            libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK,
        )
    };
    u32::try_from(moved).map_err(|_| io::Error::last_os_error())
}

fn blocked(error: io::Error) -> io::Result<Spliced> {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(Spliced::Blocked),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let near =
            TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let far = listener.accept().expect("its other end").0;
        (near, far)
    }

    #[test]
    fn bytes_pass_and_the_end_is_told_from_an_empty_socket() {
        let (mut client, inner) = pair();
        let (outer, mut origin) = pair();
        inner.set_nonblocking(true).expect("non-blocking");
        outer.set_nonblocking(true).expect("non-blocking");
        let mut pipe = Pipe::open(256 * 1024).expect("a pipe");
        assert_eq!(
            pipe.fill(inner.as_fd(), 4096).expect("nothing there"),
            Spliced::Blocked
        );
        client.write_all(b"across").expect("sent");
        assert_eq!(
            pipe.fill(inner.as_fd(), 4096).expect("filled"),
            Spliced::Moved(6)
        );
        assert_eq!(
            pipe.drain(outer.as_fd()).expect("drained"),
            Spliced::Moved(6)
        );
        assert_eq!(pipe.held(), 0);
        let mut read = [0; 6];
        origin.read_exact(&mut read).expect("received");
        assert_eq!(&read, b"across");
        drop(client);
        assert_eq!(pipe.fill(inner.as_fd(), 4096).expect("ended"), Spliced::End);
    }
}
