//! Forms of targets.

use super::request::parsed;
use crate::addr::{Authority, AuthorityError};
use crate::proto::http1::HeadError::{self, Authority as Bad, Fragment, TargetForm as NoForm};
use crate::proto::http1::{TargetForm, target_form};

fn form(method: &str, target: &str) -> Result<TargetForm, HeadError> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    target_form(&parsed(head.as_bytes()), head.as_bytes())
}

#[test]
fn ws_is_a_scheme_where_a_websocket_is_opened_and_nowhere_else() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let read = |scheme: &str, fields: &str| {
        let head = format!("GET {scheme}://h:81/x HTTP/1.1\r\nHost: h:81\r\n{fields}\r\n");
        target_form(&parsed(head.as_bytes()), head.as_bytes()).unwrap()
    };
    assert!(matches!(read("ws", upgrade), TargetForm::Http(http) if http.port_given));
    assert!(matches!(read("WS", upgrade), TargetForm::Http(_)));
    assert_eq!(read("ws", ""), TargetForm::OtherScheme);
    assert_eq!(
        read("ws", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        TargetForm::OtherScheme
    );
    assert_eq!(read("wss", upgrade), TargetForm::OtherScheme);
}

#[test]
fn http_targets_are_taken_apart() {
    for (target, authority, path, port) in [
        ("http://h/", "h", "/", None),
        ("http://h", "h", "", None),
        ("http://h?q", "h", "?q", None),
        ("http://h/?q", "h", "/?q", None),
        (
            "HTTP://Example.COM/a/b?c=http://x/y",
            "Example.COM",
            "/a/b?c=http://x/y",
            None,
        ),
        ("hTtP://h:8080/x", "h:8080", "/x", Some(8080)),
        ("http://h:80?", "h:80", "?", Some(80)),
        ("http://h//x", "h", "//x", None),
        ("http://h/@x:y", "h", "/@x:y", None),
        ("http://h?@x:y/", "h", "?@x:y/", None),
        (
            "http://h/%00%zz|{}\\^`\"<>",
            "h",
            "/%00%zz|{}\\^`\"<>",
            None,
        ),
        ("http://192.0.2.1:1/", "192.0.2.1:1", "/", Some(1)),
        ("http://[2001:db8::1]/", "[2001:db8::1]", "/", None),
        (
            "http://[2001:db8::1]:81/",
            "[2001:db8::1]:81",
            "/",
            Some(81),
        ),
        ("http://h./", "h.", "/", None),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        let head = head.as_bytes();
        let Ok(TargetForm::Http(http)) = target_form(&parsed(head), head) else {
            panic!("{target}");
        };
        assert_eq!(http.authority.of(head), authority.as_bytes(), "{target}");
        assert_eq!(http.path.of(head), path.as_bytes(), "{target}");
        assert_eq!(http.port_given, port.is_some(), "{target}");
        let default = 80.try_into().unwrap();
        let parsed = Authority::parse_with_default(http.authority.of(head), default).unwrap();
        assert_eq!(parsed.port.get(), port.unwrap_or(80), "{target}");
    }
}

#[test]
fn other_forms_are_told_apart() {
    for (method, target, expected) in [
        ("GET", "/", TargetForm::Origin),
        ("GET", "//h/x", TargetForm::Origin),
        ("OPTIONS", "/x?y", TargetForm::Origin),
        ("OPTIONS", "*", TargetForm::Asterisk),
        ("GET", "https://h/", TargetForm::Https),
        ("POST", "HTTPS://u@h:x", TargetForm::Https),
        ("GET", "ftp://h/", TargetForm::OtherScheme),
        ("GET", "ws://h/", TargetForm::OtherScheme),
        ("GET", "httpx://h/", TargetForm::OtherScheme),
        ("GET", "a+b-c.1://", TargetForm::OtherScheme),
        ("GET", "h:80", TargetForm::Authority),
        ("GET", "192.0.2.1:80", TargetForm::Authority),
        ("OPTIONS", "[::1]:80", TargetForm::Authority),
        ("CONNECT", "h:80", TargetForm::Authority),
        ("CONNECT", "http://h/", TargetForm::Authority),
    ] {
        assert_eq!(form(method, target), Ok(expected), "{method} {target}");
    }
}

#[test]
fn bad_targets_are_refused() {
    for (target, error) in [
        ("http://u@h/", Bad(AuthorityError::Userinfo)),
        ("http://u:p@h/", Bad(AuthorityError::Userinfo)),
        ("http://u:p@h:80/", Bad(AuthorityError::Userinfo)),
        ("http://@h/", Bad(AuthorityError::Userinfo)),
        ("http://h@", Bad(AuthorityError::Userinfo)),
        ("http:///", Bad(AuthorityError::HostMissing)),
        ("http://", Bad(AuthorityError::HostMissing)),
        ("http://?q", Bad(AuthorityError::HostMissing)),
        ("http://:80/", Bad(AuthorityError::HostMissing)),
        ("http://h:/", Bad(AuthorityError::PortMissing)),
        ("http://h:0/", Bad(AuthorityError::Port)),
        ("http://h:65536/", Bad(AuthorityError::Port)),
        ("http://h:+80/", Bad(AuthorityError::Port)),
        ("http://h:080/", Bad(AuthorityError::Port)),
        ("http://h:8o/", Bad(AuthorityError::Port)),
        ("http://h:80:80/", Bad(AuthorityError::NameByte)),
        ("http://::1/", Bad(AuthorityError::NameByte)),
        ("http://a,b/", Bad(AuthorityError::NameByte)),
        ("http://h\\x/", Bad(AuthorityError::NotAuthority)),
        ("http://%68/", Bad(AuthorityError::PercentEncoding)),
        ("http://127.1/", Bad(AuthorityError::Ipv4)),
        ("http://0x7f000001/", Bad(AuthorityError::Ipv4)),
        ("http://[::1/", Bad(AuthorityError::Ipv6)),
        ("http://[::1%25lo]/", Bad(AuthorityError::Ipv6Zone)),
        ("http://h/#f", Fragment),
        ("http://h#f", Fragment),
        ("http://h/?q#", Fragment),
        ("/#", Fragment),
        ("http:/h/", NoForm),
        ("http:h/", NoForm),
        ("http:", NoForm),
        ("http", NoForm),
        ("example.com", NoForm),
        ("example.com/x", NoForm),
        ("://h/", NoForm),
        ("1http://h/", NoForm),
        ("ht_tp://h/", NoForm),
        ("mailto:a@b", NoForm),
        ("u@h:80", NoForm),
        ("?q", NoForm),
        ("*", NoForm),
        ("**", NoForm),
        ("\\\\h\\x", NoForm),
    ] {
        assert_eq!(form("GET", target), Err(error), "{target}");
        assert_eq!(error.status().code(), 400);
    }
}
