//! The task of one accepted connection: drives the client's session over its socket.
//!
//! Written as one state machine instead of an `async` function that waits for several things at once: there are
//! thousands of them, and most of them wait.

mod driver;
mod farewell;
mod inbound;

use std::pin::Pin;
use std::task::{Context, Poll};

use eventflux_core::BoxFuture;
use eventflux_gateway::Ending;
use eventflux_websocket_wire::Connection;
use tokio::time::Instant;

use super::endpoint::Seat;
use super::welcome::Admitted;
use crate::net::stream::ByteStream;

use self::driver::Driver;

/// A connection that is served to its end: a pointer, whatever it points to.
enum Serving {
    Driven(Pin<Box<Driver>>),
    /// The goodbye, or a refusal.
    Ending(BoxFuture<'static, ()>),
}

/// Serves a connection.
pub(super) fn serve(admitted: Admitted) -> BoxFuture<'static, ()> {
    let Admitted { connection, seat, session, permission, side } = admitted;
    Box::pin(match session {
        Err(ending) => Serving::Ending(Box::pin(refuse(connection, seat, ending))),
        Ok(session) => {
            let driver = Driver::new(connection, seat, session, permission, side);
            log::info!("{} connected", driver.name());
            Serving::Driven(Box::pin(driver))
        }
    })
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Driven(driver) = &mut *self {
            let end = std::task::ready!(driver.as_mut().poll(cx));
            let driver = std::mem::replace(&mut *self, Self::Ending(Box::pin(std::future::ready(()))));
            if let Self::Driven(driver) = driver {
                *self = Self::Ending(Box::pin(driver.finish(end)));
            }
        }
        match &mut *self {
            Self::Ending(ending) => ending.as_mut().poll(cx),
            // Became an ending above.
            Self::Driven(_) => Poll::Pending,
        }
    }
}

async fn refuse(connection: Connection<ByteStream>, seat: Seat, ending: Ending) {
    log::info!("{} from {} refused: {}", seat.endpoint().path(), seat.address(), ending.reason());
    seat.count_violation(Some(ending.code()));
    let by = Instant::now() + seat.config().close_timeout;
    Box::pin(connection.close(ending.code(), ending.reason(), by)).await;
}
