//! The host's side: a growing serial log becomes progress lines and, in the end, one outcome.
//!
//! Plain blocking code. It looks ten times a second instead of asking for file events: the guest's disk image often
//! lies beside the log, and its writes would wake the watcher thousands of times a second. The end of the VM is an
//! event (a pidfd), so it is seen at once and never confused with a later process of the same number.
//!
//! A log left over from an earlier VM may hold an earlier marker. With `--pid` it is not believed until it has changed
//! since that VM started; without, remove it before starting the VM.

mod channel;
mod follow;
mod lines;
mod markers;
mod out;
mod printed;
mod vm;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use channel::{Channel, News};
use follow::{Change, Follow};
use lines::Lines;
pub use markers::Marker;
use markers::Markers;
use out::Out;
use printed::{Printed, Source};
use vm::Vm;

/// Between two looks at the files.
const TICK: Duration = Duration::from_millis(100);
/// After a marker, for what the port still has to bring.
const CHANNEL_LIMIT: Duration = Duration::from_secs(5);
/// Lines of the serial log shown when the guest never said how it ended.
const TAIL: usize = 30;

#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The file QEMU writes the serial line to (`-serial file:…`). It may not exist yet.
    pub serial: PathBuf,
    /// The VM's process.
    pub pid: Option<i32>,
    /// The provision log in a folder shared with the guest. Its lines are shown; only the serial log's markers count.
    pub log: Option<PathBuf>,
    /// What QEMU makes of the guest's port: a file or a socket. Its lines are shown; its markers do not count either.
    pub channel: Option<PathBuf>,
    /// Where the provision log, the report and its time line are left.
    pub out: Option<PathBuf>,
    pub timeout: Option<Duration>,
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// `STACK_CLOUD_INIT_DONE`.
    Done,
    /// `STACK_CLOUD_INIT_FAILED`.
    Failed,
    /// `STACK_SERVICES_READY`: the guest stays on, to be captured.
    Ready,
    /// The VM ended without a marker.
    Gone,
    TimedOut,
}

impl WatchEnd {
    pub fn exit_code(self) -> u8 {
        match self {
            WatchEnd::Done | WatchEnd::Ready => 0,
            WatchEnd::Failed => 1,
            WatchEnd::Gone => 2,
            WatchEnd::TimedOut => 3,
        }
    }
}

impl From<Marker> for WatchEnd {
    fn from(marker: Marker) -> WatchEnd {
        match marker {
            Marker::Done => WatchEnd::Done,
            Marker::Failed => WatchEnd::Failed,
            Marker::Ready => WatchEnd::Ready,
        }
    }
}

/// Prints what the guest reports until a marker, the end of the VM or the limit, then one line that says which.
/// Without a process only a marker or the limit ends it.
///
/// That `out` takes no more (a closed pipe) is no error, nor that the host has no room for what is to be left on it: the
/// outcome still counts.
///
/// # Errors
/// A number that is no process, or a log that is no plain file or cannot be read.
pub fn run(options: &WatchOptions, out: &mut dyn Write) -> io::Result<WatchEnd> {
    let started = Instant::now();
    let vm = options.pid.map(Vm::open).transpose()?;
    let mut watch = Watch::new(options, vm.as_ref(), out)?;
    loop {
        // Asked before reading, so that what is read afterwards is all there will ever be.
        let gone = vm.as_ref().is_some_and(Vm::has_ended);
        let left = options
            .timeout
            .map(|timeout| timeout.saturating_sub(started.elapsed()));
        let late = left == Some(Duration::ZERO);
        let marker = watch.read(gone || late)?;
        let end = match marker {
            Some(marker) => WatchEnd::from(marker),
            None if gone => WatchEnd::Gone,
            None if late => WatchEnd::TimedOut,
            None => {
                let pause = left.map_or(TICK, |left| left.min(TICK));
                match &vm {
                    Some(vm) => vm.wait_for_end(pause)?,
                    None => std::thread::sleep(pause),
                }
                continue;
            }
        };
        let took = started.elapsed();
        watch.read_rest(vm.as_ref())?;
        watch.conclude(end, options, took);
        return Ok(end);
    }
}

struct Watch<'a> {
    serial: Follow,
    log: Option<Follow>,
    channel: Option<Channel>,
    kept: Option<Out>,
    serial_lines: Lines,
    log_lines: Lines,
    markers: Markers,
    printed: Printed,
    tail: VecDeque<String>,
    out: &'a mut dyn Write,
}

