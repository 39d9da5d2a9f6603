//! The worker: runs the pipeline, sends its events to the guardian, and takes the guardian's place if that dies.

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getppid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::event::{Event, Events, Outcome};
use crate::failure::{ExitCode, Reason};
use crate::guardian::{Control, Run};
use crate::host::Host;
use crate::host::power::ThisMachine;
use crate::host::{notify, oom};
use crate::mask::Masker;
use crate::pipeline::{self, Wish};
use crate::verdict::{Announcer, Lock, Outlets, Passages, Progress};

/// Not for people: only the guardian says it.
pub const WORKER_VERB: &str = "guarded-worker";

/// A guardian that says nothing while this passes so often does not run. Announcing a verdict, it is silent for half of that.
const SILENT_PAUSES: u32 = 9;
const PAUSE: Duration = Duration::from_secs(5);
/// So many in the time after which systemd takes us for hung.
const SIGNS_OF_LIFE: u32 = 4;

/// Who hears the events.
enum Audience {
    /// With what it has been told, should it die.
    Guardian(Box<Progress>),
    /// The guardian is dead.
    Own(Box<Announcer>),
}

type SharedAudience = Arc<Mutex<Audience>>;

/// Who sees to it that the outcome becomes a marker.
enum Ending {
    Announced,
    Orphaned,
}

pub fn run() -> ExitCode {
    // The guardian's protection is not for us.
    oom::set_score(oom::USUAL);
    let mut first = String::new();
    let read = io::stdin().lock().read_line(&mut first);
    let Some(run) = read
        .ok()
        .and_then(|_| serde_json::from_str::<Run>(&first).ok())
    else {
        eprintln!("guestbake: {WORKER_VERB} is started by `guestbake run`, not by hand");
        return ExitCode::Usage;
    };
    leave_signals_to_the_guardian();
    let audience: SharedAudience = Arc::new(Mutex::new(Audience::Guardian(Box::default())));
    let events = events_to(audience.clone());
    fail_on_panic(events.clone(), audience.clone());
    let (wishes, wished) = mpsc::unbounded_channel();
    let (ending, end) = std_mpsc::channel();
    let passages = Passages::inherited(&run.passages);
    let (heard, outlets) = (audience.clone(), run.outlets.clone());
    let silence = Arc::new(AtomicU32::new(0));
    let counted = silence.clone();
    thread::spawn(move || end_a_silent_guardian(run.guardian, &counted));
    thread::spawn(move || obey(&heard, outlets, passages, &silence, &wishes, &ending));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("no runtime without epoll");
    let outcome = runtime.block_on(async {
        let host = Host::of_this_guest(run.request.docker_host.as_deref());
        show_life(&events);
        pipeline::provision(&host, &run.request, &events, wished).await
    });
    // What hangs in a thread must not keep the outcome from being told.
    runtime.shutdown_background();
    events.emit(Event::Outcome(outcome.clone()));
    match end.recv() {
        Ok(Ending::Announced) => outcome.exit_code(),
        Ok(Ending::Orphaned) | Err(_) => announce(&audience, outcome),
    }
}

/// From the pipeline's own thread: what blocks that ends the signs of life.
fn show_life(events: &Events) {
    let (Some(patience), events) = (notify::watchdog(), events.clone()) else {
        return;
    };
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(patience / SIGNS_OF_LIFE);
        loop {
            beat.tick().await;
            events.emit(Event::Alive);
        }
    });
}

/// Does what the guardian would have done.
fn announce(audience: &SharedAudience, outcome: Outcome) -> ExitCode {
    match &mut *lock(audience) {
        Audience::Own(announcer) => {
            let code = announcer.announce(outcome);
            announcer.power_off_if_due();
            code
        }
        Audience::Guardian(_) => ExitCode::Internal,
    }
}

/// Follows the control pipe to its end, which is the guardian's.
fn obey(
    audience: &SharedAudience,
    outlets: Outlets,
    passages: Passages,
    silence: &AtomicU32,
    wishes: &UnboundedSender<Wish>,
    ending: &std_mpsc::Sender<Ending>,
) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        silence.store(0, Relaxed);
        let wish = match serde_json::from_str(&line) {
            Ok(Control::Interrupt(why)) => Wish::GiveUp(Reason::Interrupted, why),
            Ok(Control::Diagnose) => Wish::Diagnose,
            Ok(Control::Announced) => {
                let _ = ending.send(Ending::Announced);
                return;
            }
            Ok(Control::Well) | Err(_) => continue,
        };
        let _ = wishes.send(wish);
    }
    let mut heard = lock(audience);
    if let Audience::Guardian(progress) = &mut *heard {
        let progress = std::mem::take(&mut **progress);
        let _ = Lock::take_over(&outlets.state);
        let power = Arc::new(ThisMachine);
        let announcer = Announcer::continuing(outlets, passages, progress, power);
        *heard = Audience::Own(Box::new(announcer));
    }
    drop(heard);
    let why = "the guardian process was killed".to_owned();
    let _ = wishes.send(Wish::GiveUp(Reason::Killed, why));
    let _ = ending.send(Ending::Orphaned);
}

/// Kills a guardian that has said nothing for too long, stopped by somebody: the control pipe then ends, as if it had
/// died by itself. Counted in this process's own pauses, so that a machine that was paused is not held against it.
fn end_a_silent_guardian(guardian: i32, silence: &AtomicU32) {
    while silence.fetch_add(1, Relaxed) < SILENT_PAUSES {
        thread::sleep(PAUSE);
    }
    // A dead one's id may be somebody else's by now; a parent's is not.
    if let Some(parent) = getppid().filter(|parent| parent.as_raw_nonzero().get() == guardian) {
        let _ = kill_process(parent, Signal::KILL);
    }
}

fn events_to(audience: SharedAudience) -> Events {
    Events::new(move |event| match &mut *lock(&audience) {
        Audience::Own(announcer) => announcer.take(event),
        Audience::Guardian(progress) => {
            progress.take(&event);
            let mut line = serde_json::to_vec(&event).unwrap_or_default();
            line.push(b'\n');
            // A closed pipe is noticed on the control pipe, too.
            let _ = io::stdout().lock().write_all(&line);
        }
    })
}

/// A panic anywhere ends the worker: the guardian says so, and why.
fn fail_on_panic(events: Events, audience: SharedAudience) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = in_one_line(&panic.to_string(), &events.masker);
        eprintln!("{text}");
        if let Ok(mut audience) = audience.try_lock()
            && let Audience::Own(announcer) = &mut *audience
        {
            announcer.announce(Outcome::failed(None, Reason::Internal, text));
            announcer.power_off_if_due();
        }
        std::process::exit(ExitCode::Internal as i32);
    }));
}

/// Masked before anything else is done to it.
fn in_one_line(panic: &str, masker: &Masker) -> String {
    masker.mask(panic).replace('\n', " ")
}

/// They reach the guardian as well, and it decides; registered handlers that do nothing are the polite way to ignore.
fn leave_signals_to_the_guardian() {
    for signal in [SIGHUP, SIGINT, SIGTERM, SIGUSR1] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// A panic while it was held says nothing against what is in it.
fn lock(audience: &SharedAudience) -> MutexGuard<'_, Audience> {
    audience
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_masked_and_one_line() {
        let masker = Masker::default();
        masker.add(["two\nlines-of-secret".to_owned()]);
        let words = in_one_line(
            "panicked at x.rs:1:\ncannot parse two\nlines-of-secret",
            &masker,
        );
        assert_eq!(words, "panicked at x.rs:1: cannot parse ***");
    }
}
