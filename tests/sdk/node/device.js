// Owns the device side of provisioning with Microsoft's SDK, over each of its five transports, and one registration that
// the SDK cannot send. It must not know what a test expects.
'use strict';

const rhea = require('rhea');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { Mqtt, MqttWs } = require('azure-iot-provisioning-device-mqtt');
const { Amqp, AmqpWs } = require('azure-iot-provisioning-device-amqp');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');

const tpm = require('./tpm');

const TRANSPORTS = { Http, Mqtt, MqttWs, Amqp, AmqpWs };

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

function securityOf(a) {
  if (a.tpm_port !== undefined) {
    return tpm.securityOf(a);
  }
  if (a.certificate !== undefined) {
    return new X509Security(a.registration_id, { cert: a.certificate, key: a.private_key });
  }
  return a.token === undefined
    ? new SymmetricKeySecurityClient(a.registration_id, a.key)
    : new FixedToken(a.registration_id, a.token);
}

function register(a) {
  const security = securityOf(a);
  const transport = new TRANSPORTS[a.wire]();
  const device = ProvisioningDeviceClient.create(a.host, a.id_scope, transport, security);
  if (a.payload !== undefined) {
    device.setProvisioningPayload(a.payload);
  }
  return device.register();
}

// One registration by the AMQP library beneath the SDK, with a data section of the test's own bytes.
function registerRaw(a) {
  const node = `${a.id_scope}/registrations/${a.registration_id}`;
  const properties = { 'com.microsoft:api-version': '2019-03-31' };
  return new Promise((resolve, reject) => {
    const container = rhea.create_container();
    const connection = container.connect({
      host: a.host, port: 5671, transport: 'tls', servername: '', reconnect: false, username: node, password: a.token,
    });
    const receiver = connection.open_receiver({ source: node, properties });
    const sender = connection.open_sender({ target: node, properties });
    sender.once('sendable', () => sender.send({
      body: rhea.message.data_section(Buffer.from(a.body)),
      application_properties: { 'iotdps-operation-type': 'iotdps-register' },
      correlation_id: 'raw',
    }));
    receiver.on('message', ({ message }) => {
      connection.close();
      resolve(JSON.parse(message.body.content));
    });
    sender.on('rejected', ({ delivery }) => {
      connection.close();
      reject(new Error(delivery.remote_state.error.description));
    });
    connection.on('disconnected', (context) => reject(context.error || new Error('disconnected')));
    connection.on('connection_error', ({ connection: closed }) => reject(closed.error));
  });
}

module.exports = { register, register_raw: registerRaw };
