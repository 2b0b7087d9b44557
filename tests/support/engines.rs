//! One test per engine of each case.

/// Expands each case, an `async fn case(fixture: &Fixture)`, into a test `sqlite::case` and a test `postgres::case`.
/// Cases of one file are named alone, those of other modules as `module::case`:
///
/// ```ignore
/// on_each_engine! {
///     #[tokio::test]
///     App => { first_case, second_case }
/// }
/// ```
///
/// The fixture has the functions `sqlite`, `postgres` and `finish`. Each test builds its own engine's database only.
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
