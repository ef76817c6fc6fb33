-- What is searched of documents stands in columns, filled from what is stored.
-- oldest code: 0.1.0
--
-- The first code that searches is this one: an older one would write rows that no search finds.

ALTER TABLE enrollment ADD COLUMN device_id TEXT;
ALTER TABLE enrollment ADD COLUMN provisioning_status TEXT;
ALTER TABLE enrollment ADD COLUMN allocation_policy TEXT;
ALTER TABLE enrollment ADD COLUMN iot_edge INTEGER;
ALTER TABLE enrollment ADD COLUMN update_hub_assignment INTEGER;
ALTER TABLE enrollment ADD COLUMN migrate_device_data INTEGER;
ALTER TABLE enrollment ADD COLUMN client_primary_thumbprint TEXT;
ALTER TABLE enrollment ADD COLUMN client_primary_not_after INTEGER;
ALTER TABLE enrollment ADD COLUMN client_secondary_thumbprint TEXT;
ALTER TABLE enrollment ADD COLUMN client_secondary_not_after INTEGER;
ALTER TABLE enrollment ADD COLUMN signing_primary_thumbprint TEXT;
ALTER TABLE enrollment ADD COLUMN signing_primary_not_after INTEGER;
ALTER TABLE enrollment ADD COLUMN signing_secondary_thumbprint TEXT;
ALTER TABLE enrollment ADD COLUMN signing_secondary_not_after INTEGER;
ALTER TABLE enrollment ADD COLUMN primary_ca_reference TEXT;
ALTER TABLE enrollment ADD COLUMN secondary_ca_reference TEXT;

ALTER TABLE enrollment_group ADD COLUMN provisioning_status TEXT;
ALTER TABLE enrollment_group ADD COLUMN allocation_policy TEXT;
ALTER TABLE enrollment_group ADD COLUMN iot_edge INTEGER;
ALTER TABLE enrollment_group ADD COLUMN update_hub_assignment INTEGER;
ALTER TABLE enrollment_group ADD COLUMN migrate_device_data INTEGER;
ALTER TABLE enrollment_group ADD COLUMN signing_primary_thumbprint TEXT;
ALTER TABLE enrollment_group ADD COLUMN signing_primary_not_after INTEGER;
ALTER TABLE enrollment_group ADD COLUMN signing_secondary_thumbprint TEXT;
ALTER TABLE enrollment_group ADD COLUMN signing_secondary_not_after INTEGER;
ALTER TABLE enrollment_group ADD COLUMN primary_ca_reference TEXT;
ALTER TABLE enrollment_group ADD COLUMN secondary_ca_reference TEXT;

ALTER TABLE registration ADD COLUMN device_id TEXT;
ALTER TABLE registration ADD COLUMN assigned_hub TEXT;
ALTER TABLE registration ADD COLUMN substatus TEXT;
ALTER TABLE registration ADD COLUMN error_code INTEGER;

UPDATE enrollment SET
    device_id = json_extract(CAST(document AS TEXT), '$.deviceId'),
    provisioning_status = json_extract(CAST(document AS TEXT), '$.provisioningStatus'),
    allocation_policy = json_extract(CAST(document AS TEXT), '$.allocationPolicy'),
    iot_edge = json_extract(CAST(document AS TEXT), '$.capabilities.iotEdge'),
    update_hub_assignment = json_extract(CAST(document AS TEXT), '$.reprovisionPolicy.updateHubAssignment'),
    migrate_device_data = json_extract(CAST(document AS TEXT), '$.reprovisionPolicy.migrateDeviceData'),
    primary_ca_reference = lower(json_extract(CAST(document AS TEXT), '$.attestation.x509.caReferences.primary')),
    secondary_ca_reference = lower(json_extract(CAST(document AS TEXT), '$.attestation.x509.caReferences.secondary'))
WHERE json_valid(CAST(document AS TEXT));

-- Only these may have certificates. The dates of certificates are whole seconds.
UPDATE enrollment SET
    client_primary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.clientCertificates.primary.info.sha256Thumbprint'),
    client_primary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.clientCertificates.primary.info.notAfterUtc')) AS INTEGER),
    client_secondary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.clientCertificates.secondary.info.sha256Thumbprint'),
    client_secondary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.clientCertificates.secondary.info.notAfterUtc')) AS INTEGER),
    signing_primary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.primary.info.sha256Thumbprint'),
    signing_primary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.primary.info.notAfterUtc')) AS INTEGER),
    signing_secondary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.secondary.info.sha256Thumbprint'),
    signing_secondary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.secondary.info.notAfterUtc')) AS INTEGER)
WHERE CASE WHEN json_valid(CAST(document AS TEXT)) THEN json_type(CAST(document AS TEXT), '$.attestation.x509') END
    = 'object';

