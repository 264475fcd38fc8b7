//! The answers that this proxy makes itself: the 200 to CONNECT, and refusals.
//!
//! Every text in them is `'static`, so nothing a peer sent can come back to it. They have no Date: RFC 9110 section
//! 6.6.1 asks it of origin servers, which a proxy that refuses is not, and the grammars know no clock. Which refusal
//! belongs to which outcome is decided in `proxy::outcome`.

use std::fmt::Write;

use bytes::Bytes;

use super::HeadError;

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
    /// One or two short sentences for a person. A fragment, such as the text of an error, is made a sentence.
    pub text: &'static str,
}

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
    /// The request is at fault.
    HttpRequestError,
    /// Policy forbids the request, or credentials are missing.
    HttpRequestDenied,
    /// This proxy is at fault.
    ProxyInternalError,
}

impl Reply {
    /// The bytes to send.
    pub fn encode(&self) -> Bytes {
        let body = sentence(self.text);
        let mut head = String::with_capacity(512);
        let (code, phrase) = (self.status.code(), self.status.phrase());
        // Writing to a String cannot fail.
        let _ = write!(head, "HTTP/1.1 {code} {phrase}\r\n");
        head.push_str("Content-Type: text/plain; charset=utf-8\r\n");
        let _ = write!(head, "Content-Length: {}\r\n", body.len() + 1);
        head.push_str("Connection: close\r\n");
        if self.status == Status::ProxyAuthenticationRequired {
            head.push_str("Proxy-Authenticate: Basic realm=\"ringway\"\r\n");
        }
        if let Some(error) = self.error {
            let _ = write!(head, "Proxy-Status: ringway; error={}", error.token());
            if !self.details.is_empty() {
                head.push_str("; details=");
                push_quoted(&mut head, self.details);
            }
            head.push_str("\r\n");
        }
        let _ = write!(head, "\r\n{body}\n");
        Bytes::from(head)
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
        let (code, fields, body) = read(&reply.encode());
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
        let (_, fields, _) = read(&reply.encode());
        assert_eq!(
            value(&fields, "Proxy-Status"),
            Some("ringway; error=connection_limit_reached")
        );
        let (_, fields, _) = read(
            &Reply {
                error: None,
                ..reply
            }
            .encode(),
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
        let (code, fields, _) = read(&reply.encode());
        assert_eq!(code, 407);
        assert_eq!(
            value(&fields, "Proxy-Authenticate"),
            Some("Basic realm=\"ringway\"")
        );
    }

    #[test]
    fn a_head_error_becomes_its_answer() {
        let (code, fields, body) = read(&Reply::from(HeadError::HeadTooLong).encode());
        assert_eq!((code, body.as_str()), (431, "The head is too long.\n"));
        assert_eq!(
            value(&fields, "Proxy-Status"),
            Some("ringway; error=http_request_error; details=\"the head is too long\"")
        );
    }
}
