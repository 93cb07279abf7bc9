//! Which addresses are the internet's. A webhook is told by a customer, and the server stands where not everybody may go: without
//! this, whoever may set up a webhook could reach what only the server can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why the address is none of the open internet's; none if it is. After the registries of special-purpose addresses of IANA.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [10, ..] | [192, 168, ..] => Some("private"),
        [172, b, ..] if b & 0xf0 == 16 => Some("private"),
        [100, b, ..] if b & 0xc0 == 64 => Some("shared by a carrier"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] => Some("reserved"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("for documentation"),
        [192, 88, 99, _] => Some("6to4"),
        [198, b, ..] if b & 0xfe == 18 => Some("for benchmarks"),
        [255, 255, 255, 255] => Some("broadcast"),
        [a, ..] if a >= 240 => Some("reserved"),
        [a, ..] if a >= 224 => Some("multicast"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    // What carries an IPv4 address is refused whole: one that is open is reached by itself.
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some("a mapped IPv4 address"),
        [0x64, 0xff9b, ..] => Some("NAT64"),
        [a, ..] if a & 0xfe00 == 0xfc00 => Some("unique-local"),
        [a, ..] if a & 0xffc0 == 0xfe80 => Some("link-local"),
        [a, ..] if a & 0xff00 == 0xff00 => Some("multicast"),
        [0x2001, b, ..] if b < 0x200 => Some("reserved"),
        [0x2001, 0xdb8, ..] => Some("for documentation"),
        [0x2002, ..] => Some("6to4"),
        [0x3fff, b, ..] if b < 0x1000 => Some("for documentation"),
        // Of all others only 2000::/3 was ever given to anybody.
        [a, ..] if a & 0xe000 == 0x2000 => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_open_internet_pass() {
        let open = [
            "1.1.1.1",
            "93.184.216.34",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "198.17.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "2001:200::1",
        ];
        for text in open {
            assert_eq!(special(text.parse().unwrap()), None, "{text}");
        }
        let closed = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in closed {
            assert!(special(text.parse().unwrap()).is_some(), "{text}");
        }
    }
}
