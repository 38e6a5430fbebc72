//! Dialling an address. Never a name: names are resolved on the control thread.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::fd::Socket;
use super::stream::Stream;

/// Connects over TCP, with small writes sent at once.
///
/// **Cancellation**: the attempt is given up and its socket closed.
///
/// # Errors
///
/// As connect(2).
pub async fn tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = Stream::new(Socket::dial_tcp(address).await?);
    stream.set_nodelay();
    Ok(stream)
}

/// Connects to a Unix socket. **Cancellation** and errors as [`tcp`].
///
/// # Errors
///
/// As connect(2).
pub async fn unix(path: &Path) -> io::Result<Stream> {
    Ok(Stream::new(Socket::dial_unix(path).await?))
}
