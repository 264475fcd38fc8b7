//! The answers that this proxy makes itself: the 200 to CONNECT, and refusals.
//!
//! Every text in them is `'static`, so nothing a peer sent can come back to it. They have no Date: RFC 9110 section
//! 6.6.1 asks it of origin servers, which a proxy that refuses is not, and the grammars know no clock. Which refusal
//! belongs to which outcome is decided in `proxy::outcome`.

use std::fmt::Write;

use bytes::Bytes;

use super::{ChunkError, HeadError};

/// The answer to a CONNECT whose tunnel stands. It has neither Content-Length nor Transfer-Encoding (RFC 9110 section
/// 9.3.6): the tunnel's bytes follow the empty line.
pub const CONNECTION_ESTABLISHED: Bytes =
    Bytes::from_static(b"HTTP/1.1 200 Connection established\r\n\r\n");

/// A refusal. The connection closes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status. 407 brings its challenge along.
    pub status: Status,
    /// What Proxy-Status says; without it, the field is left out.
    pub error: Option<ProxyError>,
    /// The `details` of Proxy-Status, for whoever debugs: printable ASCII; left out when empty.
    pub details: &'static str,
    /// One or two short sentences for a person. A fragment, such as the text of an error, is made a sentence. Several
    /// paragraphs have empty lines between them; one that starts with a space is an example and stays as it is.
    pub text: &'static str,
}

/// How the body of a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyBody {
    /// Plain text, for tools.
    Text,
    /// A small page, for browsers.
    Html,
    /// Left out, as in answer to HEAD; the fields are those of plain text.
    None,
}

/// The answer to a request in origin-form: somebody takes the proxy for a web server.
pub const ORIGIN_FORM_HELP: Reply = Reply {
    status: Status::BadRequest,
    error: Some(ProxyError::HttpRequestError),
    details: "this is a forward proxy; the request target must be an absolute URI",
    text: "This is Ringway, a forward proxy. It has no pages of its own: set it as the proxy of your browser or tool, \
        and ask for the page you want.\n\n\
        \x20   curl -x http://HOST:PORT http://example.com/\n    \
        curl -x http://HOST:PORT https://example.com/\n\n\
        HOST:PORT is the address that you have just used.",
};

/// The answer to a plain request for an `https` URI.
pub const HTTPS_WANTS_CONNECT: Reply = Reply {
    status: Status::NotImplemented,
    error: Some(ProxyError::HttpRequestError),
    details: "https is served through CONNECT only",
    text: "This proxy does not speak TLS to servers in your place. Ask for a tunnel with CONNECT.",
};

/// The answer to a request for a URI of a scheme that is neither `http` nor `https`.
pub const SCHEME_UNKNOWN: Reply = Reply {
    status: Status::NotImplemented,
    error: Some(ProxyError::HttpRequestError),
    details: "the scheme of the target is not http",
    text: "This proxy forwards requests for http URIs, and opens tunnels with CONNECT.",
};

/// The answer when the origin has closed before its response head was whole.
pub const RESPONSE_INCOMPLETE: Reply = Reply {
    status: Status::BadGateway,
    error: Some(ProxyError::HttpResponseIncomplete),
    details: "",
    text: "The server closed the connection before its response was whole.",
};

/// The answer when the origin sends no response head in time.
pub const RESPONSE_TIMEOUT: Reply = Reply {
    status: Status::GatewayTimeout,
    error: Some(ProxyError::HttpResponseTimeout),
    details: "",
    text: "The server did not respond in time.",
};

/// The answer when the origin agrees to a change of protocol in a way that is none.
pub const UPGRADE_FAILED: Reply = Reply {
    status: Status::BadGateway,
    error: Some(ProxyError::HttpUpgradeFailed),
    details: "",
    text: "The server agreed to another protocol than the one that was asked for.",
};

/// The statuses of this proxy's own refusals (RFC 9110 section 15, RFC 6585).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// 400
    BadRequest = 400,
    /// 403
    Forbidden = 403,
    /// 407
    ProxyAuthenticationRequired = 407,
    /// 408
    RequestTimeout = 408,
    /// 414
    UriTooLong = 414,
    /// 431
    RequestHeaderFieldsTooLarge = 431,
    /// 500
    InternalServerError = 500,
    /// 501
    NotImplemented = 501,
    /// 502
    BadGateway = 502,
    /// 503
    ServiceUnavailable = 503,
    /// 504
    GatewayTimeout = 504,
    /// 505
    HttpVersionNotSupported = 505,
}

