//! The contract of the store: every method, on both engines.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

#[macro_use]
#[path = "../support/engines.rs"]
mod engines;

mod audit;
mod backup;
mod children;
mod clients;
mod complete;
mod creations;
#[path = "../support/database.rs"]
mod database;
mod declared;
mod engine;
mod factors;
mod failed_upgrades;
mod faults;
mod feed;
mod few_connections;
mod fixture;
mod foreign_defaults;
mod foreign_keys;
mod guests;
mod import;
mod instance;
mod interrupted;
mod keys;
mod login_failures;
mod login_keys;
mod login_kinds;
mod mails;
#[path = "../support/network.rs"]
mod network;
mod openings;
mod passkeys;
mod pending;
mod pooler;
mod processes;
mod refresh;
mod refused_parameters;
mod roles;
mod sealing_keys;
mod session_data;
mod sessions;
mod sign_in_steps;
#[path = "../support/source.rs"]
mod source;
mod status_lists;
mod tickets;
mod token_sizes;
mod unreadable;
mod upgrades;
mod users;

use fixture::Fixture;

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    Fixture => {
        audit::events_are_stored_in_order,
        audit::events_are_read_by_page_and_filter,
        audit::old_events_are_read_oldest_first_and_deleted_in_batches,
        audit::what_was_deleted_is_remembered,
        backup::after_closing_the_lists_a_lease_begins_a_new_one,
        backup::live_sessions_are_walked_by_id,
        children::sessions_end_with_the_one_that_they_were_opened_from,
        children::a_session_that_is_kept_keeps_the_one_that_it_was_opened_from,
        children::what_is_to_be_told_is_deleted_with_the_session,
        children::no_session_is_opened_from_one_that_ends_meanwhile,
        children::no_refresh_token_is_good_for_a_session_behind_a_cookie,
        children::a_touch_postpones_the_end_of_live_sessions_behind_cookies_and_shortens_none,
        children::a_touch_is_due_once_in_an_interval_and_never_ends_a_session_early,
        clients::a_client_is_stored_unchanged,
        clients::a_client_that_an_older_release_changed_says_since_when_its_lifetimes_are_noted,
        clients::a_client_id_is_unique_among_clients_and_subjects,
        clients::a_client_is_disabled_and_enabled_once,
        clients::an_audience_has_one_owner_and_keeps_it_when_renamed,
        clients::a_client_is_changed_only_at_the_expected_revision,
        clients::a_replaced_secret_is_valid_until_it_expires,
        clients::a_client_is_deleted_once_no_token_of_it_is_valid_and_its_id_stays_taken,
        clients::no_two_clients_have_a_site_at_one_host,
        creations::concurrent_creations_with_one_request_id_create_once,
        declared::what_was_declared_is_noted_once_and_forgotten,
        declared::the_last_secrets_of_a_client_are_remembered,
        declared::a_client_takes_a_secret_that_it_never_had,
        declared::an_audience_passes_from_the_owner_that_it_has,
        engine::a_dropped_transaction_changes_nothing_and_uses_no_number,
        engine::a_read_transaction_refuses_changes,
        engine::a_read_transaction_sees_one_snapshot,
        engine::references_are_enforced,
        engine::texts_and_instants_are_stored_unchanged,
        engine::statements_are_counted,
        engine::an_engine_says_what_it_is_and_how_durable_a_commit_is,
        faults::an_outage_is_reported_as_unavailable_and_recovers,
        faults::a_database_that_stops_answering_is_unavailable_within_the_limit,
        faults::a_database_that_takes_no_changes_is_noticed_and_so_is_its_return,
        faults::connections_that_the_server_has_closed_cost_nobody_a_call,
        faults::reports_leave_the_follower_its_connection,
        faults::a_report_ends_at_its_limit,
        factors::an_app_is_stored_unchanged_and_counted,
        factors::p14_a_step_counts_once_and_no_earlier_one_counts_after_it,
        factors::p16_recovery_codes_count_once_and_are_replaced_together,
        factors::factors_are_removed_one_by_one_together_and_with_their_user,
        factors::p01_a_password_may_have_to_suffice_alone,
        failed_upgrades::a_failed_migration_leaves_the_schema_and_what_was_issued_in_use,
        failed_upgrades::a_failure_after_others_takes_them_back,
        failed_upgrades::a_caller_that_goes_away_half_way_leaves_the_schema_as_it_was,
        feed::numbers_follow_the_order_of_commits_without_gaps,
        feed::entries_are_read_from_a_number_or_while_not_expired,
        feed::concurrent_calls_start_one_new_epoch,
        feed::the_database_has_the_time_if_machines_share_it,
        feed::a_listener_is_woken_by_another_process_if_the_engine_can,
        foreign_keys::a_foreign_key_is_stored_unchanged_and_its_expiry_can_change,
        foreign_keys::a_foreign_key_is_deleted_once_and_not_before_it_expires,
        guests::guests_are_counted_and_listed_by_client,
        guests::a_guest_is_held_live_or_for_the_user_it_has_become,
        guests::a_sign_in_joins_a_guest_once,
        guests::a_joined_value_has_a_version_that_its_owner_never_used,
        guests::an_account_that_is_full_takes_no_more_of_a_guest,
        guests::a_browser_becomes_one_guest_whoever_asks_at_once,
        guests::a_sign_in_joins_the_guest_that_its_browser_has_just_become,
        guests::a_browser_in_which_a_user_signs_in_leaves_no_guest_behind,
        import::a_batch_of_users_is_stored_unchanged,
        import::a_batch_is_imported_completely_or_not_at_all,
        import::taken_names_are_found,
        import::concurrent_imports_of_the_same_users_succeed_once,
        instance::one_of_many_concurrent_claims_wins,
        instance::tables_of_another_program_are_told_where_ours_are_missing,
        instance::settings_and_issuer_are_replaced,
        instance::concurrent_changes_of_settings_are_not_lost,
        interrupted::callers_that_go_away_leave_no_transaction_behind,
        interrupted::a_transaction_is_not_committed_after_a_failed_statement,
        keys::a_key_is_stored_unchanged,
        keys::each_algorithm_has_one_active_and_one_next_key,
        keys::every_step_of_a_key_happens_once,
        keys::concurrent_calls_retire_a_key_once,
        login_keys::addresses_of_every_older_schema_take_only_themselves,
        login_keys::a_name_that_took_an_address_gives_it_back,
        login_keys::addresses_keep_the_order_in_which_they_were_added,
        login_kinds::an_address_that_an_older_process_stored_as_a_name_is_free,
        login_kinds::an_import_takes_an_address_that_an_older_process_stored_as_a_name,
        login_failures::each_failure_counts_as_the_rule_says,
        login_failures::concurrent_failures_are_not_lost,
        login_failures::cleared_and_expired_counts_start_again,
        login_failures::a_clock_that_was_set_back_causes_no_underflow,
        login_failures::expired_counts_are_swept_in_steps,
        login_failures::no_two_attempts_are_allowed_by_the_same_count,
        login_failures::a_locked_count_can_be_replaced,
        mails::a_mail_is_stored_unchanged_if_its_transaction_commits,
        mails::a_waiter_is_woken_by_a_commit_and_nothing_else,
        mails::concurrent_claimants_get_each_mail_once,
        mails::the_oldest_mails_are_claimed_first,
        mails::an_expired_claim_has_no_effect,
        mails::a_failed_mail_is_not_due_before_its_retry,
        mails::expired_mails_are_not_claimed_and_are_deleted_unless_being_sent,
        mails::a_row_that_cannot_be_read_does_not_block_others,
        openings::a_session_behind_a_cookie_is_stored_unchanged,
        openings::a_form_opens_one_session_and_keeps_its_result_for_a_minute,
        openings::concurrent_submissions_of_one_form_open_one_session,
        openings::spent_forms_are_forgotten_in_steps_and_their_results_before_them,
        openings::a_last_step_is_taken_with_the_session_and_spends_no_form_in_vain,
        openings::a_session_that_replaces_another_takes_over_what_was_opened_from_it,
        openings::a_session_that_has_ended_is_not_replaced_and_no_form_is_spent,
        openings::nobody_replaces_another_users_session_or_one_without_a_cookie,
        openings::s01_a_session_with_tokens_is_replaced_once_by_one_of_its_kind,
        openings::sessions_opened_from_one_that_was_replaced_are_of_its_successor,
        openings::a_client_has_five_sessions_from_one_and_its_own_oldest_ends,
        openings::the_number_of_sessions_counts_those_that_were_opened_on_their_own,
        openings::an_opening_costs_three_statements_and_its_form_one_more,
        passkeys::p22_a_passkey_is_stored_unchanged_and_has_one_user,
        passkeys::p24_authenticators_call_a_user_the_same_for_ever,
        passkeys::a48_a_session_is_opened_once_with_what_a_passkey_was_checked_against,
        pending::what_every_older_schema_lacks_is_known,
        pending::a_copy_of_every_older_sqlite_schema_is_migrated_in_a_rehearsal,
        processes::a_process_is_stored_unchanged_seen_again_and_forgotten,
        processes::connections_of_older_binaries_are_counted_where_the_engine_can,
        processes::no_more_processes_are_kept_than_a_deployment_can_have,
        processes::processes_that_are_gone_make_room,
        refresh::the_current_token_rotates_and_changes_nothing_else,
        refresh::outcomes_of_a_batch_are_in_the_order_of_its_requests,
        refresh::twice_in_one_batch_rotates_once_and_replays_once,
        refresh::concurrent_requests_rotate_once,
        refresh::a_row_set_back_is_fast_forwarded,
        refresh::a_request_that_does_not_match_changes_nothing,
        refresh::reuse_revokes_the_session_in_the_same_transaction,
        refresh::a_rotation_time_is_moved_only_if_the_session_was_not_rotated_again,
        roles::a_role_is_stored_unchanged_beside_the_built_in_ones,
        roles::a_role_is_changed_only_at_the_expected_revision,
        roles::roles_are_assigned_and_removed_once_and_assigned_ones_cannot_be_deleted,
        roles::nobody_has_more_roles_than_the_maximum,
        sealing_keys::a_version_comes_into_use_once_and_is_dropped_once,
        sealing_keys::concurrent_calls_bring_a_version_into_use_once,
        sealing_keys::a_version_never_comes_into_use_as_it_is_dropped,
        sealing_keys::a_version_that_was_never_used_is_forgotten_and_its_number_used_again,
        sealing_keys::rows_are_sealed_again_once_and_found_until_then,
        sealing_keys::tickets_of_a_version_are_counted_and_voided_together,
        sealing_keys::sessions_depend_on_the_version_that_their_token_or_cookie_was_made_with,
        sealing_keys::sessions_of_older_versions_alone_do_not_depend_on_a_version,
        session_data::a_value_is_stored_unchanged_and_its_version_increases,
        session_data::a_change_is_made_only_to_what_the_caller_expects,
        session_data::no_version_is_used_again,
        session_data::a_batch_is_written_by_few_statements_and_in_its_order,
        session_data::concurrent_writers_that_expect_one_version_are_one_success,
        session_data::nobody_has_more_than_64_values_whoever_writes_at_once,
        session_data::a_guests_values_have_a_bound_together,
        session_data::nothing_is_written_for_a_session_that_is_not_live,
        session_data::sessions_of_a_user_share_the_users_values_and_clients_do_not,
        session_data::what_a_session_has_moves_to_the_one_that_replaces_it,
        session_data::no_write_is_lost_while_its_session_is_replaced,
        session_data::data_end_with_dead_sessions_and_those_of_guests_with_them,
        session_data::data_end_with_the_user,
        sessions::claims_are_replaced_only_for_the_given_client,
        sessions::a_session_is_stored_unchanged,
        sessions::live_sessions_are_those_that_can_be_refreshed,
        sessions::revoking_happens_once_with_an_event_and_an_entry,
        sessions::concurrent_calls_revoke_a_session_once,
        sessions::revoking_all_sessions_but_one_clients_and_keys_writes_events_and_entries,
        sessions::all_sessions_end_at_once,
        sessions::a_walk_finds_dead_sessions_in_steps_and_only_those_are_deleted,
        sessions::no_column_that_a_refresh_writes_is_indexed,
        sessions::the_oldest_sessions_beyond_a_number_are_found,
        sign_in_steps::a_step_leads_to_the_next_one_and_is_taken_once,
        sign_in_steps::only_the_holder_takes_a_step_in_time_and_in_order,
        sign_in_steps::the_result_of_the_last_step_is_kept_for_its_holder_for_a_minute,
        sign_in_steps::concurrent_calls_take_a_step_once,
        status_lists::blocks_are_consecutive_and_a_new_list_follows_a_full_one,
        status_lists::concurrent_leases_do_not_overlap,
        status_lists::the_sessions_of_disabled_clients_are_read_list_by_list,
        token_sizes::of_the_users_with_the_same_roles_the_one_with_the_longest_tokens_is_found,
        token_sizes::a_rotation_is_taken_back_once_and_its_token_is_current_again,
        unreadable::one_user_whose_attributes_cannot_be_read_spoils_no_list,
        unreadable::one_session_whose_claims_cannot_be_read_leaves_the_others_on_the_fast_path,
        unreadable::one_event_whose_details_cannot_be_read_is_listed_without_them,
        unreadable::an_unreadable_user_is_revoked_and_healed,
        tickets::a_ticket_is_stored_unchanged_and_has_limited_attempts,
        tickets::concurrent_calls_use_a_ticket_once,
        tickets::expired_tickets_are_deleted,
        tickets::of_the_tickets_about_one_topic_only_the_latest_is_valid,
        tickets::what_a_ticket_was_used_for_is_kept_with_it,
        tickets::of_two_tickets_with_one_id_the_first_counts,
        upgrades::every_older_schema_is_brought_up_to_date_and_keeps_its_rows,
        upgrades::sessions_passwords_and_keys_of_every_older_schema_go_on,
        upgrades::second_factors_of_every_older_schema_still_count,
        upgrades::sessions_of_every_older_schema_are_of_the_kind_that_they_were,
        users::a_password_may_have_to_change,
        users::a_user_is_found_by_each_login,
        users::subjects_logins_and_lookalikes_are_unique,
        users::pages_are_stable,
        users::users_are_listed_by_name_and_address,
        users::a_change_invalidates_sign_ins_in_progress,
        users::concurrent_creations_with_one_name_create_one_user,
        users::a_rehash_does_not_invalidate_sign_ins,
        users::a_user_is_changed_only_at_the_expected_version,
        users::a_deleted_user_leaves_nothing_but_its_subject,
    }
}
