//! What a simulated sensor measures: plausible and different for each, the same in every run.

use std::{f64::consts::TAU, time::Duration};

/// One sensor's view of its room.
#[derive(Debug, Clone)]
pub(super) struct Room {
    random: SplitMix,
    /// Degrees Celsius that the room tends to.
    temperature_mean: f64,
    /// Relative humidity in percent that the room tends to.
    humidity_mean: f64,
    /// Where in its swing the room starts, 0 to 1.
    phase: f64,
    /// Degrees that the noise has drifted away.
    drift: f64,
    /// Percent at the start.
    battery_start: f64,
}

/// What a sensor reports at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// Degrees Celsius.
    pub(super) temperature: f64,
    /// Relative humidity in percent.
    pub(super) humidity: f64,
    /// State of charge in percent.
    pub(super) battery: f64,
}

/// The temperature goes up and down once in this time: short, so that a graph shows it soon.
const SWING: Duration = Duration::from_mins(10);
/// Degrees Celsius between the mean and the extreme.
const TEMPERATURE_SWING: f64 = 2.5;
/// Percent of charge that a sensor loses in an hour.
const BATTERY_LOSS_PER_HOUR: f64 = 0.4;

impl Room {
    /// The room of the sensor with this number.
    pub(super) fn new(number: u32) -> Self {
        let mut random = SplitMix(u64::from(number));
        Self {
            temperature_mean: 18.0 + 6.0 * random.unit(),
            humidity_mean: 40.0 + 20.0 * random.unit(),
            phase: random.unit(),
            drift: 0.0,
            battery_start: 70.0 + 30.0 * random.unit(),
            random,
        }
    }

    /// What the sensor measures this long after it was switched on.
    pub(super) fn measure(&mut self, elapsed: Duration) -> Reading {
        // A walk that is pulled back to zero, so that it stays within a degree or so.
        self.drift = 0.95 * self.drift + 0.1 * (self.random.unit() - 0.5);
        let swing = (TAU * (elapsed.as_secs_f64() / SWING.as_secs_f64() + self.phase)).sin();
        let temperature = self.temperature_mean + TEMPERATURE_SWING * swing + self.drift;
        // Warm air holds more water: relative humidity goes the other way.
        let humidity = self.humidity_mean - 4.0 * swing - 2.0 * self.drift;
        let battery = self.battery_start - BATTERY_LOSS_PER_HOUR * elapsed.as_secs_f64() / 3600.0;
        Reading {
            temperature: round(temperature, 100.0),
            humidity: round(humidity.clamp(0.0, 100.0), 10.0),
            battery: round(battery.max(0.0), 10.0),
        }
    }
}

/// The nearest multiple of `1 / parts`.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Sebastiano Vigna's SplitMix64: small, and good enough for noise.
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    /// A number from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        f64::from(u32::try_from(bits >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_stay_plausible_and_differ() {
        let mut firsts = Vec::new();
        for number in 1..=20 {
            let mut room = Room::new(number);
            for second in (0..86_400).step_by(7) {
                let Reading { temperature, humidity, battery } = room.measure(Duration::from_secs(second));
                assert!((10.0..=32.0).contains(&temperature), "{temperature}");
                assert!((20.0..=80.0).contains(&humidity), "{humidity}");
                assert!((50.0..=100.0).contains(&battery), "{battery}");
            }
            firsts.push(Room::new(number).measure(Duration::ZERO).temperature.to_bits());
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 15, "sensors must not look the same: {firsts:?}");
    }

    #[test]
    fn a_reading_is_short_in_decimal() {
        let reading = Room::new(3).measure(Duration::from_secs(1));
        for value in [reading.temperature, reading.humidity, reading.battery] {
            assert!(value.to_string().len() <= 6, "{value}");
        }
    }
}
