//! The tables as diesel sees them. Only types that both databases have: text, 64-bit numbers, truth values, bytes.
#![expect(missing_docs, reason = "the migrations document the columns")]

diesel::table! { areas (code) { code -> Text, kind -> Text, name -> Text, parent -> Nullable<Text>, path -> Text, } }
diesel::table! { communities (code) { code -> Text, head -> BigInt, } }
diesel::table! { users (id) { id -> Text, login -> Text, name -> Text, password_hash -> Text, active -> Bool, created_ms -> BigInt, } }
diesel::table! { assignments (id) { id -> Text, user_id -> Text, role -> Text, area -> Text, from_ms -> BigInt, until_ms -> Nullable<BigInt>, } }
diesel::table! {
    devices (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        public_key -> Binary,
        registered_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
        last_seen_ms -> Nullable<BigInt>,
        clock_offset_ms -> Nullable<BigInt>,
        backlog -> Nullable<BigInt>,
        version -> Nullable<Text>,
        complete_ms -> Nullable<BigInt>,
        doubts -> Nullable<BigInt>,
        storage_bytes -> Nullable<BigInt>,
        storage_free_bytes -> Nullable<BigInt>,
    }
}
diesel::table! {
    archives (id) {
        id -> Text,
        name -> Text,
        made_ms -> BigInt,
        before_ms -> BigInt,
        entries -> BigInt,
        sha256 -> Text,
    }
}
diesel::table! {
    archive_documents (archive, document) {
        archive -> Text,
        document -> Text,
    }
}
diesel::table! {
    replication_alerts (id) {
        id -> Text,
        device -> Text,
        kind -> Text,
        raised_ms -> BigInt,
        closed_ms -> Nullable<BigInt>,
    }
}
diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        device_id -> Nullable<Text>,
        current_hash -> Binary,
        previous_hash -> Nullable<Binary>,
        created_ms -> BigInt,
        expires_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
    }
}
diesel::table! { spent_tokens (hash) { hash -> Binary, session_id -> Text, } }
diesel::table! { signing_keys (kid) { kid -> Text, purpose -> Text, seed -> Binary, created_ms -> BigInt, retired_ms -> Nullable<BigInt>, } }
diesel::table! {
    refused_parcels (id) {
        id -> Text,
        digest -> Binary,
        via -> Text,
        code -> Text,
        detail -> Text,
        received_ms -> BigInt,
        bytes -> Binary,
    }
}
diesel::table! { login_sources (account, source) { account -> Text, source -> Text, failures -> BigInt, failed_ms -> Nullable<BigInt>, succeeded_ms -> Nullable<BigInt>, } }
diesel::table! { settings (name) { name -> Text, value -> Text, } }
diesel::table! {
    journal (community, position) {
        community -> Text,
        position -> BigInt,
        document -> Text,
        hash -> Binary,
        actor -> Binary,
        seq -> BigInt,
        author -> Text,
        device -> Nullable<Text>,
        written_ms -> BigInt,
        earliest_ms -> BigInt,
        latest_ms -> BigInt,
        basis -> Text,
        received_ms -> BigInt,
        bytes -> Binary,
    }
}
diesel::table! {
    documents (id) {
        id -> Text,
        community -> Text,
        kind -> Text,
        grid -> Nullable<Text>,
        building -> Nullable<Text>,
        created_by -> Text,
        position -> BigInt,
        heads -> Binary,
        snapshot_position -> BigInt,
        snapshot_bytes -> BigInt,
        tail_bytes -> BigInt,
    }
}
diesel::table! { snapshots (document) { document -> Text, bytes -> Binary, } }
diesel::table! { actors (actor) { actor -> Binary, device -> Text, author -> Text, first_ms -> BigInt, } }
diesel::table! {
    quarantine (id) {
        id -> Text,
        document -> Text,
        hash -> Binary,
        kind -> Text,
        community -> Text,
        author -> Text,
        device -> Text,
        code -> Text,
        detail -> Text,
        preview -> Text,
        written_ms -> BigInt,
        received_ms -> BigInt,
        bytes -> Binary,
        state -> Text,
        witness -> Nullable<Text>,
        decided_by -> Nullable<Text>,
        decided_ms -> Nullable<BigInt>,
        reason -> Nullable<Text>,
    }
}
diesel::table! {
    cases (document) {
        document -> Text,
        search_id -> BigInt,
        community -> Text,
        grid -> Nullable<Text>,
        building -> Nullable<Text>,
        title -> Text,
        category -> Nullable<Text>,
        severity -> Nullable<Text>,
        status -> Text,
        level -> Text,
        is_open -> Bool,
        assignee -> Nullable<Text>,
        created_by -> Text,
        created_ms -> BigInt,
        received_ms -> BigInt,
        updated_ms -> BigInt,
        people_involved -> Nullable<BigInt>,
        amount_claimed -> Nullable<BigInt>,
        amount_agreed -> Nullable<BigInt>,
        conflicts -> Integer,
        passages -> Integer,
        closed_without_knowing -> Integer,
        evidence_pending -> Integer,
        needs_review -> Bool,
        major_alert -> Bool,
        arrived_late -> Bool,
        due_ms -> Nullable<BigInt>,
        next_action_ms -> Nullable<BigInt>,
        position -> BigInt,
        search_text -> Text,
        numbers -> Text,
        awaited -> Text,
        summoned_ms -> Nullable<BigInt>,
        resolved_ms -> Nullable<BigInt>,
        late_ms -> BigInt,
    }
}
diesel::table! {
    patrols (document) {
        document -> Text,
        community -> Text,
        grid -> Nullable<Text>,
        building -> Nullable<Text>,
        status -> Text,
        created_by -> Text,
        created_ms -> BigInt,
        received_ms -> BigInt,
        updated_ms -> BigInt,
        hazards -> Integer,
        hazards_open -> Integer,
        problems -> Integer,
        leaflets -> BigInt,
        needs_review -> Bool,
        position -> BigInt,
    }
}
diesel::table! {
    hazards (document, hazard) {
        document -> Text,
        hazard -> Text,
        community -> Text,
        grid -> Nullable<Text>,
        building -> Nullable<Text>,
        created_by -> Text,
        kind -> Nullable<Text>,
        grade -> Nullable<Text>,
        place -> Text,
        note -> Text,
        found_by -> Nullable<Text>,
        found_ms -> BigInt,
        rectify_by_ms -> Nullable<BigInt>,
        rectified_by -> Nullable<Text>,
        rectified_ms -> Nullable<BigInt>,
    }
}
diesel::table! {
    obligations (document, rule, trigger_event) {
        document -> Text,
        rule -> Text,
        trigger_event -> Text,
        community -> Text,
        level -> Text,
        started_ms -> BigInt,
        due_ms -> BigInt,
        provisional -> Bool,
        outcome -> Text,
        outcome_event -> Nullable<Text>,
    }
}
diesel::table! {
    notifications (document, event) {
        document -> Text,
        event -> Text,
        kind -> Text,
        community -> Text,
        level -> Text,
        roles -> Text,
        raised_ms -> BigInt,
        withdrawn_by -> Nullable<Text>,
        withdrawn_written_ms -> Nullable<BigInt>,
        withdrawn_received_ms -> Nullable<BigInt>,
    }
}
diesel::table! {
    objects (hash) {
        hash -> Text,
        object -> Text,
        bytes -> BigInt,
        media_type -> Text,
        stored_ms -> BigInt,
        candidate_ms -> Nullable<BigInt>,
    }
}
diesel::table! { attachment_refs (document, hash) { document -> Text, hash -> Text, by_user -> Text, bytes -> BigInt, } }
diesel::table! { attachment_proofs (document, hash) { document -> Text, hash -> Text, proved_ms -> BigInt, } }
diesel::table! {
    uploads (id) {
        id -> Text,
        hash -> Text,
        document -> Text,
        user_id -> Text,
        device -> Nullable<Text>,
        length -> BigInt,
        received -> BigInt,
        state -> Text,
        created_ms -> BigInt,
        expires_ms -> BigInt,
    }
}
diesel::table! { upload_parts (upload, start_byte) { upload -> Text, start_byte -> BigInt, bytes -> BigInt, object -> Text, } }
diesel::allow_tables_to_appear_in_same_query!(objects, attachment_refs, attachment_proofs);
diesel::table! {
    audit (id) {
        id -> Text,
        seq -> Nullable<BigInt>,
        at_ms -> BigInt,
        actor -> Text,
        device -> Nullable<Text>,
        origin -> Text,
        action -> Text,
        object -> Text,
        community -> Nullable<Text>,
        reason -> Text,
        detail -> Text,
        hash -> Nullable<Binary>,
    }
}
diesel::table! { audit_chain (name) { name -> Text, seq -> BigInt, hash -> Binary, } }
diesel::table! {
    erasures (id) {
        id -> Text,
        kind -> Text,
        document -> Text,
        part -> Text,
        community -> Text,
        reason -> Text,
        asked_by -> Text,
        asked_ms -> BigInt,
        decided_by -> Nullable<Text>,
        decided_ms -> Nullable<BigInt>,
        state -> Text,
    }
}
diesel::table! {
    erased_documents (document) {
        document -> Text,
        kind -> Text,
        community -> Text,
        position -> BigInt,
        erasure -> Text,
        successor -> Nullable<Text>,
        erased_ms -> BigInt,
    }
}
diesel::table! {
    erased_holders (document, device) {
        document -> Text,
        device -> Text,
        told_ms -> Nullable<BigInt>,
        confirmed_ms -> Nullable<BigInt>,
        why -> Nullable<Text>,
    }
}
diesel::table! { erased_contents (document, trace) { document -> Text, trace -> Binary, hash -> Nullable<Text>, } }
diesel::table! { held_documents (document, device) { document -> Text, device -> Text, given_ms -> BigInt, } }
diesel::table! { lost_contents (hash) { hash -> Text, found_ms -> BigInt, asked -> Bool, } }
diesel::table! {
    document_moves (community, position) {
        community -> Text,
        position -> BigInt,
        document -> Text,
        from_grid -> Nullable<Text>,
        from_building -> Nullable<Text>,
        to_grid -> Nullable<Text>,
        to_building -> Nullable<Text>,
        moved_ms -> BigInt,
    }
}
diesel::table! {
    device_scopes (device, community, scope) {
        device -> Text,
        community -> Text,
        scope -> BigInt,
        grants -> Text,
        bases -> Text,
    }
}
diesel::table! {
    device_orders (device, kind, target) {
        device -> Text,
        kind -> Text,
        target -> Text,
        id -> Text,
        ordered_ms -> BigInt,
        ordered_by -> Nullable<Text>,
        confirmed_ms -> Nullable<BigInt>,
    }
}
diesel::table! {
    restores (journal) {
        journal -> Text,
        former -> Text,
        backup_ms -> BigInt,
        restored_ms -> BigInt,
        documents -> BigInt,
        changes -> BigInt,
    }
}
diesel::table! {
    resupplies (journal, device) {
        journal -> Text,
        device -> Text,
        met_ms -> BigInt,
        last_ms -> BigInt,
        open_documents -> BigInt,
        done_ms -> Nullable<BigInt>,
    }
}
diesel::table! {
    resupplied_documents (journal, document, device) {
        journal -> Text,
        document -> Text,
        device -> Text,
        changes -> BigInt,
        code -> Nullable<Text>,
    }
}
diesel::allow_tables_to_appear_in_same_query!(areas, assignments, users, devices, sessions);
diesel::allow_tables_to_appear_in_same_query!(cases, erasures);
diesel::allow_tables_to_appear_in_same_query!(cases, notifications);
diesel::allow_tables_to_appear_in_same_query!(journal, users);
diesel::allow_tables_to_appear_in_same_query!(quarantine, users);
diesel::allow_tables_to_appear_in_same_query!(erased_documents, erased_holders, uploads);
diesel::allow_tables_to_appear_in_same_query!(lost_contents, attachment_refs);
diesel::allow_tables_to_appear_in_same_query!(resupplies, devices);
