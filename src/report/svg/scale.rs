//! Seconds become places on the picture.

/// Not more ticks than this on the axis.
const MOST_TICKS: f64 = 12.0;
/// In seconds; each is read at a glance.
const STEPS: [f64; 24] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0,
];

pub struct Scale {
    end: f64,
    left: f64,
    width: f64,
}

impl Scale {
    /// From 0 to `end` seconds, between two places.
    pub fn new(end: f64, left: f64, right: f64) -> Self {
        Scale {
            end: if end.is_finite() { end.max(0.001) } else { 1.0 },
            left,
            width: right - left,
        }
    }

    pub fn length(&self, seconds: f64) -> f64 {
        (seconds / self.end * self.width).clamp(0.0, self.width)
    }

    pub fn x(&self, seconds: f64) -> f64 {
        self.left + self.length(seconds)
    }

    pub fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let enough = |step: &&f64| self.end / **step <= MOST_TICKS;
        let widest = self.end / MOST_TICKS;
        let step = *STEPS.iter().find(enough).unwrap_or(&widest);
        let count = (self.end / step) as usize;
        (0..=count).map(move |number| (number as f64 * step, label(number as f64 * step)))
    }
}

/// `0`, `50ms`, `1.5s`, `30s`, `1m30`, `2h`.
fn label(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        0.0 => "0".to_owned(),
        s if s < 0.9995 => format!("{:.0}ms", s * 1000.0),
        s if s < 60.0 => format!("{}s", (s * 10.0).round() / 10.0),
        _ if whole < 3600 && whole.is_multiple_of(60) => format!("{}m", whole / 60),
        _ if whole < 3600 => format!("{}m{:02}", whole / 60, whole % 60),
        _ if whole.is_multiple_of(3600) => format!("{}h", whole / 3600),
        _ => format!("{}h{:02}", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(end: f64) -> Vec<String> {
        let scale = Scale::new(end, 0.0, 1000.0);
        let ticks = scale.ticks();
        ticks.map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(labels(0.1)[..3], ["0", "10ms", "20ms"]);
        assert_eq!(labels(4.0)[..3], ["0", "500ms", "1s"]);
        assert_eq!(labels(300.0)[..4], ["0", "30s", "1m", "1m30"]);
        assert_eq!(labels(7000.0)[..3], ["0", "10m", "20m"]);
        assert_eq!(labels(1e6).len(), 13);
        for end in [0.0, 0.004, 1.0, 77.0, 1234.0, 9e5] {
            let count = labels(end).len();
            assert!((1..=13).contains(&count), "{count} for {end}");
        }
    }
}
