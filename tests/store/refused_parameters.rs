//! What is said of a connection that PostgreSQL refuses for what follows the `?` of the URL.

use chancery::store::{Location, Store};

use crate::{database::with_postgres, fixture::Fixture};

#[tokio::test]
async fn what_follows_the_question_mark_is_not_quoted_when_postgresql_refuses_it() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    let Location::Postgres(url) = &f.database.location else { panic!() };
    for parameters in ["options=-c%20canary%3D1", "user=canary", "dbname=canary"] {
        let location = Location::parse(&format!("{}?{parameters}", url.expose())).unwrap();
        let error = Store::open(&location, false, f.entropy.clone()).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("SQLSTATE") && cause.contains("follows"), "{cause}");
        assert!(!cause.contains("canary"), "{cause}");
    }
    f.finish().await;
}
