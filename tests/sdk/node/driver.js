// Owns one Node process that holds Microsoft's unmodified SDKs and does with them what the tests ask, one JSON line in
// (id, operation, arguments), one JSON line out (id and result or error). It must not know what a test expects.
'use strict';

const readline = require('readline');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { Registry } = require('azure-iothub');

const clients = new Map();

function client(type, connectionString) {
  const name = `${type.name} ${connectionString}`;
  if (!clients.has(name)) {
    clients.set(name, type.fromConnectionString(connectionString));
  }
  return clients.get(name);
}

const service = (a) => client(ProvisioningServiceClient, a.connection_string);
const registry = (a) => client(Registry, a.connection_string);

// The SDK's own extension point for a key that lives elsewhere: here, a token that the test made.
class FixedToken {
  constructor(registrationId, token) {
    this.registrationId = registrationId;
    this.token = token;
  }

  getRegistrationId(callback) {
    callback(null, this.registrationId);
  }

  createSharedAccessSignature(idScope, callback) {
    callback(null, this.token);
  }
}

function register(a) {
  const security = a.token === undefined
    ? new SymmetricKeySecurityClient(a.registration_id, a.key)
    : new FixedToken(a.registration_id, a.token);
  const device = ProvisioningDeviceClient.create(a.host, a.id_scope, new Http(), security);
  if (a.payload !== undefined) {
    device.setProvisioningPayload(a.payload);
  }
  return device.register();
}

// The SDK takes the etag from the enrollment and sends it as If-Match.
function withEtag(enrollment, ifMatch) {
  const { etag, ...rest } = enrollment;
  return ifMatch === undefined ? rest : { ...rest, etag: ifMatch };
}

// Without a callback the SDK's cursor forgets its continuation token, unless it is handed back.
async function query(a) {
  const pages = [];
  const cursor = service(a).createIndividualEnrollmentQuery({ query: a.query }, a.page_size);
  while (cursor.hasMoreResults) {
    pages.push((await cursor.next(cursor.continuationToken)).responseBody);
  }
  return pages;
}

// Without a callback the SDK's bulk operation never settles its promise.
function bulk(a) {
  return new Promise((resolve, reject) => {
    service(a).runBulkEnrollmentOperation({ mode: a.mode, enrollments: a.enrollments }, (error, result) => {
      if (error) {
        reject(error);
      } else {
        resolve(result);
      }
    });
  });
}

const body = (call) => call.then((answer) => answer.responseBody);
const twinBody = (call) => call.then((answer) => answer.responseBody.toJSON());

const operations = {
  ping: async () => process.version,

  'device.register': register,

  'service.put': (a) => body(service(a).createOrUpdateIndividualEnrollment(withEtag(a.enrollment, a.if_match))),
  'service.get': (a) => body(service(a).getIndividualEnrollment(a.registration_id)),
  'service.delete': (a) => service(a).deleteIndividualEnrollment(a.registration_id, a.if_match),
  'service.attestation': (a) => body(service(a).getIndividualEnrollmentAttestationMechanism(a.registration_id)),
  'service.query': query,
  'service.bulk': bulk,

  'hub.get_device': (a) => body(registry(a).get(a.device_id)),
  'hub.create_device': (a) => body(registry(a).create(a.device)),
  'hub.update_device': (a) => body(registry(a).update(a.device)),
  'hub.delete_device': (a) => body(registry(a).delete(a.device_id)),
  'hub.list_devices': (a) => body(registry(a).list()),
  'hub.add_devices': (a) => body(registry(a).addDevices(a.devices)),
  'hub.update_devices': (a) => body(registry(a).updateDevices(a.devices, a.force)),
  'hub.remove_devices': (a) => body(registry(a).removeDevices(a.devices, a.force)),
  'hub.get_twin': (a) => twinBody(registry(a).getTwin(a.device_id)),
  'hub.update_twin': (a) => twinBody(registry(a).updateTwin(a.device_id, a.patch, a.etag)),
};

function described(error) {
  return {
    name: error.name,
    message: String(error.message),
    status: error.response ? error.response.statusCode : null,
    body: error.responseBody || null,
    result: error.result || null,
  };
}

async function answer(line) {
  const { id, operation, arguments: given } = JSON.parse(line);
  try {
    const result = await operations[operation](given);
    return { id, result: result === undefined ? null : result };
  } catch (error) {
    return { id, error: described(error) };
  }
}

readline.createInterface({ input: process.stdin })
  .on('line', async (line) => process.stdout.write(`${JSON.stringify(await answer(line))}\n`))
  .on('close', () => process.exit(0));
