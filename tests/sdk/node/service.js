// Owns the service SDK: enrollments, enrollment groups and registration states, in the words of the service API. It must
// not know what a test expects.
'use strict';

const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const clients = new Map();

function service({ connection_string: connectionString }) {
  if (!clients.has(connectionString)) {
    clients.set(connectionString, ProvisioningServiceClient.fromConnectionString(connectionString));
  }
  return clients.get(connectionString);
}

// How the SDK calls the operations on each kind of enrollment.
const NAMES = {
  individual: 'IndividualEnrollment',
  group: 'EnrollmentGroup',
};

const body = (call) => call.then((answer) => answer.responseBody);
const on = (a, before, after = '') => service(a)[`${before}${NAMES[a.kind]}${after}`].bind(service(a));

// The SDK takes the etag from the enrollment and sends it as If-Match.
function withEtag(enrollment, ifMatch) {
  const { etag, ...rest } = enrollment;
  return ifMatch === undefined ? rest : { ...rest, etag: ifMatch };
}

// Without a callback the SDK's cursor forgets its continuation token, unless it is handed back.
async function pagesOf(cursor) {
  const pages = [];
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

module.exports = {
  put: (a) => body(on(a, 'createOrUpdate')(withEtag(a.enrollment, a.if_match))),
  get: (a) => body(on(a, 'get')(a.id)),
  delete: (a) => on(a, 'delete')(a.id, a.if_match),
  attestation: (a) => body(on(a, 'get', 'AttestationMechanism')(a.id)),
  query: (a) => pagesOf(on(a, 'create', 'Query')({ query: a.query }, a.page_size)),
  bulk,
  get_state: (a) => body(service(a).getDeviceRegistrationState(a.id)),
  delete_state: (a) => service(a).deleteDeviceRegistrationState(a.id, a.if_match),
  query_states: (a) => pagesOf(
    service(a).createEnrollmentGroupDeviceRegistrationStateQuery({ query: a.query || '*' }, a.id, a.page_size),
  ),
};
