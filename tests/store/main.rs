//! The contract of the store: every method, on both engines.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

mod audit;
mod clients;
mod complete;
mod creations;
#[path = "../support/database.rs"]
mod database;
mod engine;
mod faults;
mod feed;
mod fixture;
mod foreign_keys;
mod import;
mod instance;
mod keys;
mod login_failures;
mod mails;
mod refresh;
mod roles;
mod sessions;
mod status_lists;
mod tickets;
mod users;

/// Makes of each case a test on SQLite and one on PostgreSQL.
macro_rules! contract {
    ($($module:ident::$case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = crate::fixture::Fixture::sqlite().await;
                crate::$module::$case(&fixture).await;
                fixture.finish().await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if !crate::database::with_postgres() {
                    return;
                }
                let fixture = crate::fixture::Fixture::postgres().await;
                crate::$module::$case(&fixture).await;
                fixture.finish().await;
            })*
        }
    };
}

contract! {
    audit::events_are_kept_in_order,
    audit::events_are_read_by_page_and_by_what_they_say,
    clients::a_client_is_kept_as_it_was_given,
    clients::a_clients_id_is_no_other_clients_and_no_subject,
    clients::a_client_is_disabled_and_enabled_once,
    clients::an_audience_has_one_owner_and_keeps_it_when_renamed,
    clients::a_changed_client_is_changed_again_only_by_who_knows_it,
    clients::a_replaced_secret_counts_until_its_time_is_over,
    clients::a_client_is_deleted_when_nothing_of_it_can_count_and_its_id_stays_taken,
    creations::of_many_calls_of_one_name_one_creates,
    engine::a_dropped_transaction_keeps_nothing_and_takes_no_number,
    engine::a_reading_transaction_refuses_changes,
    engine::a_reading_transaction_sees_one_moment,
    engine::references_are_enforced,
    engine::texts_and_instants_come_back_as_they_went,
    engine::statements_are_counted,
    faults::an_outage_is_unavailable_and_ends,
    feed::commit_order_is_number_order_without_gaps,
    feed::entries_are_read_from_a_number_and_while_they_live,
    feed::of_many_who_begin_a_new_epoch_one_does,
    feed::the_database_tells_the_time_where_machines_share_it,
    feed::who_listens_is_woken_by_another_process_where_the_engine_can,
    foreign_keys::a_foreign_key_is_kept_as_it_was_given_and_may_end_at_another_time,
    foreign_keys::a_foreign_key_goes_once_and_not_before_its_end,
    import::a_batch_of_users_is_kept_as_it_was_given,
    import::of_a_batch_all_users_come_or_none,
    import::names_that_are_taken_are_told,
    import::of_many_who_import_the_same_users_one_does,
    instance::of_many_claims_one_wins,
    instance::settings_and_issuer_are_replaced,
    instance::of_many_changes_of_settings_none_is_lost,
    keys::a_key_is_kept_as_it_was_given,
    keys::each_algorithm_has_one_active_and_one_next_key,
    keys::every_step_of_a_key_happens_once,
    keys::of_many_who_retire_a_key_one_does,
    login_failures::each_failure_counts_as_the_rule_says,
    login_failures::of_many_failures_at_once_none_is_lost,
    login_failures::what_is_cleared_or_has_expired_counts_from_the_beginning,
    login_failures::a_clock_that_was_set_back_wraps_nothing,
    login_failures::what_has_expired_is_swept_in_steps,
    mails::a_mail_is_kept_as_it_was_given_if_its_transaction_commits,
    mails::who_waits_is_woken_by_a_commit_and_by_nothing_less,
    mails::of_many_who_claim_each_mail_is_taken_by_one,
    mails::those_that_have_waited_longest_are_taken_first,
    mails::a_claim_that_is_over_has_no_say,
    mails::a_failed_mail_waits_for_its_time,
    mails::expired_mails_are_not_taken_and_dropped_unless_somebody_sends_them,
    mails::a_row_that_cannot_be_read_holds_no_other_up,
    refresh::the_current_token_rotates_and_leaves_the_rest_alone,
    refresh::a_batch_answers_in_its_order,
    refresh::twice_in_one_batch_rotates_once_and_replays_once,
    refresh::many_at_once_have_one_winner,
    refresh::a_row_set_back_is_fast_forwarded,
    refresh::what_does_not_match_changes_nothing,
    refresh::reuse_ends_the_session_in_the_same_transaction,
    refresh::a_slow_commit_is_stamped_again_only_where_the_session_has_not_moved,
    roles::a_role_is_kept_as_it_was_given_beside_the_built_in_ones,
    roles::of_two_changes_of_one_revision_one_wins,
    roles::roles_are_given_once_and_taken_once_and_a_held_one_stays,
    roles::nobody_has_more_roles_than_a_session_may_carry,
    sessions::claims_are_replaced_where_they_belong,
    sessions::a_session_is_kept_as_it_was_given,
    sessions::the_live_sessions_of_a_user_are_those_that_may_be_refreshed,
    sessions::revoking_is_done_once_with_event_and_entry,
    sessions::of_many_who_revoke_one_does,
    sessions::a_users_sessions_end_but_for_one_and_clients_and_keys_with_event_and_entry,
    sessions::all_sessions_end_at_once,
    sessions::a_walk_finds_the_dead_step_by_step_and_deletes_no_other,
    sessions::no_column_that_a_refresh_writes_is_indexed,
    sessions::the_oldest_sessions_beyond_a_number_are_named,
    status_lists::blocks_follow_each_other_and_a_full_list_is_followed_by_a_new_one,
    status_lists::of_many_who_lease_none_has_what_another_has,
    status_lists::the_sessions_of_clients_are_found_while_they_may_have_tokens,
    tickets::a_ticket_is_kept_and_has_so_many_attempts,
    tickets::of_many_who_use_a_ticket_one_does,
    tickets::tickets_of_a_user_are_counted_and_ended_ones_forgotten,
    users::a_password_may_have_to_change,
    users::a_user_is_found_by_each_login,
    users::subjects_logins_and_lookalikes_are_unique,
    users::pages_are_stable,
    users::a_change_voids_sign_ins_in_flight,
    users::of_many_with_one_name_one_is_created,
    users::a_rehash_is_no_change,
    users::a_user_is_changed_where_it_is_still_as_it_was,
    users::a_deleted_user_leaves_nothing_but_its_subject,
}
