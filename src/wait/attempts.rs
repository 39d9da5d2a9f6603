//! The attempts of one service: how often, how long each, how many good ones in a row.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::moments::Moments;
use super::probe::{Answer, Fatal};
use super::{Group, Progress};
use crate::plan::{Probe, Service, Stable};

/// The first attempts come this fast.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// However long the wait, nobody likes to be later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Readiness is seen within one fiftieth (2 %) of the time it took.
const PAUSE_FRACTION: u32 = 50;
/// In an emulated guest, where an attempt takes milliseconds of the processor and nothing is ready at once, attempts come
/// at multiples of this, those of all services together, so that the guest wakes up once for all.
const EMULATED_STEP: Duration = Duration::from_millis(500);
/// There readiness is seen within this, until a fiftieth of the time waited is more …
const EMULATED_LATENESS: Duration = Duration::from_secs(2);
/// … and sooner at first.
const EMULATED_FRACTION: u32 = 10;
/// An exec starts a process in the container; it may take at most a fifth of the time.
const EXEC_PAUSE_FACTOR: u32 = 4;
/// An attempt may take this long …
const SHORTEST_ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// … or a fifth of the time waited so far: what is slow because the guest is slow gets through in the end.
const ATTEMPT_FRACTION: u32 = 5;

/// An attempt that the budget's end cuts off sooner says nothing about the service.
const TELLING: Duration = Duration::from_secs(1);

fn pause(waited: Duration, probe: &Probe, attempt_took: Duration, slowness: f64) -> Duration {
    let shortest = match slowness > 1.0 {
        // The next multiple is up to a step away.
        true => {
            (waited / EMULATED_FRACTION).clamp(EMULATED_STEP, EMULATED_LATENESS - EMULATED_STEP)
        }
        false => SHORTEST_PAUSE,
    };
    let grown = (waited / PAUSE_FRACTION).clamp(shortest, LONGEST_PAUSE);
    match probe {
        Probe::Exec { .. } => grown
            .max(attempt_took * EXEC_PAUSE_FACTOR)
            .min(LONGEST_PAUSE),
        _ => grown,
    }
}

/// The next of the moments that attempts in an emulated guest share.
pub(super) fn in_step(waited: Duration, slowness: f64) -> Duration {
    if slowness <= 1.0 {
        return waited;
    }
    let steps = waited.as_micros().div_ceil(EMULATED_STEP.as_micros());
    EMULATED_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Its first limits are stretched; what is a share of the time waited grows with the guest's slowness by itself.
fn attempt_limit(waited: Duration, service: &Service, slowness: f64) -> Duration {
    let shortest = SHORTEST_ATTEMPT_LIMIT.mul_f64(slowness);
    let limit = service.attempt_timeout;
    limit.unwrap_or_else(|| (waited / ATTEMPT_FRACTION).max(shortest))
}

/// Good answers in a row, and when the first of them was asked for.
#[derive(Clone, Copy, Default)]
struct Good {
    answers: u32,
    since: Option<Instant>,
}

impl Good {
    fn one_more(&mut self, asked: Instant) {
        self.answers += 1;
        self.since.get_or_insert(asked);
    }

    /// None: it is stable.
    fn lacks(&self, stable: Stable) -> Option<String> {
        match stable {
            Stable::Answers(wanted) => (self.answers < wanted)
                .then(|| format!("{} of {wanted} good answers", self.answers)),
            Stable::For(wanted) => {
                let good = self.since.map_or(Duration::ZERO, |since| since.elapsed());
                // The first answer alone is of one moment, however long it took.
                (good < wanted || self.answers < 2).then(|| {
                    format!(
                        "good for {} of {}",
                        super::seconds(good),
                        super::seconds(wanted)
                    )
                })
            }
        }
    }
}

impl Group<'_> {
    /// Ends when the service has answered as often in a row as it must. The budget is the caller's to watch.
    pub(super) async fn one_ready(
        &self,
        service: &Service,
        progress: &RefCell<Progress>,
        moments: &Moments,
    ) -> Result<(), Fatal> {
        progress.borrow_mut().last_error = "not probed yet".to_owned();
        let mut good = Good::default();
        loop {
            let began = Instant::now();
            let left = self.budget.end().saturating_duration_since(began);
            let limit =
                attempt_limit(self.budget.since.elapsed(), service, self.slowness).min(left);
            let cut_short = limit == left && left < TELLING;
            progress.borrow_mut().attempts += 1;
            let attempt = self.prober.attempt(service, self.observer, limit);
            let answer = match service.probe.ends_by_itself() {
                true => attempt.await,
                false => timeout(limit, attempt).await.unwrap_or_else(|_| {
                    Answer::Silence(format!("no answer within {}", super::seconds(limit)))
                }),
            };
            match answer {
                Answer::Good => good.one_more(began),
                Answer::Silence(_) if cut_short && progress.borrow().attempts > 1 => {}
                Answer::NotYet(why) | Answer::Silence(why) => {
                    good = Good::default();
                    progress.borrow_mut().last_error = why;
                }
                Answer::Never(why) => {
                    progress.borrow_mut().last_error.clone_from(&why);
                    return Err(Fatal(why));
                }
            }
            match good.lacks(service.stable) {
                None => return Ok(()),
                Some(_) if good.answers == 0 => {}
                Some(lack) => progress.borrow_mut().last_error = lack,
            }
            let waited = self.budget.since.elapsed();
            let pause = pause(waited, &service.probe, began.elapsed(), self.slowness);
            let next = in_step(waited + pause, self.slowness);
            moments.until(self.budget.since + next).await;
        }
    }
}

