//! What can be wrong with a head, by the element of its grammar.

use std::fmt;

use super::Status;
use crate::addr::AuthorityError;

/// Why a head, or a trailer section, is refused. The connection closes: where the next message would start is
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
    /// The target is none of the four forms, or one that does not belong to the method.
    TargetForm,
    /// The target has a fragment.
    Fragment,
    /// The first line of a response is not a version, three digits and a reason.
    StatusLine,
    /// The first line of a response is longer than the limit.
    StatusLineTooLong,
    /// The status is less than 100.
    StatusCode,
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
    /// A Content-Length that is not one decimal number up to 2^63 - 1.
    ContentLength,
    /// More than one Content-Length, equal or not.
    ContentLengthRepeated,
    /// A Transfer-Encoding that is empty or malformed, or goes on behind `chunked`.
    TransferEncoding,
    /// A Transfer-Encoding in HTTP/1.0, which has none.
    TransferEncodingVersion,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// Content-Length and Transfer-Encoding.
    FramingAmbiguous,
    /// An option of Connection that is no token.
    ConnectionOption,
    /// Connection names a field without which the message would be another one.
    ConnectionField,
    /// Connection names more fields than the limit.
    TooManyOptions,
    /// A Max-Forwards, where it counts, that is not one decimal number.
    MaxForwards,
    /// More than one Proxy-Authorization: which one counts would be a guess.
    CredentialsRepeated,
    /// CONNECT with Content-Length or Transfer-Encoding: body or tunnel, the next proxy may read it the other way.
    ContentOnConnect,
    /// TRACE with a body.
    ContentOnTrace,
    /// The target of a CONNECT is not `host:port`, or the authority of a URI not `host` with an optional port.
    Authority(AuthorityError),
}

impl HeadError {
    /// The status of the answer to a request.
    pub const fn status(self) -> Status {
        match self {
            Self::MethodTooLong | Self::MethodNotImplemented | Self::TransferCoding => {
                Status::NotImplemented
            }
            Self::TargetTooLong => Status::UriTooLong,
            Self::TooManyFields | Self::TooManyOptions | Self::HeadTooLong => {
                Status::RequestHeaderFieldsTooLarge
            }
            Self::StatusLine | Self::StatusLineTooLong | Self::StatusCode => Status::BadGateway,
            Self::VersionUnsupported => Status::HttpVersionNotSupported,
            Self::NotHttp
            | Self::Method
            | Self::Target
            | Self::TargetForm
            | Self::Fragment
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
            | Self::ContentLength
            | Self::ContentLengthRepeated
            | Self::TransferEncoding
            | Self::TransferEncodingVersion
            | Self::FramingAmbiguous
            | Self::ConnectionOption
            | Self::ConnectionField
            | Self::MaxForwards
            | Self::CredentialsRepeated
            | Self::ContentOnConnect
            | Self::ContentOnTrace
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
            Self::TargetForm => "the request target is not one that belongs to the method",
            Self::Fragment => "the request target has a fragment",
            Self::StatusLine => "the status line is not an HTTP version, three digits and a reason",
            Self::StatusLineTooLong => "the status line is too long",
            Self::StatusCode => "the status is less than 100",
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
            Self::ContentLength => "Content-Length is not one decimal number up to 2^63 - 1",
            Self::ContentLengthRepeated => "Content-Length is given more than once",
            Self::TransferEncoding => "Transfer-Encoding is malformed, or goes on behind chunked",
            Self::TransferEncodingVersion => "HTTP/1.0 has no Transfer-Encoding",
            Self::TransferCoding => "the only transfer coding that is implemented is chunked",
            Self::FramingAmbiguous => "Content-Length and Transfer-Encoding exclude each other",
            Self::ConnectionOption => "an option of Connection is not a token",
            Self::ConnectionField => "Connection names a field that the message cannot lose",
            Self::TooManyOptions => "Connection names too many fields",
            Self::MaxForwards => "Max-Forwards is not one decimal number",
            Self::CredentialsRepeated => "Proxy-Authorization is given more than once",
            Self::ContentOnConnect => "CONNECT has no Content-Length and no Transfer-Encoding",
            Self::ContentOnTrace => "TRACE has no body",
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
