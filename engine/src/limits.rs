//! Every bound of the engine, with the sentence that says why. Relations between bounds are asserted at compile time.

#![forbid(unsafe_code)]

use std::time::Duration;

/// The port a proxy is expected on, from Squid's default.
pub const LISTEN_PORT_DEFAULT: u16 = 3128;

/// Connections the kernel queues for one listener; it clamps this to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Default of `--connect-timeout`: resolving and every attempt of Happy Eyeballs together.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Default of `--head-timeout`.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Default of `--idle-timeout`.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Default of `--half-close-timeout`.
pub const HALF_CLOSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Default of `--drain-timeout`.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Bytes of a head, its empty line included; more is answered 431 to a client, 502 when an origin sends it.
pub const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// Fields of a head; more are answered like too many bytes.
pub const HEAD_FIELDS_MAX: usize = 100;
/// Bytes of a request target; more are answered 414.
pub const TARGET_BYTES_MAX: u32 = 8 * 1024;
/// Bytes of a method; more are answered 501. The longest registered one, UPDATEREDIRECTREF, has 17.
pub const METHOD_BYTES_MAX: u32 = 32;
/// Bytes of a request line without its CRLF: the two above, two spaces and the version.
pub const REQUEST_LINE_BYTES_MAX: u32 = METHOD_BYTES_MAX + TARGET_BYTES_MAX + 10;
/// Bytes of a status line without its CRLF. Reason phrases are short, unless a server puts an error message there.
pub const STATUS_LINE_BYTES_MAX: u32 = 8 * 1024;
/// Fields that Connection may name in one head: each of them is compared with every field of that head.
pub const CONNECTION_OPTIONS_MAX: usize = 32;

/// Hexadecimal digits of a chunk's size: as many as 64 bits have.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// Largest chunk: what is more is negative elsewhere.
pub const CHUNK_BYTES_MAX: u64 = i64::MAX as u64;
/// Bytes of one chunk's extensions. Nobody is known to need any; RFC 9112 section 7.1.1 asks for a bound.
pub const CHUNK_LINE_EXTENSION_BYTES_MAX: u32 = 1024;
/// Bytes of all chunk extensions of one body: work that carries no content.
pub const BODY_EXTENSION_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of a trailer section, its empty line included; they wait in memory until the section is whole.
pub const TRAILER_BYTES_MAX: u32 = 8 * 1024;
/// Fields of a trailer section.
pub const TRAILER_FIELDS_MAX: usize = 32;

/// Payload bytes of a WebSocket frame. Nothing here holds a frame, so this is for receivers that make room by what a
/// head announces; a little more than the 100 MiB that the largest default among common libraries allows.
pub const WEBSOCKET_FRAME_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Payload bytes of a WebSocket message over all of its frames, as they are on the wire. More than a frame may have,
/// because a sender that fragments expects its receiver to stream.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes that either end of a WebSocket may still send after this proxy has ended it, or behind its own Close, where it
/// may send nothing (RFC 6455 section 5.5.1). They are read and dropped so that they do not turn the close into an RST that
/// destroys the Close on its way. More than the largest socket buffers of common hosts hold together, so that an end which
/// reads while it sends has time to see the Close.
pub const WEBSOCKET_DROPPED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Default of `--buffers`, for each worker.
pub const BUFFERS_DEFAULT: u16 = 256;
/// Most receive buffers of a worker: the kernel's bound on the entries of a buffer ring.
pub const BUFFERS_MAX: u16 = 32_768;
/// Default of `--buffer-size`.
pub const BUFFER_BYTES_DEFAULT: u32 = 16 * 1024;
/// Bytes kept in front of every receive buffer, so that a head which has grown a little in rewriting can go out from the
/// buffer that its body is in: a field or two of this proxy's own.
pub const BUFFER_HEADROOM_BYTES: u32 = 64;
/// Smallest receive buffer: a CONNECT head of a browser fits in one.
pub const BUFFER_BYTES_MIN: u32 = 512;
/// Largest receive buffer.
pub const BUFFER_BYTES_MAX: u32 = 1024 * 1024;
/// Received buffers that one socket may hold before its receive is paused (high-water mark).
pub const INBOX_BUFFERS_MAX: u16 = 8;

/// Default of `--ring-entries`: completion queue entries of one worker.
pub const RING_ENTRIES_DEFAULT: u32 = 16_384;
/// Fewest completion queue entries.
pub const RING_ENTRIES_MIN: u32 = 8;
/// Most completion queue entries: the kernel's bound.
pub const RING_ENTRIES_MAX: u32 = 65_536;

