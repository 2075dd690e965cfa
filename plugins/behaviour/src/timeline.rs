//! Which event belongs to which interaction, and when interactions went on.

use assay_plugin::{Event, Interaction, Session};

/// Where an event belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To the interaction at this index.
    Interaction(usize),
    /// To the session: nothing had been answered yet.
    Session,
    /// It names an interaction that the session does not have.
    Elsewhere,
}

/// When each interaction of a session began and when its answer showed.
#[derive(Debug)]
pub struct Timeline {
    begun_at_us: Vec<i64>,
    shown_at_us: Vec<i64>,
}

impl Timeline {
    /// An interaction whose start is unknown counts as begun with the one
    /// before it.
    pub fn new(interactions: &[Interaction]) -> Self {
        let mut begun = i64::MIN;
        let (mut begun_at_us, mut shown_at_us) = (Vec::new(), Vec::new());
        for interaction in interactions {
            let timing = &interaction.timing;
            begun = timing.started_at_us.unwrap_or(begun);
            begun_at_us.push(begun);
            let until_shown = timing.first_token_us.or(timing.total_us).unwrap_or(0);
            shown_at_us.push(begun.saturating_add_unsigned(until_shown));
        }
        Self { begun_at_us, shown_at_us }
    }

    /// Where an event belongs: to the interaction that it names, else to the
    /// latest whose answer had shown. A user who gives up or leaves does so on
    /// the latest that had begun: waiting counts.
    pub fn place(&self, event: &Event, session: &Session) -> Place {
        if let Some(id) = &event.interaction_id {
            let named = session.interactions.iter().position(|interaction| interaction.id == *id);
            return named.map_or(Place::Elsewhere, Place::Interaction);
        }
        let instants = match event.kind.as_str() {
            "abandoned" | "left" => &self.begun_at_us,
            _ => &self.shown_at_us,
        };
        let latest = instants.iter().rposition(|instant| *instant <= event.at_us);
        latest.map_or(Place::Session, Place::Interaction)
    }
}

/// The instant of the whole answer; none where it is not known.
pub fn ended_at_us(interaction: &Interaction) -> Option<i64> {
    let timing = &interaction.timing;
    timing.started_at_us?.checked_add_unsigned(timing.total_us?)
}

/// Whether nothing was asked after an instant. An interaction whose start is
/// unknown came after those before it in the session.
pub fn nothing_asked_after(at_us: i64, index: usize, session: &Session) -> bool {
    !session.interactions.iter().enumerate().any(|(other, interaction)| {
        interaction.timing.started_at_us.map_or(other > index, |started_at_us| started_at_us > at_us)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        // Asked at 10 and 50, shown at 15 and 60.
        let mut first = Interaction::new("q", "a").with_id("one").at(10, 20);
        first.timing.first_token_us = Some(5);
        Session::new([first, Interaction::new("r", "b").with_id("two").at(50, 10)])
    }

    fn place(event: Event) -> Place {
        let session = session();
        Timeline::new(&session.interactions).place(&event, &session)
    }

    #[test]
    fn an_event_belongs_to_what_it_names_or_to_the_latest_answer_that_showed() {
        assert_eq!(place(Event::new("copied", 70).about("one")), Place::Interaction(0));
        assert_eq!(place(Event::new("copied", 70).about("three")), Place::Elsewhere);
        assert_eq!(place(Event::new("copied", 14)), Place::Session);
        assert_eq!(place(Event::new("copied", 15)), Place::Interaction(0));
        assert_eq!(place(Event::new("copied", 59)), Place::Interaction(0));
        assert_eq!(place(Event::new("copied", 60)), Place::Interaction(1));
    }

    #[test]
    fn who_gives_up_while_waiting_gives_up_on_what_is_awaited() {
        assert_eq!(place(Event::new("abandoned", 9)), Place::Session);
        assert_eq!(place(Event::new("abandoned", 12)), Place::Interaction(0));
        assert_eq!(place(Event::new("left", 55)), Place::Interaction(1));
    }

    #[test]
    fn without_instants_the_order_of_the_session_holds() {
        let session = Session::new(["one", "two"].map(|id| Interaction::new("q", "a").with_id(id)));
        let timeline = Timeline::new(&session.interactions);
        assert_eq!(timeline.place(&Event::new("copied", 5), &session), Place::Interaction(1));
        assert!(!nothing_asked_after(5, 0, &session));
        assert!(nothing_asked_after(5, 1, &session));
    }
}
