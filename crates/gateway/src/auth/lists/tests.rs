use super::*;
use crate::auth::Verb;

fn defaults() -> GrantTemplates {
    GrantTemplates {
        subscribe: ChannelList::parse(["public.*", "user.${user}.*"]).unwrap(),
        publish: ChannelList::none(),
    }
}

fn verify(tokens: &Tokens, token: &str) -> Result<Identity, Denied> {
    tokens.verify(&Secret::new(token), &defaults())
}

#[test]
fn a_token_stands_for_its_user() {
    let tokens = Tokens::parse("abc123=ann, def==bob ,anonymous").unwrap();
    let ann = verify(&tokens, "abc123").unwrap();
    assert_eq!((ann.user.as_deref(), ann.expires), (Some("ann"), None));
    assert!(ann.grants.allows(Verb::Subscribe, "user.ann.x") && !ann.grants.allows(Verb::Subscribe, "user.bob.x"));
    assert_eq!(verify(&tokens, "def=").unwrap().user.as_deref(), Some("bob"));
    assert_eq!(verify(&tokens, "anonymous").unwrap().user, None);
    for wrong in ["", "abc12", "abc1234", "ABC123", "abc123=ann", "*", "ann"] {
        assert_eq!(verify(&tokens, wrong), Err(Denied::Unknown), "{wrong}");
    }
}

#[test]
fn a_file_tells_users_and_grants() {
    let text = "\u{feff}# comment\r\n\r\nabc ann subscribe=a.*,mine.${user} publish=c\n  def subscribe=d\nghi bob\njkl x publish=\n";
    let tokens = Tokens::parse_file(text).unwrap();
    let ann = verify(&tokens, "abc").unwrap().grants;
    assert!(ann.allows(Verb::Subscribe, "mine.ann") && ann.allows(Verb::Subscribe, "a.b"));
    assert!(ann.allows(Verb::Publish, "c") && !ann.allows(Verb::Publish, "a.b"));
    let nobody = verify(&tokens, "def").unwrap();
    assert_eq!((nobody.user.as_deref(), nobody.grants.publish.as_deref()), (None, Some(&[][..])));
    assert!(verify(&tokens, "ghi").unwrap().grants.allows(Verb::Subscribe, "public.x"));
    assert_eq!(*verify(&tokens, "jkl").unwrap().grants, crate::auth::Grants::nothing());
}

#[test]
fn a_password_is_its_users_only() {
    let users = Users::parse("ann:a:b=,bob:sesame").unwrap();
    let verify = |user, password| users.verify(user, &Secret::new(password), &defaults());
    assert_eq!(verify("ann", "a:b=").unwrap().user.as_deref(), Some("ann"));
    assert_eq!(verify("bob", "sesame").unwrap().user.as_deref(), Some("bob"));
    for (user, password) in [("ann", "sesame"), ("eve", "sesame"), ("bob", ""), ("", "sesame"), ("ann", "a")] {
        assert_eq!(verify(user, password), Err(Denied::Unknown), "{user}");
    }
    assert_eq!(verify("ann:a", "b="), Err(Denied::Malformed));
    let users = Users::parse_file("# users\nann:x subscribe=a\n").unwrap();
    let ann = users.verify("ann", &Secret::new("x"), &defaults()).unwrap();
    assert!(ann.grants.allows(Verb::Subscribe, "a") && !ann.grants.allows(Verb::Subscribe, "public.x"));
}

#[test]
fn an_entry_that_is_none_is_told_by_its_place_and_without_its_secret() {
    let errors = [
        Tokens::parse("hunter2,").unwrap_err(),
        Tokens::parse("a,hunter2=").unwrap_err(),
        Tokens::parse("a,*").unwrap_err(),
        Tokens::parse("hunter2=ann,hunter2=bob").unwrap_err(),
        Tokens::parse_file("a\nhunter2 ann admin").unwrap_err(),
        Tokens::parse_file("a\nhunter2 subscribe=a subscribe=b").unwrap_err(),
        Tokens::parse_file("a\nhunter2 ann subscribe=a*b").unwrap_err(),
        Users::parse("a:b,hunter2").unwrap_err(),
        Users::parse_file("ann:x\nann:hunter2").unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.starts_with("entry 2: ") || text.starts_with("line 2: "), "{text}");
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[test]
fn a_list_is_bounded() {
    let lines: String = (0..=MAX_LIST_ENTRIES).map(|number| format!("t{number}\n")).collect();
    let error = Tokens::parse_file(&lines).unwrap_err();
    assert_eq!(error.to_string(), format!("line {}: there are more than 10000 entries", MAX_LIST_ENTRIES + 1));
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let (tokens, users) = (Tokens::parse("hunter2=ann").unwrap(), Users::parse("bob:hunter2").unwrap());
    let shown = format!("{tokens:?} {users:?}");
    assert!(shown.contains("ann") && shown.contains("bob") && !shown.contains("hunter"), "{shown}");
}