impl Probe {
    /// Of what the engine tells, one attempt lasts until it does. An exec takes its limit itself: dropped in the middle it
    /// would leave its command running, and a hung one would be joined by another with each attempt.
    fn ends_by_itself(&self) -> bool {
        match self {
            Probe::Healthy | Probe::Completed | Probe::Up | Probe::Log(_) | Probe::Exec { .. } => {
                true
            }
            Probe::Tcp { .. } | Probe::Unix(_) | Probe::Http(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Probe = Probe::Tcp {
        host: String::new(),
        port: 1,
        published: false,
    };

    /// Attempts come fast at first and are then never further apart than the promised share.
    #[test]
    fn pauses_stay_within_two_percent() {
        let mut waited = Duration::ZERO;
        let mut attempts = 0;
        while waited < Duration::from_secs(500) {
            let pause = pause(waited, &TCP, Duration::ZERO, 1.0);
            assert!(
                pause <= (waited / 50).max(SHORTEST_PAUSE),
                "{pause:?} after {waited:?}"
            );
            waited += pause;
            attempts += 1;
        }
        assert!(attempts < 600, "{attempts} attempts in 500 s are not idle");
    }

    /// Five services that come one after the other within 22 s take less than a hundred attempts at some twenty moments.
    #[test]
    fn an_emulated_guest_is_asked_seldom_and_all_services_at_once() {
        let mut waited = Duration::ZERO;
        let mut moments = 0;
        while waited < Duration::from_secs(22) {
            let pause = pause(waited, &TCP, Duration::ZERO, 5.0);
            // What an attempt itself takes does not part one service from the others.
            let took = Duration::from_millis(moments % 10);
            let next = in_step(waited + took + pause, 5.0);
            assert!(next.as_millis().is_multiple_of(EMULATED_STEP.as_millis()));
            assert!(
                next - waited <= EMULATED_LATENESS,
                "{next:?} after {waited:?}"
            );
            waited = next;
            moments += 1;
        }
        assert!(moments <= 25, "{moments}");
        let late = Duration::from_secs(400);
        assert_eq!(pause(late, &TCP, Duration::ZERO, 5.0), late / 50);
    }

    #[test]
    fn an_exec_takes_at_most_a_fifth_of_the_time() {
        let probe = Probe::Exec {
            command: vec![],
            user: None,
            fatal_exit_codes: vec![],
        };
        let took = Duration::from_secs(1);
        assert_eq!(pause(Duration::from_secs(3), &probe, took, 1.0), took * 4);
    }

    #[test]
    fn the_limit_of_an_attempt_grows_with_the_wait_unless_given() {
        let mut service = Service {
            name: "s".into(),
            container: None,
            probe: TCP,
            stable: Stable::default(),
            restarts: 0,
            attempt_timeout: None,
        };
        assert_eq!(
            attempt_limit(Duration::ZERO, &service, 1.0),
            Duration::from_secs(5)
        );
        assert_eq!(
            attempt_limit(Duration::from_secs(300), &service, 1.0),
            Duration::from_secs(60)
        );
        assert_eq!(
            attempt_limit(Duration::ZERO, &service, 5.0),
            Duration::from_secs(25),
            "an emulated guest gets more from the start"
        );
        service.attempt_timeout = Some(Duration::from_secs(2));
        assert_eq!(
            attempt_limit(Duration::from_secs(300), &service, 1.0),
            Duration::from_secs(2)
        );
    }
}
