-- Attempts are found by the trackingId that the device saw, and those of one registration id newest first, in whatever
-- bucket they stand.
-- oldest code: 0.1.0

DROP INDEX attempt_registration_key;

CREATE INDEX attempt_registration_key ON attempt (service_id, registration_key, at, attempt_id);

CREATE INDEX attempt_attempt_id ON attempt (attempt_id, service_id, bucket, at);
