//! Where connections come in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use cutover_config::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::guard::Way;
use crate::control::BindError;
use crate::control::people::People;
use crate::control::socket::{Socket, SocketFile};

/// Why nothing can be served.
#[derive(Debug)]
pub enum WebBindError {
    /// The address could not be bound.
    Tcp(SocketAddr, std::io::Error),
    /// The socket could not be opened.
    Unix(BindError),
}

impl fmt::Display for WebBindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address, error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "listen {address}: another program has this port; set another `[daemon] listen`, or \"\" for none")
            }
            Self::Tcp(address, error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                write!(f, "listen {address}: this machine does not have this address (yet); correct `[daemon] listen`")
            }
            Self::Tcp(address, error) => write!(f, "listen {address}: cannot be opened ({error})"),
            Self::Unix(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WebBindError {}

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open address or socket.
pub enum Door {
    /// An address.
    Tcp(TcpListener, IpAddr),
    /// A socket; its file goes with it.
    Unix(tokio::net::UnixListener, SocketFile),
}

impl Door {
    /// Opens it. A socket gets mode and group of the control socket.
    ///
    /// # Errors
    /// See [`WebBindError`].
    pub async fn open(listen: &Listen) -> Result<Self, WebBindError> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(|error| WebBindError::Tcp(*address, error))?;
                Ok(Self::Tcp(listener, address.ip()))
            }
            Listen::Unix(path) => {
                let Socket { listener, file, .. } =
                    Socket::open(path, "listen", &People::read()).await.map_err(WebBindError::Unix)?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// The address that was bound, where it is one: the port too, where the system chose it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// How connections come in by it.
    pub(super) const fn way(&self) -> Way {
        match self {
            Self::Tcp(_, address) => Way::Tcp(*address),
            Self::Unix(..) => Way::Unix,
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener, _) => Box::new(listener.accept().await?.0),
            Self::Unix(listener, _) => Box::new(listener.accept().await?.0),
        })
    }
}
