//! Where a webhook's address lies, and whether that is on the public internet.

use axum::http::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One address of the url's host. All that are found must be public: a name that means both is not to be trusted.
pub(super) async fn resolve(url: &str, private: bool) -> Result<SocketAddr, String> {
    let url: Uri = url.parse().map_err(|_| "expected an address, found something else".to_owned())?;
    let host = url.host().unwrap_or("").trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| "the look-up of the host took too long".to_owned())?;
    let found: Vec<_> = found.map_err(|error| format!("the host is not found: {error}"))?.collect();
    if !private && found.iter().any(|address| !is_public(address.ip())) {
        return Err("expected a host on the public internet, found one with another address".into());
    }
    found.first().copied().ok_or_else(|| "the host has no address".into())
}

/// Reachable for everybody (IANA's special-purpose address registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true, // shared by providers
        (169, 254, _) => true,      // link-local, cloud metadata
        (172, 16..=31, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) => true, // protocol assignments, documentation, 6to4
        (192, 168, _) => true,
        (198, 18..=19, _) => true,              // benchmarks
        (198, 51, 100) | (203, 0, 113) => true, // documentation
        (224.., ..) => true,                    // multicast and reserved
        _ => false,
    };
    !special
}

/// Of the global unicast block, without tunnels, which lead to an IPv4 address, and documentation. What maps IPv4
/// addresses lies outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let special = match (a, b) {
        (0x2001, 0..=0x1ff) | (0x2001, 0xdb8) => true, // protocol assignments (Teredo), documentation
        (0x2002, _) => true,                           // 6to4
        (0x3fff, 0..=0xfff) => true,                   // documentation
        _ => false,
    };
    (0x2000..=0x3fff).contains(&a) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for address in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn names_and_numbers_are_looked_up() {
        for url in
            ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]:8443/x", "https://2130706433/x"]
        {
            assert!(resolve(url, false).await.is_err(), "{url}");
        }
        assert_eq!(resolve("http://127.0.0.1/x", true).await.unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(resolve("https://[::1]:8443/x", true).await.unwrap(), "[::1]:8443".parse().unwrap());
        assert_eq!(resolve("https://8.8.8.8/x", false).await.unwrap(), "8.8.8.8:443".parse().unwrap());
    }
}
