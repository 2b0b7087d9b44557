//! What two users of a file cannot share.

use super::{problems, state};

#[test]
fn two_users_with_one_login_or_subject_are_refused_with_both_lines() {
    let text = "\
[[client]]
client_id = \"worker\"

[[user]]
name = \"ada\"
emails = [\"ada@example.com\", \"ADA@example.com\"]
subject = \"7\"

[[user]]
name = \"Ada\"
subject = \"7\"

[[user]]
name = \"grace\"
emails = [
  \"grace@example.com\",
  \"Ada@EXAMPLE.com\",
]
subject = \"worker\"
";
    let said = problems(text, &state());
    let want = [
        "chancery.toml, line 10: user Ada: name: Ada is a login of user ada already, in line 5",
        "chancery.toml, line 15: user grace: emails: Ada@EXAMPLE.com is a login of user ada already, in line 6",
        "chancery.toml, line 11: user Ada: subject: it is that of user ada already, in line 7",
        "chancery.toml, line 19: user grace: subject: it is that of client worker already, in line 2",
    ];
    assert_eq!(said, want);
}
