//! From an address in the configuration to a socket that listens.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::ListenerConfig;

/// Connections that the kernel completes before they are accepted: a fleet that comes back at once.
const BACKLOG: i32 = 4096;

/// Listens. `None` if the machine does not have the address, and the listener is optional.
///
/// `[::]` takes clients of IPv4 too, whatever the system's default is, and stands for `0.0.0.0` where there is no IPv6.
pub(super) fn listen(config: &ListenerConfig) -> io::Result<Option<TcpListener>> {
    let address = config.bind;
    let socket = match socket(address) {
        Ok(socket) => socket,
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() && !config.ipv6_only => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            return start(&socket(address)?, address, config).map(Some);
        }
        Err(error) => return if config.optional { Ok(None) } else { Err(error) },
    };
    match start(&socket, address, config) {
        Err(error) if config.optional && error.kind() == io::ErrorKind::AddrNotAvailable => Ok(None),
        started => started.map(Some),
    }
}

/// Fails where the system does not have the family.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

fn start(socket: &Socket, address: SocketAddr, config: &ListenerConfig) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(config.ipv6_only)?;
    }
    if let Some(interface) = &config.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.try_clone()?.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn any(bind: &str) -> ListenerConfig {
        ListenerConfig::new(bind.parse().unwrap())
    }

    #[tokio::test]
    async fn every_address_is_every_address_unless_it_is_said_otherwise() {
        for (ipv6_only, takes_v4) in [(false, true), (true, false)] {
            let config = ListenerConfig { ipv6_only, ..any("[::]:0") };
            let Ok(Some(listener)) = listen(&config) else {
                // Only where there is no IPv6 can it be that there is nothing to listen on.
                assert!(ipv6_only && socket(config.bind).is_err());
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(), takes_v4);
        }
    }

    #[tokio::test]
    async fn an_address_that_is_not_there_may_be_optional() {
        // TEST-NET-1 [RFC 5737]: no machine has it.
        let config = any("192.0.2.1:0");
        assert_eq!(listen(&config).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        assert!(listen(&ListenerConfig { optional: true, ..config }).unwrap().is_none());
        let there = listen(&any("127.0.0.1:0")).unwrap().unwrap();
        let taken = ListenerConfig { optional: true, ..ListenerConfig::new(there.local_addr().unwrap()) };
        assert_eq!(listen(&taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn an_interface_is_one_that_the_machine_has() {
        let config = ListenerConfig { interface: Some("no-such-one".into()), ..any("127.0.0.1:0") };
        assert!(listen(&config).is_err());
        let config = ListenerConfig { interface: Some("lo".into()), ..any("127.0.0.1:0") };
        let listener = listen(&config).unwrap().unwrap();
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
    }
}
