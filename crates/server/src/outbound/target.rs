//! Where a webhook may go: the form of its URL, when it is set up and before each request, and each address that its host turns
//! out to have, when it is connected to.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::address;
use super::config::WebhookConfig;

/// What the operator allows besides the open internet over TLS.
#[derive(Clone, Debug)]
pub struct Policy {
    allow_http: bool,
    networks: Vec<IpNet>,
}

/// A URL that is longer is none of a webhook.
pub const MOST_BYTES: usize = 2_048;

impl Policy {
    pub fn new(config: &WebhookConfig) -> Policy {
        Policy { allow_http: config.allow_http, networks: config.allow_networks.clone() }
    }

    /// The URL as it will be used; an error says why nothing is sent there, and never what is there.
    pub fn check(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|error| format!("this is no URL that can be sent to: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => {
                return Err("http:// is not allowed: events go out over TLS only, by https://".to_owned());
            }
            _ => return Err("the URL must begin with https://".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') && has_userinfo(text)
        {
            return Err("a user or password in the URL is not allowed: send a header instead".to_owned());
        }
        if url.fragment().is_some() {
            return Err("a part after # is never sent: leave it out".to_owned());
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.allows(ip.into())?,
            Some(Host::Ipv6(ip)) => self.allows(ip.into())?,
            Some(Host::Domain(name)) if is_local(name) => self.allows(Ipv4Addr::LOCALHOST.into())?,
            Some(Host::Domain(_)) => {}
            None => return Err("the URL names no host".to_owned()),
        }
        match url.port() {
            // What stands below 1024 speaks other protocols, and mostly takes orders.
            None | Some(80 | 443 | 1024..) => Ok(url),
            Some(port) => Err(format!("the port {port} is not allowed: 443, 80, or 1024 and above")),
        }
    }

    /// Whether anything is sent to the address.
    pub fn allows(&self, address: IpAddr) -> Result<(), String> {
        let listed = |ip: IpAddr| self.networks.iter().any(|network| network.contains(&ip));
        match address::special(address) {
            None => Ok(()),
            Some(_) if listed(address) || listed(address.to_canonical()) => Ok(()),
            Some(what) => Err(format!(
                "the host has an address that is {what}; only the operator can allow that (webhooks.allow_networks)"
            )),
        }
    }

    pub fn allows_http(&self) -> bool {
        self.allow_http
    }
}

/// `https://@host` has a userinfo, too, though an empty one.
fn has_userinfo(text: &str) -> bool {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().unwrap_or_default().contains('@')
}

/// Names of this machine, by RFC 6761, with or without the dot at the end.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow_http: bool, networks: &[&str]) -> Policy {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        Policy::new(&WebhookConfig { allow_http, allow_networks: networks, ..WebhookConfig::default() })
    }

    #[test]
    fn what_leads_inside_is_refused_however_it_is_written() {
        for url in [
            "http://hooks.example.test/",
            "https://127.0.0.1",
            "https://127.1/",
            "https://0x7f.1",
            "https://0x7f000001/",
            "https://2130706433",
            "https://017700000001/",
            "https://0/",
            "https://[::1]/",
            "https://[::1%25eth0]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fe80::1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.64.0.1/",
            "https://10.0.0.1/",
            "https://localhost",
            "https://LOCALHOST.",
            "https://localhost./",
            "https://a.localhost/",
            "https://１２７.0.0.1/",
            "https://127。0。0。1/",
            "https://user:pw@hooks.example.test/",
            "https://user@hooks.example.test/",
            "https://@hooks.example.test/",
            "https://hooks.example.test:22/",
            "https://hooks.example.test:25/",
            "https://hooks.example.test:1023/",
            "https://hooks.example.test:0/",
            "https://hooks.example.test/#part",
            "file:///etc/passwd",
            "gopher://hooks.example.test/",
            "ftp://hooks.example.test/",
            "javascript:alert(1)",
            "//hooks.example.test/",
            "hooks.example.test",
            "https://",
            "",
        ] {
            assert!(policy(false, &[]).check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_open_internet_passes_and_what_the_operator_allows() {
        for url in [
            "https://hooks.example.test/a?b=c%40d",
            "https://1.1.1.1:8443/",
            "https://hooks.example.test:443/a@b",
        ] {
            assert!(policy(false, &[]).check(url).is_ok(), "{url}: {:?}", policy(false, &[]).check(url));
        }
        let here = policy(true, &["127.0.0.0/8"]);
        for url in [
            "http://127.0.0.1:9000/",
            "http://localhost:9000/",
            "https://0x7f.1:9000/",
            "https://[::ffff:127.0.0.1]/",
        ] {
            assert!(here.check(url).is_ok(), "{url}: {:?}", here.check(url));
        }
        for url in ["http://10.0.0.1/", "https://[::1]/", "http://127.0.0.1:22/"] {
            assert!(here.check(url).is_err(), "{url}");
        }
    }
}