/// The proxy error types of RFC 9209 section 2.3 that this proxy meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// No name server answered in time.
    DnsTimeout,
    /// The name does not exist, has no address, or its name servers failed.
    DnsError,
    /// Policy forbids the address.
    DestinationIpProhibited,
    /// There is no route to the address.
    DestinationIpUnroutable,
    /// The upstream refused the connection.
    ConnectionRefused,
    /// The upstream closed or reset the connection too early.
    ConnectionTerminated,
    /// The upstream did not answer in time.
    ConnectionTimeout,
    /// This proxy has as many connections as it may.
    ConnectionLimitReached,
    /// The upstream closed the connection inside its response.
    HttpResponseIncomplete,
    /// The head of the response is larger than the limits.
    HttpResponseHeaderSectionSize,
    /// The response has a transfer coding that this proxy does not know.
    HttpResponseTransferCoding,
    /// The upstream did not send its response in time.
    HttpResponseTimeout,
    /// The change of protocol failed.
    HttpUpgradeFailed,
    /// The response is at fault.
    HttpProtocolError,
    /// The request is at fault.
    HttpRequestError,
    /// Policy forbids the request, or credentials are missing.
    HttpRequestDenied,
    /// This proxy is at fault.
    ProxyInternalError,
}

impl Reply {
    /// The answer to a client whose origin sent a response head with this error.
    pub const fn bad_response(error: HeadError) -> Self {
        let kind = match error {
            HeadError::HeadTooLong | HeadError::TooManyFields | HeadError::StatusLineTooLong => {
                ProxyError::HttpResponseHeaderSectionSize
            }
            HeadError::TransferCoding => ProxyError::HttpResponseTransferCoding,
            _ => ProxyError::HttpProtocolError,
        };
        Self {
            status: Status::BadGateway,
            error: Some(kind),
            details: error.text(),
            text: "The server's response is not valid HTTP, or not unambiguous.",
        }
    }

    /// The bytes to send.
    pub fn encode(&self, body: ReplyBody) -> Bytes {
        let (code, phrase) = (self.status.code(), self.status.phrase());
        let (media_type, content) = match body {
            ReplyBody::Text | ReplyBody::None => ("text/plain", sentence(self.text) + "\n"),
            ReplyBody::Html => ("text/html", page(code, phrase, &sentence(self.text))),
        };
        let mut reply = String::with_capacity(512 + content.len());
        // Writing to a String cannot fail.
        let _ = write!(reply, "HTTP/1.1 {code} {phrase}\r\n");
        let _ = write!(reply, "Content-Type: {media_type}; charset=utf-8\r\n");
        let _ = write!(reply, "Content-Length: {}\r\n", content.len());
        reply.push_str("Connection: close\r\n");
        if self.status == Status::ProxyAuthenticationRequired {
            reply.push_str("Proxy-Authenticate: Basic realm=\"ringway\"\r\n");
        }
        if let Some(error) = self.error {
            let _ = write!(reply, "Proxy-Status: ringway; error={}", error.token());
            if !self.details.is_empty() {
                reply.push_str("; details=");
                push_quoted(&mut reply, self.details);
            }
            reply.push_str("\r\n");
        }
        reply.push_str("\r\n");
        if body != ReplyBody::None {
            reply.push_str(&content);
        }
        Bytes::from(reply)
    }
}

impl From<HeadError> for Reply {
    fn from(error: HeadError) -> Self {
        Self {
            status: error.status(),
            error: Some(ProxyError::HttpRequestError),
            details: error.text(),
            text: error.text(),
        }
    }
}

impl From<ChunkError> for Reply {
    fn from(error: ChunkError) -> Self {
        Self {
            status: Status::BadRequest,
            error: Some(ProxyError::HttpRequestError),
            details: error.text(),
            text: error.text(),
        }
    }
}

