//! What can be wrong with a request head, by the element of its grammar.

use std::fmt;

use super::Status;
use crate::addr::AuthorityError;

/// Why a request head is refused. The connection closes after the answer: where the next request would start is
/// unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The first byte can start no request: TLS, SOCKS, or a second empty line.
    NotHttp,
    /// The method is not a token followed by one space.
    Method,
    /// The method is longer than any that is known (RFC 9112 section 3 asks for 501).
    MethodTooLong,
    /// The method is fine, and this proxy does not implement it.
    MethodNotImplemented,
    /// The target is empty, has a byte outside visible ASCII, or is not followed by one space (as in HTTP/0.9).
    Target,
    /// The target is longer than the limit.
    TargetTooLong,
    /// The version is not `HTTP/` digit `.` digit, or the line goes on behind it.
    Version,
    /// The version is neither 1.0 nor 1.1; HTTP/2's preface ends here.
    VersionUnsupported,
    /// A CR without LF.
    BareCr,
    /// An LF without CR.
    BareLf,
    /// A line starts with white space: a folded field line, or a space before the first field.
    ObsFold,
    /// A field name is empty, is no token, or has white space before its colon; or there is no colon.
    FieldName,
    /// A field value has a control byte.
    FieldValue,
    /// More field lines than the limit.
    TooManyFields,
    /// More bytes than the limit.
    HeadTooLong,
    /// The bytes given do not end with the head's empty line.
    HeadEnd,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// More than one Host.
    HostRepeated,
    /// A Host that is neither empty nor a host with an optional port.
    HostValue,
    /// More than one Proxy-Authorization: which one counts would be a guess.
    CredentialsRepeated,
    /// CONNECT with Content-Length or Transfer-Encoding: body or tunnel, the next proxy may read it the other way.
    ContentOnConnect,
    /// The target of a CONNECT is not `host:port`.
    Authority(AuthorityError),
}

impl HeadError {
    /// The status of the answer.
    pub const fn status(self) -> Status {
        match self {
            Self::MethodTooLong | Self::MethodNotImplemented => Status::NotImplemented,
            Self::TargetTooLong => Status::UriTooLong,
            Self::TooManyFields | Self::HeadTooLong => Status::RequestHeaderFieldsTooLarge,
            Self::VersionUnsupported => Status::HttpVersionNotSupported,
            Self::NotHttp
            | Self::Method
            | Self::Target
            | Self::Version
            | Self::BareCr
            | Self::BareLf
            | Self::ObsFold
            | Self::FieldName
            | Self::FieldValue
            | Self::HeadEnd
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostValue
            | Self::CredentialsRepeated
            | Self::ContentOnConnect
            | Self::Authority(_) => Status::BadRequest,
        }
    }

    /// What is wrong, for a person; never contains what the peer sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotHttp => "this is not an HTTP/1 request (TLS or SOCKS on a plain HTTP port?)",
            Self::Method => "the method is not a token",
            Self::MethodTooLong => "the method is too long",
            Self::MethodNotImplemented => "the method is not implemented",
            Self::Target => "the request target is not visible ASCII between two single spaces",
            Self::TargetTooLong => "the request target is too long",
            Self::Version => "the HTTP version is malformed",
            Self::VersionUnsupported => "only HTTP/1.0 and HTTP/1.1 are spoken on this port",
            Self::BareCr => "a CR is not followed by LF",
            Self::BareLf => "an LF does not follow a CR",
            Self::ObsFold => "a field line starts with white space",
            Self::FieldName => "a field name is not a token followed by a colon",
            Self::FieldValue => "a field value has a control byte",
            Self::TooManyFields => "the head has too many fields",
            Self::HeadTooLong => "the head is too long",
            Self::HeadEnd => "the head does not end with an empty line",
            Self::HostMissing => "Host is missing",
            Self::HostRepeated => "Host is given more than once",
            Self::HostValue => "Host is not a host with an optional port",
            Self::CredentialsRepeated => "Proxy-Authorization is given more than once",
            Self::ContentOnConnect => "CONNECT has no Content-Length and no Transfer-Encoding",
            Self::Authority(error) => error.text(),
        }
    }
}

impl From<AuthorityError> for HeadError {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for HeadError {}
