//! The clock and the connections of a race between addresses.
//!
//! What to try when is decided in `race`; this file starts the attempts and waits for them.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::addresses::Candidates;
use super::race::{FailedAddresses, Race, Step};

/// Why no attempt connected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RaceEnd {
    /// All failed.
    Lost(FailedAddresses),
    /// The deadline passed.
    Late(FailedAddresses),
}

/// Runs the race with `connect`, until `deadline`; the attempts that did not win are dropped.
///
/// # Errors
/// When every address failed, or none had connected in time.
pub(super) async fn first_to_connect<C, F, S>(
    candidates: Candidates,
    deadline: Instant,
    connect: C,
) -> Result<S, RaceEnd>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<S>>,
{
    let mut race = Race::new(candidates);
    let mut running = FuturesUnordered::new();
    loop {
        let wake = match race.step(Instant::now().into_std()) {
            Step::Start(address) => {
                let attempt = connect(address);
                running.push(async move { (address, attempt.await) });
                continue;
            }
            Step::Wait(due) => due.map_or(deadline, |due| deadline.min(Instant::from_std(due))),
            Step::Lost => return Err(RaceEnd::Lost(race.into_failures())),
        };
        tokio::select! {
            biased;
            Some((address, result)) = running.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => race.failed(address, error.to_string()),
            },
            () = sleep_until(wake) => if deadline <= Instant::now() {
                return Err(RaceEnd::Late(race.into_failures()));
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::addresses::AddressFamily;
    use crate::net::race::ATTEMPT_DELAY;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// What the address with this last byte does: connects, fails or stays silent, after some time.
    #[derive(Clone, Copy)]
    enum Fate {
        Connects(u64),
        Fails(u64),
        Silent,
    }

    /// Counts the attempts that were dropped before they ended.
    struct Unfinished(Rc<RefCell<Vec<SocketAddr>>>, SocketAddr);

    impl Drop for Unfinished {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }

    fn address(index: usize) -> SocketAddr {
        ([192, 0, 2, u8::try_from(index).unwrap()], 80).into()
    }

    /// The winner or the failures; the time it took; what was dropped.
    async fn race(fates: &[Fate]) -> (Result<SocketAddr, RaceEnd>, Duration, Vec<SocketAddr>) {
        let candidates = Candidates::new((0..fates.len()).map(address).collect(), AddressFamily::Any);
        let (dropped, start) = (Rc::default(), Instant::now());
        let connect = |address: SocketAddr| {
            let guard = Unfinished(Rc::clone(&dropped), address);
            let fate = (0..fates.len()).find(|index| self::address(*index) == address).map(|index| fates[index]);
            async move {
                let after = |millis| tokio::time::sleep(Duration::from_millis(millis));
                match fate.unwrap() {
                    Fate::Connects(millis) => after(millis).await,
                    Fate::Fails(millis) => after(millis).await,
                    Fate::Silent => std::future::pending().await,
                }
                std::mem::forget(guard);
                if matches!(fate, Some(Fate::Fails(_))) { Err(io::Error::other("refused")) } else { Ok(address) }
            }
        };
        let result = first_to_connect(candidates, start + DEADLINE, connect).await;
        let unfinished = dropped.borrow().clone();
        (result, start.elapsed(), unfinished)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_one_delay_and_is_dropped_when_another_connects() {
        let (winner, took, dropped) = race(&[Fate::Silent, Fate::Connects(10), Fate::Connects(0)]).await;
        assert_eq!((winner, dropped), (Ok(address(1)), vec![address(0)]));
        assert_eq!(took, ATTEMPT_DELAY + Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_may_still_win() {
        let (winner, took, dropped) = race(&[Fate::Connects(300), Fate::Connects(200)]).await;
        assert_eq!((winner, dropped, took.as_millis()), (Ok(address(0)), vec![address(1)], 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_costs_no_delay() {
        let (winner, took, _) = race(&[Fate::Fails(1), Fate::Fails(1), Fate::Connects(1)]).await;
        assert_eq!((winner, took.as_millis()), (Ok(address(2)), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_race_and_tells_what_was_tried() {
        let (end, took, dropped) = race(&[Fate::Fails(20), Fate::Silent, Fate::Silent]).await;
        let Err(RaceEnd::Late(failures)) = end else { panic!("{end:?}") };
        assert_eq!(failures.to_string(), "192.0.2.0:80: refused; 192.0.2.1:80: no answer; 192.0.2.2:80: no answer");
        assert_eq!((took, dropped.len()), (DEADLINE, 2));
    }

    #[tokio::test]
    async fn a_refusing_address_is_passed_over_for_one_that_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refusing = SocketAddr::from(([127, 0, 0, 2], good.port()));
        let candidates = Candidates::new(vec![refusing, good], AddressFamily::Any);
        let stream = first_to_connect(candidates, Instant::now() + DEADLINE, TcpStream::connect).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    }
}
