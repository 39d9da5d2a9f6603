//! sd_notify(3): what a service tells systemd of itself. A datagram that is not taken at once is left.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

pub struct Notifier {
    socket: UnixDatagram,
}

impl Notifier {
    /// None where nobody wants to know.
    pub fn of_this_service() -> Option<Self> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        Notifier::to(&name).ok()
    }

    /// A path, or with an `@` before it a name in the abstract namespace.
    pub fn to(name: &str) -> io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket })
    }

    /// Lines of `NAME=value`.
    pub fn tell(&self, state: &str) {
        // systemd may be restarting, or busy: the next state comes soon.
        let _ = self.socket.send(state.as_bytes());
    }
}

/// How soon systemd wants a sign of life, if it does. Not only from the service's first process, which is a shell here.
pub fn watchdog() -> Option<Duration> {
    env::var("NOTIFY_SOCKET").ok()?;
    let microseconds = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}