/// Full receive buffers in a row after which a direction is spliced.
pub const PROMOTE_FULL_BUFFERS: u32 = 4;
/// A splice that moves fewer bytes than this counts as small.
pub const DEMOTE_BYTES: u32 = 4096;
/// Small splices in a row after which a direction copies again.
pub const DEMOTE_SMALL_SPLICES: u32 = 8;
/// Bytes one direction of a relay splices in one turn before the others have theirs. 256 KiB cost no more than 1 MiB, in
/// interleaved runs over 4 tunnels (0.97-1.03 of a bare relay against 1.01-1.09), and are fairer.
pub const RELAY_BYTES_PER_TURN: u32 = 256 * 1024;
/// Bytes asked of one splice into a pipe. A pipe has a slot for each part of a packet, so it may hold more than its
/// capacity says.
pub const SPLICE_BYTES: u32 = 1024 * 1024;
/// Capacity asked of a pipe.
pub const PIPE_BYTES: u32 = 256 * 1024;
/// Pipes one worker keeps; past them a bulky direction copies.
pub const PIPES_MAX: usize = 64;
/// Sends of at least this many bytes go by send(2) at once, smaller ones with the next io_uring_enter(2); see
/// `kernel-notes/decisions/0010-sends-that-go-at-once.md`.
pub const SEND_AT_ONCE_BYTES: usize = 8 * 1024;
/// Smaller sends go at once, too, while fewer tasks than these are at work: were woken in the last window.
pub const SMALL_SENDS_AT_ONCE_TASKS: usize = 80;
/// The window: long enough for every one of a few busy connections to have had its turn.
pub const ACTIVITY_WINDOW: Duration = Duration::from_millis(10);

/// Bytes from which a send from the arena may be SEND_ZC: below, pinning and notification cost more than the copy.
pub const SEND_ZC_BYTES_MIN: u32 = 16 * 1024;

/// Bytes of a body up to which they are copied behind their head, to go out with it in one send, when the head cannot be
/// put in front of them where they are.
pub const BODY_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a body from which it is spliced without having proved bulky.
pub const BODY_SPLICE_BYTES_MIN: u64 = 256 * 1024;
/// Idle timeouts for which interim responses put off the end of the wait for the final one while nothing else moves. By
/// default that is an hour, for a server that says 102 while it works.
pub const INTERIM_IDLE_TIMEOUTS_MAX: u32 = 6;
/// Default of `--keep-alive-timeout`.
pub const KEEP_ALIVE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);
/// How long a client keeps the connection of its last request to itself before others may use it.
pub const UPSTREAM_HOLD_TIME: Duration = Duration::from_secs(1);
/// Idle upstream connections of one worker.
pub const UPSTREAM_IDLE_MAX: usize = 256;
/// Idle upstream connections of one worker to one host.
pub const UPSTREAM_IDLE_PER_HOST_MAX: usize = 64;
/// Longest time an upstream connection is kept idle; common servers close theirs after 60 to 75 s, some after 5.
pub const UPSTREAM_IDLE_TIME_MAX: Duration = Duration::from_secs(50);
/// How often idle upstream connections are looked at.
pub const UPSTREAM_TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Words of 64 bits on which a worker shows which hosts it has idle upstream connections for, two bits of one word each:
/// with as many hosts as a worker may have connections, a host that it has none for looks otherwise once in fifty times.
pub const UPSTREAM_BOARD_WORDS: usize = 64;
/// Bytes of what an upstream connection is kept under (who may use it, the longest name with its final dot, the port)
/// that fit in a question to another worker, in whole words.
pub const UPSTREAM_KEY_BYTES_MAX: usize = (1 + DNS_NAME_CHARACTERS_MAX + 1 + 6).next_multiple_of(8);
/// Questions for an upstream connection that one worker has under way; past them it dials.
pub const UPSTREAM_QUESTIONS_MAX: usize = 16;
/// How long a request waits for another worker's answer before its origin is dialled.
pub const UPSTREAM_QUESTION_TIME_MAX: Duration = Duration::from_millis(2);
/// Questions of one worker for connections to one host in a second; past them it dials. A host that is asked for that
/// often is worth a connection in every worker, where nobody waits for it.
pub const UPSTREAM_QUESTIONS_PER_SECOND_MAX: u8 = 8;
/// Default of `--websocket-idle-timeout`.
pub const WEBSOCKET_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);
/// How long both ends of an inspected WebSocket may be quiet before they are pinged, unless a third of the idle timeout
/// is less. Address translators forget a quiet connection after a minute or more.
pub const WEBSOCKET_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Ping intervals without an answer after which an end is dead.
pub const WEBSOCKET_PING_INTERVALS_MAX: u32 = 2;

/// Descriptors kept back from connections: listeners, logs, resolver, and what else a process needs.
pub const DESCRIPTORS_RESERVED: u64 = 64;
/// Refused connections that one worker tells the reason at a time; past them it just closes.
pub const REFUSALS_MAX: usize = 256;
/// Connections that a worker may hold beyond its share before new ones go to another worker.
pub const IMBALANCE_CONNECTIONS: usize = 8;

