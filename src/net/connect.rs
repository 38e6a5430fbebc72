//! Dialling an address. Never a name: names are resolved on the control thread.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use monoio::net::{TcpStream, UnixStream};

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
    let stream = Stream::new(Socket::from_stream(TcpStream::connect_addr(address).await?));
    stream.set_nodelay();
    Ok(stream)
}

/// Connects to a Unix socket. **Cancellation** and errors as [`tcp`].
///
/// # Errors
///
/// As connect(2).
pub async fn unix(path: &Path) -> io::Result<Stream> {
    let stream = UnixStream::connect(path).await?;
    Ok(Stream::new(Socket::from_unix(stream)?))
}
