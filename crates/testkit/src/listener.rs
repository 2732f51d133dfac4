//! A loopback listener that can stop listening and take its port again: what a server restart looks like to a client.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;

/// Pause after a failed `accept` or `bind`, so that neither spins.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What the listener does with new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// They are accepted.
    Open,
    /// The kernel completes them, nobody accepts: they hang.
    Ignored,
    /// Nobody listens: they are refused.
    Refused,
}

/// Binds 127.0.0.1 on a free port. `receive_buffer` (bytes) is inherited by accepted connections.
///
/// # Panics
/// When the loopback interface has no free port.
pub(crate) fn bind(receive_buffer: Option<usize>) -> std::net::TcpListener {
    bind_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), receive_buffer)
        .unwrap_or_else(|error| panic!("testkit could not listen on 127.0.0.1: {error}"))
}

/// Accepts connections while the door is open and hands them to `serve`, until the door's sender is gone.
pub(crate) async fn accept_loop(
    first: std::net::TcpListener,
    receive_buffer: Option<usize>,
    mut door: watch::Receiver<Door>,
    bound: watch::Sender<bool>,
    mut serve: impl FnMut(TcpStream),
) -> io::Result<()> {
    let address = first.local_addr()?;
    let mut listener = Some(TcpListener::from_std(first)?);
    loop {
        let now = *door.borrow_and_update();
        if now == Door::Refused {
            listener = None;
        } else if listener.is_none() {
            listener = bind_at(address, receive_buffer).and_then(TcpListener::from_std).ok();
        }
        bound.send_replace(listener.is_some());
        tokio::select! {
            changed = door.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(RETRY_PAUSE), if listener.is_none() && now != Door::Refused => {}
            accepted = accept(listener.as_ref()), if now == Door::Open && listener.is_some() => match accepted {
                Ok(stream) => serve(stream),
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            },
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn bind_at(address: SocketAddr, receive_buffer: Option<usize>) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
