//! A line that is as long as is said: every reply comes so much later.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a free port and passes everything on to `to`; what comes back waits for `delay`.
pub async fn before(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, to, delay));
        }
    });
    address
}

async fn pass(near: TcpStream, to: SocketAddr, delay: Duration) -> std::io::Result<()> {
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let there = async move {
        tokio::io::copy(&mut near_in, &mut far_out).await?;
        far_out.shutdown().await
    };
    let back = async move {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = far_in.read(&mut bytes).await?;
            if read == 0 {
                return near_out.shutdown().await;
            }
            tokio::time::sleep(delay).await; // this is what is measured: a provider so far away
            near_out.write_all(&bytes[..read]).await?;
        }
    };
    let _ = tokio::join!(there, back);
    Ok(())
}