impl<'a> Watch<'a> {
    fn new(
        options: &WatchOptions,
        vm: Option<&Vm>,
        out: &'a mut dyn Write,
    ) -> io::Result<Watch<'a>> {
        let not_before = vm.and_then(|vm| vm.started);
        let channel = options.channel.as_deref();
        Ok(Watch {
            serial: Follow::new(&options.serial, not_before),
            log: options
                .log
                .as_deref()
                .map(|log| Follow::new(log, not_before)),
            channel: channel.map(|path| Channel::new(path, not_before)),
            kept: options.out.as_deref().map(Out::in_folder).transpose()?,
            serial_lines: Lines::default(),
            log_lines: Lines::default(),
            markers: Markers::default(),
            printed: Printed::default(),
            tail: VecDeque::new(),
            out,
        })
    }

    /// Reads and prints what is new. With `all`, a last line without an end counts as well.
    fn read(&mut self, all: bool) -> io::Result<Option<Marker>> {
        let mut marker = None;
        loop {
            match self.serial.next()? {
                Change::None => break,
                Change::Restarted => {
                    self.markers = Markers::default();
                    self.serial_lines = Lines::default();
                    self.tail.clear();
                    self.printed = Printed::default();
                }
                Change::Bytes(bytes) => {
                    marker = marker.or(self.markers.feed(&bytes));
                    for line in self.serial_lines.feed(&bytes) {
                        self.serial_line(line);
                    }
                }
            }
        }
        let last = all || marker.is_some();
        if last {
            marker = marker.or(self.markers.finish());
            if let Some(line) = self.serial_lines.finish() {
                self.serial_line(line);
            }
        }
        self.read_log(last)?;
        self.read_channel()?;
        let _ = self.out.flush();
        Ok(marker)
    }

    fn serial_line(&mut self, line: String) {
        if let Some(report) = lines::report(&line) {
            self.print(Source::Serial, report);
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn read_log(&mut self, all: bool) -> io::Result<()> {
        loop {
            let change = match &mut self.log {
                Some(log) => log.next()?,
                None => return Ok(()),
            };
            match change {
                Change::None => break,
                Change::Restarted => {
                    self.log_lines = Lines::default();
                    self.printed = Printed::default();
                }
                Change::Bytes(bytes) => {
                    for line in self.log_lines.feed(&bytes) {
                        self.print(Source::Log, &line);
                    }
                }
            }
        }
        if all && let Some(line) = self.log_lines.finish() {
            self.print(Source::Log, &line);
        }
        Ok(())
    }

    fn read_channel(&mut self) -> io::Result<()> {
        let Some(channel) = &mut self.channel else {
            return Ok(());
        };
        for news in channel.next()? {
            match (news, &mut self.kept) {
                (News::Line(line), _) => self.print(Source::Channel, &line),
                (News::Report(json), Some(kept)) => kept.report(json),
                (News::Report(_), None) => {}
            }
        }
        Ok(())
    }

    /// The marker comes first: the port may have more to bring, as long as the VM runs.
    fn read_rest(&mut self, vm: Option<&Vm>) -> io::Result<()> {
        let end = Instant::now() + CHANNEL_LIMIT;
        while self.channel.as_ref().is_some_and(Channel::is_open) && Instant::now() < end {
            let gone = vm.is_some_and(Vm::has_ended);
            self.read_channel()?;
            if gone {
                break;
            }
            match vm {
                Some(vm) => vm.wait_for_end(TICK)?,
                None => std::thread::sleep(TICK),
            }
        }
        Ok(())
    }

    fn print(&mut self, source: Source, line: &str) {
        if self.printed.is_new(source, line) {
            let _ = writeln!(self.out, "{line}");
            if let Some(kept) = &mut self.kept {
                kept.line(line);
            }
        }
    }

    fn conclude(&mut self, end: WatchEnd, options: &WatchOptions, elapsed: Duration) {
        if matches!(end, WatchEnd::Gone | WatchEnd::TimedOut) {
            self.print_tail(options);
        }
        if let Some(kept) = &mut self.kept {
            for line in kept.finish(options.log.as_deref()) {
                let _ = writeln!(self.out, "watch: {line}");
            }
        }
        let seconds = elapsed.as_secs_f64();
        let _ = match end {
            WatchEnd::Done => writeln!(self.out, "watch: guest reported DONE after {seconds:.1}s"),
            WatchEnd::Failed => {
                writeln!(self.out, "watch: guest reported FAILED after {seconds:.1}s")
            }
            WatchEnd::Ready => {
                writeln!(self.out, "watch: guest reported READY after {seconds:.1}s")
            }
            WatchEnd::Gone => {
                let pid = options.pid.unwrap_or_default();
                writeln!(
                    self.out,
                    "watch: the VM (pid {pid}) ended without a marker after {seconds:.1}s"
                )
            }
            WatchEnd::TimedOut => {
                let limit = humantime::format_duration(options.timeout.unwrap_or(elapsed));
                writeln!(self.out, "watch: no marker within {limit}")
            }
        };
        let _ = self.out.flush();
    }

    /// What the guest printed last: a kernel's panic, a boot loader's complaint.
    fn print_tail(&mut self, options: &WatchOptions) {
        let serial = options.serial.display();
        let _ = match self.tail.len() {
            0 => writeln!(self.out, "watch: {serial} holds nothing of this VM"),
            count => writeln!(self.out, "watch: the last {count} lines of {serial}:"),
        };
        for line in &self.tail {
            let _ = writeln!(self.out, "  {line}");
        }
    }
}
