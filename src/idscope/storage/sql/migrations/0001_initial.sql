-- The first schema: one table for each row of idscope.storage.rows.
-- oldest code: 0.1.0
--
-- Rowid tables on purpose: WITHOUT ROWID spills rows of 1 KB to overflow pages. Keys are natural and no number is
-- counted for the whole database, so that tables can be divided by service and registration.

CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    applied_at INTEGER NOT NULL,
    oldest_code TEXT NOT NULL
);

CREATE TABLE health (
    name TEXT NOT NULL,
    token TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE server (
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE provisioning_service (
    service_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (service_id)
);

CREATE TABLE access_policy (
    service_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (service_id, owner, name)
);

CREATE TABLE linked_hub (
    service_id TEXT NOT NULL,
    hub_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (service_id, hub_id)
);

CREATE TABLE embedded_hub (
    service_id TEXT NOT NULL,
    hub_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (service_id, hub_id)
);

CREATE TABLE enrollment (
    service_id TEXT NOT NULL,
    registration_key TEXT NOT NULL,
    etag TEXT NOT NULL,
    attestation_type TEXT NOT NULL,
    endorsement_key_hash TEXT,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (service_id, registration_key)
);

-- Not unique: one endorsement key may stand in many enrollments (observed).
CREATE INDEX enrollment_endorsement_key_hash ON enrollment (service_id, endorsement_key_hash)
    WHERE endorsement_key_hash IS NOT NULL;

CREATE TABLE enrollment_group (
    service_id TEXT NOT NULL,
    group_key TEXT NOT NULL,
    etag TEXT NOT NULL,
    attestation_type TEXT NOT NULL,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (service_id, group_key)
);

CREATE TABLE certificate_thumbprint (
    service_id TEXT NOT NULL,
    thumbprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (service_id, thumbprint)
);

CREATE TABLE ca_certificate (
    service_id TEXT NOT NULL,
    name TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (service_id, name)
);

CREATE TABLE registration (
    service_id TEXT NOT NULL,
    registration_key TEXT NOT NULL,
    etag TEXT NOT NULL,
    status TEXT NOT NULL,
    enrollment_group_key TEXT,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (service_id, registration_key)
);

-- Partial: registrations of individual enrollments need no entry, and pay for none.
CREATE INDEX registration_enrollment_group ON registration (service_id, enrollment_group_key, registration_key)
    WHERE enrollment_group_key IS NOT NULL;

CREATE TABLE operation (
    service_id TEXT NOT NULL,
    registration_key TEXT NOT NULL,
    etag TEXT NOT NULL,
    guid TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    step TEXT NOT NULL,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (service_id, registration_key)
);

CREATE INDEX operation_lease_until ON operation (lease_until);

CREATE TABLE attempt (
    service_id TEXT NOT NULL,
    bucket TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempt_id TEXT NOT NULL,
    registration_key TEXT NOT NULL,
    verdict TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (service_id, bucket, at, attempt_id)
);

CREATE INDEX attempt_registration_key ON attempt (service_id, registration_key, at);

CREATE TABLE hub_device (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (hub_id, device_id)
);

CREATE TABLE hub_twin (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (hub_id, device_id)
);

CREATE TABLE hub_connection (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    worker TEXT NOT NULL,
    state_updated INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (hub_id, device_id)
);

CREATE TABLE hub_message (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    etag TEXT NOT NULL,
    expires INTEGER NOT NULL,
    document BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (hub_id, device_id, sequence)
);

CREATE TABLE hub_method_call (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    session_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    expires INTEGER NOT NULL,
    document BLOB NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (hub_id, device_id, call_id)
);

CREATE TABLE hub_desired_change (
    hub_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (hub_id, device_id, version)
);

CREATE TABLE hub_stream (
    hub_id TEXT NOT NULL,
    etag TEXT NOT NULL,
    next_sequence INTEGER NOT NULL,
    PRIMARY KEY (hub_id)
);

CREATE TABLE hub_telemetry (
    hub_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    enqueued INTEGER NOT NULL,
    document BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (hub_id, sequence)
);