/// Characters of a domain name without its final dot (RFC 1035 2.3.4: 255 octets on the wire).
pub const DNS_NAME_CHARACTERS_MAX: usize = 253;
/// Bytes of a DNS datagram we ask for: what passes every path unfragmented (DNS flag day 2020).
pub const DNS_DATAGRAM_BYTES_MAX: u32 = 1232;
/// Records read from the answer section of one DNS message; the rest is not looked at.
pub const DNS_ANSWER_RECORDS_MAX: usize = 128;
/// Records read from the authority section, in search of the SOA that dates a negative answer.
pub const DNS_AUTHORITY_RECORDS_MAX: usize = 16;
/// Addresses kept of one answer: more than any dial will try.
pub const DNS_ADDRESSES_MAX: usize = 32;
/// Aliases followed inside one answer.
pub const DNS_ALIASES_MAX: usize = 16;
/// Datagrams that do not answer the question, after which the question goes over TCP: somebody is guessing.
pub const DNS_FOREIGN_DATAGRAMS_MAX: u32 = 16;
/// Longest time an answer is kept, whatever its TTL says.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest time a negative answer is kept; the name server behind us keeps it as long as its zone wants.
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(300);
/// How long a failure is kept, and a negative answer that brings no SOA: the least that RFC 9520 allows.
pub const DNS_FAILURE_TTL: Duration = Duration::from_secs(1);
/// Answers one worker keeps: about 1 MiB.
pub const DNS_CACHE_ENTRIES_MAX: usize = 4096;
/// Questions of one worker that wait for a name server; each holds a socket.
pub const DNS_QUESTIONS_MAX: usize = 512;
/// Longest time one question is worked on, whatever `resolv.conf` multiplies to.
pub const DNS_QUESTION_TIME_MAX: Duration = Duration::from_secs(30);
/// Name servers taken from `resolv.conf`, as libc does.
pub const DNS_SERVERS_MAX: usize = 3;
/// Search domains taken from `resolv.conf`: each may cost a question per family.
pub const DNS_SEARCH_MAX: usize = 32;
/// Largest `ndots`, as libc caps it.
pub const DNS_NDOTS_MAX: u32 = 15;
/// Largest `timeout` in seconds, as libc caps it.
pub const DNS_TIMEOUT_SECONDS_MAX: u32 = 30;
/// Most `attempts`, as libc caps them.
pub const DNS_ATTEMPTS_MAX: u32 = 5;
/// Silences in a row after which a name server is asked last.
pub const DNS_SILENCES_MAX: u32 = 3;
/// How long a silent name server is asked last, before one question tries it again.
pub const DNS_SUSPECT_TIME: Duration = Duration::from_secs(30);
/// How often the hosts file and `resolv.conf` are looked at for changes, at most.
pub const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes read of the hosts file and `resolv.conf`; reading stops the worker, so it is bounded.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

const _: () = assert!(
    TARGET_BYTES_MAX < HEAD_BYTES_MAX,
    "a target too long must be told from a head too long"
);
const _: () = assert!(HEAD_FIELDS_MAX <= u8::MAX as usize, "a byte counts them");
const _: () = assert!(
    CONNECTION_OPTIONS_MAX <= u8::MAX as usize,
    "a byte counts them"
);
const _: () = assert!(
    STATUS_LINE_BYTES_MAX + 4 < HEAD_BYTES_MAX,
    "a status line is too long before its head is"
);
const _: () = assert!(
    CHUNK_LINE_EXTENSION_BYTES_MAX <= BODY_EXTENSION_BYTES_MAX,
    "the extensions of a chunk belong to those of its body"
);
const _: () = assert!(
    TRAILER_BYTES_MAX <= HEAD_BYTES_MAX && TRAILER_FIELDS_MAX <= HEAD_FIELDS_MAX,
    "trailers are fewer than fields"
);
const _: () = assert!(
    REQUEST_LINE_BYTES_MAX + 4 < HEAD_BYTES_MAX,
    "a request line is too long before its head is"
);
const _: () = assert!(
    WEBSOCKET_FRAME_BYTES_MAX <= WEBSOCKET_MESSAGE_BYTES_MAX,
    "a message of one frame has room"
);
const _: () = assert!(
    UPSTREAM_BOARD_WORDS.is_power_of_two() && UPSTREAM_BOARD_WORDS <= 1 << 20,
    "bits of one hash choose a word and two bits in it"
);
const _: () = assert!(
    2 * UPSTREAM_IDLE_MAX <= u16::MAX as usize,
    "16 bits count who shares a bit of the board"
);
const _: () = assert!(
    UPSTREAM_QUESTIONS_MAX <= u16::MAX as usize,
    "a message has 16 bits for the slip"
);
const _: () =
    assert!(BUFFER_BYTES_DEFAULT >= BUFFER_BYTES_MIN && BUFFER_BYTES_DEFAULT <= BUFFER_BYTES_MAX);
const _: () =
    assert!(RING_ENTRIES_DEFAULT >= RING_ENTRIES_MIN && RING_ENTRIES_DEFAULT <= RING_ENTRIES_MAX);
const _: () = assert!(
    RING_ENTRIES_DEFAULT.is_power_of_two(),
    "the kernel rounds up; the default is what it says"
);
const _: () = assert!(
    DNS_DATAGRAM_BYTES_MAX >= BUFFER_BYTES_MIN,
    "the smallest buffer holds a plain DNS answer"
);
const _: () = assert!(
    DNS_ALIASES_MAX < DNS_ANSWER_RECORDS_MAX,
    "a chain that is followed must have been read"
);
