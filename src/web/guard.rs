//! What a request must be like before anything is done for it.

use std::net::IpAddr;

use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, StatusCode, Uri};

/// The longest path with its query, in bytes.
const LONGEST: usize = 2_048;

/// How the request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over TCP, at this address of ours.
    Tcp(IpAddr),
    /// Over the Unix socket.
    Unix,
}

impl Way {
    /// Only this machine can come in by it.
    pub const fn is_local(self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Unix => true,
        }
    }
}

/// Why a request is refused: the status and one sentence.
pub type No = (StatusCode, &'static str);

/// Judges method, form, body and `Host`.
///
/// # Errors
/// What is wrong with it.
pub fn judge(method: &Method, uri: &Uri, headers: &HeaderMap, way: Way) -> Result<(), No> {
    if method != Method::GET && method != Method::HEAD {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD: nothing can be changed here."));
    }
    if uri.authority().is_some() || uri.scheme().is_some() {
        return Err((StatusCode::BAD_REQUEST, "This is no proxy."));
    }
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > LONGEST) {
        return Err((StatusCode::URI_TOO_LONG, "The address is too long."));
    }
    let empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0");
    if !empty || headers.contains_key(TRANSFER_ENCODING) {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "A request here has no body."));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err((StatusCode::BAD_REQUEST, "One Host header is needed."));
    };
    // Off loopback there is no page to protect, and nobody can say by which names others know this machine.
    if way.is_local() && !host.to_str().is_ok_and(|host| is_ours(host, way)) {
        let why = "This Host is not known here. Use localhost, a loopback address, or the address of [daemon] listen.";
        return Err((StatusCode::MISDIRECTED_REQUEST, why));
    }
    Ok(())
}

/// Whether a `Host` names this machine: with any other name a page from elsewhere could read ours through its visitor's browser (DNS
/// rebinding). The port does not matter: it differs behind an SSH tunnel.
fn is_ours(host: &str, way: Way) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    // What follows the name is a port, or it is another name: `[::1].evil`.
    let port = host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if !port {
        return false;
    }
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || way == Way::Tcp(address),
        Err(_) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hyper::{HeaderMap, Method, StatusCode};

    use super::{Way, judge};

    const LOCAL: Way = Way::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn status(method: &str, uri: &str, headers: &[(&'static str, &str)], way: Way) -> StatusCode {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        judge(&method, &uri.parse().unwrap(), &map, way).map_or_else(|(status, _)| status, |()| StatusCode::OK)
    }

    #[test]
    fn only_names_of_this_machine_are_let_in() {
        let ours = ["localhost", "LOCALHOST:9464", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]:9464", "127.0.0.1:80"];
        for host in ours {
            assert_eq!(status("GET", "/", &[("host", host)], LOCAL), StatusCode::OK, "{host}");
            assert_eq!(status("GET", "/", &[("host", host)], Way::Unix), StatusCode::OK, "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "0.0.0.0",
            "x@localhost",
            "",
            "local host",
            "[::1].evil",
        ];
        for host in foreign {
            assert_ne!(status("GET", "/", &[("host", host)], LOCAL), StatusCode::OK, "{host}");
        }
    }

    #[test]
    fn nothing_but_a_plain_look_is_let_in() {
        let host = ("host", "localhost");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
            assert_eq!(status(method, "/", &[host], LOCAL), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
        assert_eq!(status("HEAD", "/", &[host], LOCAL), StatusCode::OK);
        assert_eq!(status("GET", "http://localhost/", &[host], LOCAL), StatusCode::BAD_REQUEST);
        assert_eq!(status("GET", "/", &[], LOCAL), StatusCode::BAD_REQUEST);
        assert_eq!(status("GET", "/", &[host, host], LOCAL), StatusCode::BAD_REQUEST);
        assert_eq!(status("GET", "/", &[host, ("content-length", "5")], LOCAL), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status("GET", "/", &[host, ("transfer-encoding", "chunked")], LOCAL), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status("GET", &format!("/?q={}", "x".repeat(3_000)), &[host], LOCAL), StatusCode::URI_TOO_LONG);
    }

    #[test]
    fn off_loopback_any_name_will_do() {
        let way = Way::Tcp("192.0.2.7".parse().unwrap());
        assert_eq!(status("GET", "/metrics", &[("host", "cutover.internal:9464")], way), StatusCode::OK);
        assert_eq!(status("GET", "/metrics", &[], way), StatusCode::BAD_REQUEST);
    }
}