impl Status {
    /// Its three digits.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Its registered reason phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::ProxyAuthenticationRequired => "Proxy Authentication Required",
            Self::RequestTimeout => "Request Timeout",
            Self::UriTooLong => "URI Too Long",
            Self::RequestHeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::BadGateway => "Bad Gateway",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::GatewayTimeout => "Gateway Timeout",
            Self::HttpVersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

impl ProxyError {
    /// Its name in the registry.
    pub const fn token(self) -> &'static str {
        match self {
            Self::DnsTimeout => "dns_timeout",
            Self::DnsError => "dns_error",
            Self::DestinationIpProhibited => "destination_ip_prohibited",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpResponseHeaderSectionSize => "http_response_header_section_size",
            Self::HttpResponseTransferCoding => "http_response_transfer_coding",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpUpgradeFailed => "http_upgrade_failed",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }
}

/// With a capital at its start and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut characters = text.chars();
    sentence.extend(characters.next().map(|first| first.to_ascii_uppercase()));
    sentence.push_str(characters.as_str());
    if !text.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// The text as a page: a paragraph each, and examples as they are.
fn page(code: u16, phrase: &str, text: &str) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <title>{code} {phrase}</title>\n</head>\n<body>\n<h1>{code} {phrase}</h1>\n"
    );
    for paragraph in text.split("\n\n") {
        let element = if paragraph.starts_with(' ') {
            "pre"
        } else {
            "p"
        };
        let _ = write!(page, "<{element}>");
        for character in paragraph.chars() {
            match character {
                '<' => page.push_str("&lt;"),
                '>' => page.push_str("&gt;"),
                '&' => page.push_str("&amp;"),
                _ => page.push(character),
            }
        }
        let _ = writeln!(page, "</{element}>");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Appends an sf-string (RFC 8941 section 3.3.3).
fn push_quoted(head: &mut String, text: &str) {
    debug_assert!(
        text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "printable ASCII"
    );
    head.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            head.push('\\');
        }
        head.push(character);
    }
    head.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses an answer with httparse, and gives its status, its fields and its body.
    fn read(answer: &[u8]) -> (u16, Vec<(String, String)>, String) {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let head_bytes = response.parse(answer).unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = response
            .headers
            .iter()
            .map(|field| (field.name.into(), text(field.value)));
        (
            response.code.unwrap(),
            fields.collect(),
            text(&answer[head_bytes..]),
        )
    }

    fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut values = fields
            .iter()
            .filter(|field| field.0 == name)
            .map(|field| field.1.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} once");
        value
    }

    #[test]
    fn the_200_to_connect_is_a_bare_head() {
        assert_eq!(read(&CONNECTION_ESTABLISHED), (200, vec![], String::new()));
    }

    #[test]
    fn a_refusal_says_what_and_why_and_closes() {
        let reply = Reply {
            status: Status::BadGateway,
            error: Some(ProxyError::ConnectionRefused),
            details: "a \"quoted\" back\\slash",
            text: "The server refused the connection.",
        };
        let (code, fields, body) = read(&reply.encode(ReplyBody::Text));
        assert_eq!(
            (code, body.as_str()),
            (502, "The server refused the connection.\n")
        );
        assert_eq!(
            value(&fields, "Content-Length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(
            value(&fields, "Content-Type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(value(&fields, "Connection"), Some("close"));
        assert_eq!(
            value(&fields, "Proxy-Status"),
            Some(r#"ringway; error=connection_refused; details="a \"quoted\" back\\slash""#)
        );
        assert_eq!(value(&fields, "Proxy-Authenticate"), None);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let reply = Reply {
            status: Status::ServiceUnavailable,
            error: Some(ProxyError::ConnectionLimitReached),
            details: "",
            text: "Full.",
        };
        let (_, fields, _) = read(&reply.encode(ReplyBody::Text));
        assert_eq!(
            value(&fields, "Proxy-Status"),
            Some("ringway; error=connection_limit_reached")
        );
        let (_, fields, _) = read(
            &Reply {
                error: None,
                ..reply
            }
            .encode(ReplyBody::Text),
        );
        assert_eq!(value(&fields, "Proxy-Status"), None);
    }

    #[test]
    fn a_407_brings_its_challenge() {
        let reply = Reply {
            status: Status::ProxyAuthenticationRequired,
            error: Some(ProxyError::HttpRequestDenied),
            details: "",
            text: "This proxy asks for credentials.",
        };
        let (code, fields, _) = read(&reply.encode(ReplyBody::Text));
        assert_eq!(code, 407);
        assert_eq!(
            value(&fields, "Proxy-Authenticate"),
            Some("Basic realm=\"ringway\"")
        );
    }

    #[test]
    fn a_head_error_becomes_its_answer() {
        let (code, fields, body) =
            read(&Reply::from(HeadError::HeadTooLong).encode(ReplyBody::Text));
        assert_eq!((code, body.as_str()), (431, "The head is too long.\n"));
        assert_eq!(
            value(&fields, "Proxy-Status"),
            Some("ringway; error=http_request_error; details=\"the head is too long\"")
        );
    }

    #[test]
    fn a_browser_is_answered_with_a_page() {
        let reply = Reply {
            text: "one <b> & two\n\n  example\n  <more>\n\nlast",
            ..RESPONSE_TIMEOUT
        };
        let (code, fields, body) = read(&reply.encode(ReplyBody::Html));
        assert_eq!(code, 504);
        assert_eq!(
            value(&fields, "Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(
            value(&fields, "Content-Length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(
            body,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <title>504 Gateway Timeout</title>\n</head>\n<body>\n<h1>504 Gateway Timeout</h1>\n\
             <p>One &lt;b&gt; &amp; two</p>\n<pre>  example\n  &lt;more&gt;</pre>\n<p>last.</p>\n\
             </body>\n</html>\n"
        );
    }

    #[test]
    fn the_answer_to_head_has_no_body_and_the_same_fields() {
        let text = RESPONSE_TIMEOUT.encode(ReplyBody::Text);
        let head = RESPONSE_TIMEOUT.encode(ReplyBody::None);
        let (_, _, body) = read(&text);
        assert_eq!([&head, body.as_bytes()].concat(), text);
        assert!(head.ends_with(b"\r\n\r\n") && !body.is_empty());
    }

    #[test]
    fn whoever_takes_the_proxy_for_a_server_is_helped() {
        for body in [ReplyBody::Text, ReplyBody::Html] {
            let (code, fields, page) = read(&ORIGIN_FORM_HELP.encode(body));
            assert_eq!(code, 400);
            assert!(page.contains("forward proxy"), "{page}");
            assert!(
                page.contains("\n    curl -x http://HOST:PORT https://example.com/")
                    && page.contains("    curl -x http://HOST:PORT http://example.com/\n"),
                "{page}"
            );
            assert_eq!(page.contains("<pre>    curl"), body == ReplyBody::Html);
            assert_eq!(value(&fields, "Connection"), Some("close"));
        }
    }

    #[test]
    fn ready_replies_say_what_rfc_9209_calls_it() {
        let bad = Reply::bad_response;
        for (reply, code, error) in [
            (ORIGIN_FORM_HELP, 400, "http_request_error"),
            (HTTPS_WANTS_CONNECT, 501, "http_request_error"),
            (SCHEME_UNKNOWN, 501, "http_request_error"),
            (RESPONSE_INCOMPLETE, 502, "http_response_incomplete"),
            (RESPONSE_TIMEOUT, 504, "http_response_timeout"),
            (UPGRADE_FAILED, 502, "http_upgrade_failed"),
            (bad(HeadError::BareLf), 502, "http_protocol_error"),
            (bad(HeadError::StatusLine), 502, "http_protocol_error"),
            (
                bad(HeadError::HeadTooLong),
                502,
                "http_response_header_section_size",
            ),
            (
                bad(HeadError::TransferCoding),
                502,
                "http_response_transfer_coding",
            ),
            (ChunkError::SizeOverflow.into(), 400, "http_request_error"),
        ] {
            let (status, fields, body) = read(&reply.encode(ReplyBody::Text));
            assert_eq!(status, code, "{body}");
            let mut said = format!("ringway; error={error}");
            if !reply.details.is_empty() {
                said += &format!("; details=\"{}\"", reply.details);
            }
            assert_eq!(value(&fields, "Proxy-Status"), Some(said.as_str()));
        }
    }
}
