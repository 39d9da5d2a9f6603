//! The worker: runs the pipeline, sends its events to the guardian, and takes the guardian's place if that dies.

use std::io::{self, BufRead, Write};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::event::{Event, Events, Outcome};
use crate::failure::{ExitCode, Reason};
use crate::guardian::{Control, Run};
use crate::host::Host;
use crate::host::oom;
use crate::host::power::ThisMachine;
use crate::pipeline::{self, Wish};
use crate::verdict::{Announcer, Lock, Outlets, Progress};

/// Not for people: only the guardian says it.
pub const WORKER_VERB: &str = "guarded-worker";

/// Who hears the events.
enum Audience {
    /// With what it has been told, should it die.
    Guardian(Box<Progress>),
    /// The guardian is dead; the lock is what it held.
    Own(
        Box<Announcer>,
        #[expect(dead_code, reason = "held, not looked at")] Option<Lock>,
    ),
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
    let (heard, outlets) = (audience.clone(), run.outlets.clone());
    thread::spawn(move || obey(&heard, &outlets, &wishes, &ending));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("no runtime without epoll");
    let outcome = runtime.block_on(async {
        let host = Host::of_this_guest(run.request.docker_host.as_deref());
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

/// Does what the guardian would have done.
fn announce(audience: &SharedAudience, outcome: Outcome) -> ExitCode {
    match &mut *lock(audience) {
        Audience::Own(announcer, _) => {
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
    outlets: &Outlets,
    wishes: &UnboundedSender<Wish>,
    ending: &std_mpsc::Sender<Ending>,
) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let wish = match serde_json::from_str(&line) {
            Ok(Control::Interrupt(why)) => Wish::GiveUp(Reason::Interrupted, why),
            Ok(Control::Diagnose) => Wish::Diagnose,
            Ok(Control::Announced) => {
                let _ = ending.send(Ending::Announced);
                return;
            }
            Err(_) => continue,
        };
        let _ = wishes.send(wish);
    }
    let mut heard = lock(audience);
    if let Audience::Guardian(progress) = &mut *heard {
        let progress = std::mem::take(&mut **progress);
        let announcer = Announcer::continuing(outlets.clone(), progress, Arc::new(ThisMachine));
        *heard = Audience::Own(Box::new(announcer), Lock::take(&outlets.state).ok());
    }
    drop(heard);
    let why = "the guardian process was killed".to_owned();
    let _ = wishes.send(Wish::GiveUp(Reason::Killed, why));
    let _ = ending.send(Ending::Orphaned);
}

fn events_to(audience: SharedAudience) -> Events {
    Events::new(move |event| match &mut *lock(&audience) {
        Audience::Own(announcer, _) => announcer.take(event),
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
        let text = panic.to_string().replace('\n', " ");
        let text = events.masker.mask(&text);
        eprintln!("{text}");
        if let Ok(mut audience) = audience.try_lock()
            && let Audience::Own(announcer, _) = &mut *audience
        {
            announcer.announce(Outcome::failed(None, Reason::Internal, text));
            announcer.power_off_if_due();
        }
        std::process::exit(ExitCode::Internal as i32);
    }));
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
