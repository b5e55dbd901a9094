//! Plain `http` through a proxy: requests name the whole address, as RFC 9112 (3.2.2) has it for
//! proxies. `https` goes through a tunnel, which ureq makes itself.

use std::fmt;

use base64ct::{Base64, Encoding};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};

/// Where the proxy for `http` is named, the first one first. As with curl, `HTTP_PROXY` is no name,
/// since a request's `Proxy` header would set it in CGI programs.
const NAMES: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];

/// The proxy that requests for this address go through, if the environment names one.
pub(super) fn for_http(url: &str) -> Option<ForwardProxy> {
    let uri: Uri = url.parse().ok()?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let env = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named = NAMES.iter().find_map(env)?;
    let parsed = ureq::Proxy::new(&named).ok()?;
    if parsed.protocol() != ureq::ProxyProtocol::Http {
        return None;
    }
    let mut exceptions = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
        .host(parsed.host())
        .port(parsed.port());
    let list = ["no_proxy", "NO_PROXY"].iter().find_map(env);
    for host in list.as_deref().unwrap_or_default().split(',') {
        exceptions = exceptions.no_proxy(host.trim());
    }
    if exceptions
        .build()
        .is_ok_and(|proxy| proxy.is_no_proxy(&uri))
    {
        return None;
    }
    let host = match parsed.host() {
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let authorization = parsed.username().map(|user| {
        let password = parsed.password().unwrap_or_default();
        let encoded = Base64::encode_string(format!("{user}:{password}").as_bytes());
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    });
    Some(ForwardProxy {
        uri: format!("http://{host}:{}/", parsed.port()).parse().ok()?,
        authorization: authorization.unwrap_or_default(),
    })
}

/// A proxy for plain `http`.
#[derive(Clone)]
pub(super) struct ForwardProxy {
    uri: Uri,
    /// A header line, or nothing.
    authorization: String,
}

impl ForwardProxy {
    /// An agent whose `http` requests go through the proxy.
    pub(super) fn agent(self, config: Config) -> ureq::Agent {
        let resolver = ProxyResolver(self.uri.clone(), DefaultResolver::default());
        let connector = ().chain(TcpConnector::default()).chain(self);
        #[cfg(feature = "https")]
        let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
        ureq::Agent::with_parts(config, connector, resolver)
    }
}

impl fmt::Debug for ForwardProxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForwardProxy").field(&self.uri).finish()
    }
}

/// Looks the proxy up instead of the server, whose name need not be known here.
#[derive(Debug)]
struct ProxyResolver(Uri, DefaultResolver);

impl Resolver for ProxyResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let is_http = uri.scheme() == Some(&Scheme::HTTP);
        self.1
            .resolve(if is_http { &self.0 } else { uri }, config, timeout)
    }
}

impl<In: Transport> Connector<In> for ForwardProxy {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(inner) = chained else {
            return Ok(None);
        };
        if details.needs_tls() {
            return Ok(Some(Box::new(inner)));
        }
        let authority = details.uri.authority().map_or("", |a| a.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        Ok(Some(Box::new(Absolute {
            inner,
            origin: format!("http://{host}"),
            authorization: self.authorization.clone(),
            is_between: true,
        })))
    }
}

/// A connection to a proxy: the target of each request becomes a whole address.
struct Absolute<T> {
    inner: T,
    origin: String,
    authorization: String,
    /// The next bytes are the head of a request.
    is_between: bool,
}

impl<T> fmt::Debug for Absolute<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Absolute").field(&self.origin).finish()
    }
}

impl<T> Absolute<T> {
    /// The head of a request as a proxy wants it; `None` if there is no end of its first line.
    fn rewritten(&self, head: &[u8]) -> Option<Vec<u8>> {
        let blank = head.iter().position(|&byte| byte == b' ')? + 1;
        let end = head.windows(2).position(|two| two == b"\r\n")? + 2;
        let parts = [
            head.get(..blank)?,
            self.origin.as_bytes(),
            head.get(blank..end)?,
            self.authorization.as_bytes(),
            head.get(end..)?,
        ];
        Some(parts.concat())
    }
}

impl<T: Transport> Transport for Absolute<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if !std::mem::take(&mut self.is_between) || amount == 0 {
            return self.inner.transmit_output(amount, timeout);
        }
        let head = self.inner.buffers().output().get(..amount);
        let head = head.unwrap_or_default().to_vec();
        let head = self.rewritten(&head);
        let output = self.inner.buffers().output();
        match head.and_then(|head| {
            output.get_mut(..head.len())?.copy_from_slice(&head);
            Some(head.len())
        }) {
            Some(amount) => self.inner.transmit_output(amount, timeout),
            None => {
                let what = "the request's head has no room for an address";
                Err(ureq::Error::Io(std::io::Error::other(what)))
            }
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.is_between = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
