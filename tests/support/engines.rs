//! Runs each test case on each engine.

/// Expands each case, an `async fn case(fixture: &Fixture)`, into a test `sqlite::case` and a test `postgres::case`.
/// Cases of the same file are listed by name, those of other modules as `module::case`:
///
/// ```ignore
/// on_each_engine! {
///     #[tokio::test]
///     App => { first_case, second_case }
/// }
/// ```
///
/// The fixture has the functions `sqlite`, `postgres` and `finish`. Each test creates only its own engine's database.
macro_rules! on_each_engine {
    ($(#[$test:meta] $fixture:ident => { $($case:ident),+ $(,)? })+) => {
        on_each_engine! { @ $(#[$test] $fixture => { $([super] $case),+ })+ }
    };
    ($(#[$test:meta] $fixture:ident => { $($module:ident::$case:ident),+ $(,)? })+) => {
        on_each_engine! { @ $(#[$test] $fixture => { $([super::$module] $case),+ })+ }
    };
    (@ $(#[$test:meta] $fixture:ident => { $([$($module:tt)+] $case:ident),+ })+) => {
        mod sqlite {
            $($(#[$test]
            async fn $case() {
                let fixture = super::$fixture::sqlite().await;
                $($module)+::$case(&fixture).await;
                fixture.finish().await;
            })+)+
        }

        mod postgres {
            $($(#[$test]
            async fn $case() {
                if !crate::database::with_postgres() {
                    return;
                }
                let fixture = super::$fixture::postgres().await;
                $($module)+::$case(&fixture).await;
                fixture.finish().await;
            })+)+
        }
    };
}
