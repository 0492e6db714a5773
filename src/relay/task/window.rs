//! How many messages are on their way at a time: fewer where the sink refuses what it is sent.
//!
//! A sink that refuses everything gains nothing from being asked as fast as it answers, and each refusal costs the engine a
//! publication and, in the end, a durable dead letter: cores and disk that orders need. So the window is the part of
//! `in_flight_max` that is taken: a message in a hundred refused costs a hundredth of it, everything refused leaves one
//! message at a time, and a sink that takes messages again has its window back within about a hundred of them.

/// Answers that the part of refused ones is taken over, about.
const ANSWERS: f32 = 32.0;

/// The window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// The part of the last answers that were refusals, 0 to 1.
    refused: f32,
}

impl Window {
    /// A message was answered.
    pub(super) fn answered(&mut self, is_refused: bool) {
        let answer = if is_refused { 1.0 } else { 0.0 };
        self.refused += (answer - self.refused) / ANSWERS;
    }

    /// Messages that may be on their way, 1 to `in_flight_max`.
    pub(super) fn len(self, in_flight_max: u32) -> usize {
        let taken = f64::from(1.0 - self.refused);
        // Rounded: what has decayed to next to nothing counts as nothing.
        ((f64::from(in_flight_max) * taken).round() as usize).clamp(1, in_flight_max.max(1) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(window: &mut Window, answers: impl IntoIterator<Item = bool>) -> usize {
        answers.into_iter().for_each(|is_refused| window.answered(is_refused));
        window.len(256)
    }

    #[test]
    fn a_sink_that_refuses_everything_is_sent_one_message_at_a_time() {
        let mut window = Window::default();
        assert_eq!(after(&mut window, []), 256);
        assert_eq!(after(&mut window, [false; 1_000]), 256);
        assert!(after(&mut window, [true; 32]) < 100);
        assert_eq!(after(&mut window, [true; 256]), 1);
        assert_eq!(after(&mut window, [true; 100_000]), 1);
        assert_eq!((window.len(1), Window::default().len(1)), (1, 1));
    }

    #[test]
    fn a_sink_that_takes_messages_again_soon_has_its_window_back() {
        let mut window = Window::default();
        after(&mut window, [true; 100_000]);
        assert!(after(&mut window, [false; 32]) > 128);
        assert!(after(&mut window, [false; 96]) > 250);
        assert_eq!(after(&mut window, [false; 256]), 256);
    }

    #[test]
    fn a_message_that_is_refused_now_and_then_narrows_it_by_as_much() {
        let mut window = Window::default();
        let every = |nth: usize| (0..3_200).map(move |answer| answer % nth == 0);
        assert!(after(&mut window, every(100)) > 245);
        let half = after(&mut window, every(2));
        assert!((120..=136).contains(&half), "{half}");
    }
}
