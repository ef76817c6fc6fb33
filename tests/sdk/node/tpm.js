// Owns the TPMs of devices: Microsoft's security client on a TPM that speaks the simulator's protocol, one for each port,
// since a key that was taken in is known to its client only. It must not know what a test expects.
'use strict';

const tss = require('tss.js');
const { TpmSecurityClient } = require('azure-iot-security-tpm');

const clients = new Map();

function securityOf(a) {
  if (!clients.has(a.tpm_port)) {
    clients.set(a.tpm_port, new TpmSecurityClient(a.registration_id, new tss.Tpm(true, '127.0.0.1', a.tpm_port)));
  }
  return clients.get(a.tpm_port);
}

function keyOf(a, name) {
  return new Promise((resolve, reject) => {
    securityOf(a)[name]((error, key) => (error ? reject(error) : resolve(key.toString('base64'))));
  });
}

module.exports = {
  securityOf,
  endorsement_key: (a) => keyOf(a, 'getEndorsementKey'),
  storage_root_key: (a) => keyOf(a, 'getStorageRootKey'),
};
