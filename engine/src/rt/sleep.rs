//! Waiting for a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Rt, TimerKey};

/// The deadline came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Ready at its deadline.
pub struct Sleep {
    rt: Rt,
    deadline: Instant,
    timer: Option<TimerKey>,
}

impl Rt {
    /// Waits until `deadline`.
    #[must_use]
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep {
            rt: self.clone(),
            deadline,
            timer: None,
        }
    }

    /// Waits for `future`, but not past `deadline`.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline came first; `future` is dropped.
    pub async fn timeout_at<T>(
        &self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        futures_lite::future::or(async { Ok(future.await) }, async {
            self.sleep_until(deadline).await;
            Err(Elapsed)
        })
        .await
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.rt.now() >= self.deadline {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            self.timer = Some(self.rt.start_timer(self.deadline));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.rt.stop_timer(timer);
        }
    }
}