UPDATE enrollment_group SET
    provisioning_status = json_extract(CAST(document AS TEXT), '$.provisioningStatus'),
    allocation_policy = json_extract(CAST(document AS TEXT), '$.allocationPolicy'),
    iot_edge = json_extract(CAST(document AS TEXT), '$.capabilities.iotEdge'),
    update_hub_assignment = json_extract(CAST(document AS TEXT), '$.reprovisionPolicy.updateHubAssignment'),
    migrate_device_data = json_extract(CAST(document AS TEXT), '$.reprovisionPolicy.migrateDeviceData'),
    signing_primary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.primary.info.sha256Thumbprint'),
    signing_primary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.primary.info.notAfterUtc')) AS INTEGER),
    signing_secondary_thumbprint =
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.secondary.info.sha256Thumbprint'),
    signing_secondary_not_after = 1000000 * CAST(strftime('%s',
        json_extract(CAST(document AS TEXT), '$.attestation.x509.signingCertificates.secondary.info.notAfterUtc')) AS INTEGER),
    primary_ca_reference = lower(json_extract(CAST(document AS TEXT), '$.attestation.x509.caReferences.primary')),
    secondary_ca_reference = lower(json_extract(CAST(document AS TEXT), '$.attestation.x509.caReferences.secondary'))
WHERE json_valid(CAST(document AS TEXT));

UPDATE registration SET
    device_id = json_extract(CAST(document AS TEXT), '$.placement.device_id'),
    assigned_hub = lower(json_extract(CAST(document AS TEXT), '$.placement.host_name')),
    substatus = json_extract(CAST(document AS TEXT), '$.substatus')
WHERE json_valid(CAST(document AS TEXT)) AND status NOT IN ('failed', 'disabled');
UPDATE registration SET error_code = json_extract(CAST(document AS TEXT), '$.errorCode')
WHERE json_valid(CAST(document AS TEXT)) AND status = 'failed';

-- Each holds its column first and the key behind it, so that a search goes on where it was.
CREATE INDEX enrollment_attestation_type ON enrollment (service_id, attestation_type, registration_key);
CREATE INDEX enrollment_provisioning_status ON enrollment (service_id, provisioning_status, registration_key)
    WHERE provisioning_status <> 'enabled';
CREATE INDEX enrollment_allocation_policy ON enrollment (service_id, allocation_policy, registration_key)
    WHERE allocation_policy IS NOT NULL;
CREATE INDEX enrollment_device_id ON enrollment (service_id, device_id, registration_key)
    WHERE device_id IS NOT NULL;
CREATE INDEX enrollment_client_primary_thumbprint
    ON enrollment (service_id, client_primary_thumbprint, registration_key)
    WHERE client_primary_thumbprint IS NOT NULL;
CREATE INDEX enrollment_client_primary_not_after
    ON enrollment (service_id, client_primary_not_after, registration_key)
    WHERE client_primary_not_after IS NOT NULL;
CREATE INDEX enrollment_client_secondary_thumbprint
    ON enrollment (service_id, client_secondary_thumbprint, registration_key)
    WHERE client_secondary_thumbprint IS NOT NULL;
CREATE INDEX enrollment_client_secondary_not_after
    ON enrollment (service_id, client_secondary_not_after, registration_key)
    WHERE client_secondary_not_after IS NOT NULL;
CREATE INDEX enrollment_signing_primary_thumbprint
    ON enrollment (service_id, signing_primary_thumbprint, registration_key)
    WHERE signing_primary_thumbprint IS NOT NULL;
CREATE INDEX enrollment_signing_primary_not_after
    ON enrollment (service_id, signing_primary_not_after, registration_key)
    WHERE signing_primary_not_after IS NOT NULL;
CREATE INDEX enrollment_signing_secondary_thumbprint
    ON enrollment (service_id, signing_secondary_thumbprint, registration_key)
    WHERE signing_secondary_thumbprint IS NOT NULL;
CREATE INDEX enrollment_signing_secondary_not_after
    ON enrollment (service_id, signing_secondary_not_after, registration_key)
    WHERE signing_secondary_not_after IS NOT NULL;
CREATE INDEX enrollment_primary_ca_reference ON enrollment (service_id, primary_ca_reference, registration_key)
    WHERE primary_ca_reference IS NOT NULL;
CREATE INDEX enrollment_secondary_ca_reference ON enrollment (service_id, secondary_ca_reference, registration_key)
    WHERE secondary_ca_reference IS NOT NULL;

-- Partial: the registration of an assigned device, the write that is made most, pays for neither.
CREATE INDEX registration_status ON registration (service_id, status, registration_key) WHERE status <> 'assigned';
CREATE INDEX registration_error_code ON registration (service_id, error_code, registration_key)
    WHERE error_code IS NOT NULL;
