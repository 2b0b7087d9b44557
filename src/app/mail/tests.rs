use super::*;
use crate::app::{config::Draft, machine::Machine};

#[test]
fn mail_is_sent_or_kept_for_a_demo_or_left_in_the_outbox() {
    let outgoing = |pairs: &[(&str, &str)], dev| {
        let mut draft = Draft::default();
        draft.read_variables(pairs.iter().map(|(name, value)| (name.into(), value.into())));
        let config = draft.for_server(dev, Machine::for_command()).unwrap();
        let Outgoing { post, kept } = Outgoing::new(config.mail.unwrap(), dev);
        (post.is_some(), kept.is_some())
    };
    assert_eq!(outgoing(&[], false), (false, false));
    assert_eq!(outgoing(&[], true), (true, true));
    let server = [("CHANCERY_MAIL_SMTP", "smtps://mail.example.org"), ("CHANCERY_MAIL_FROM", "no-reply@example.org")];
    for dev in [false, true] {
        assert_eq!(outgoing(&server, dev), (true, false));
    }
}
