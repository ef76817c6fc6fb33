// Owns the devices that are connected to a hub with Microsoft's device SDK, by name, and what has reached each of them.
// It must not know what a test expects.
'use strict';

const { Client, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { TpmAuthenticationProvider } = require('azure-iot-security-tpm');

const tpm = require('./tpm');

const TRANSPORTS = { Mqtt, MqttWs };

const devices = new Map();

// What arrives waits until a test takes it.
class Arrivals {
  constructor() {
    this.waiting = [];
    this.takers = [];
  }

  put(item) {
    const taker = this.takers.shift();
    if (taker) {
      taker(item);
    } else {
      this.waiting.push(item);
    }
  }

  take() {
    return this.waiting.length ? this.waiting.shift() : new Promise((resolve) => this.takers.push(resolve));
  }
}

function propertiesOf(message) {
  const properties = {};
  for (let index = 0; index < message.properties.count(); index += 1) {
    const { key, value } = message.properties.getItem(index);
    properties[key] = value;
  }
  return properties;
}

function connectionString(a) {
  const proof = a.certificate === undefined ? `SharedAccessKey=${a.key}` : 'x509=true';
  return `HostName=${a.host};DeviceId=${a.device_id};${proof}`;
}

function clientOf(a) {
  if (a.tpm_port === undefined) {
    return Client.fromConnectionString(connectionString(a), TRANSPORTS[a.wire]);
  }
  const provider = TpmAuthenticationProvider.fromTpmSecurityClient(a.device_id, a.host, tpm.securityOf(a));
  return Client.fromAuthenticationProvider(provider, TRANSPORTS[a.wire]);
}

async function connect(a) {
  const client = clientOf(a);
  if (a.certificate !== undefined) {
    client.setOptions({ cert: a.certificate, key: a.private_key });
  }
  await client.open();
  devices.set(a.device_id, { client, twin: null, messages: new Arrivals(), desired: new Arrivals() });
}

// The SDK subscribes when the first listener is added.
async function listen(a) {
  const device = devices.get(a.device_id);
  device.client.on('message', (message) => {
    device.messages.put({
      body: message.getData().toString(),
      message_id: message.messageId || null,
      properties: propertiesOf(message),
    });
    device.client.complete(message);
  });
  device.client.onDeviceMethod('echo', (request, response) => {
    response.send(207, { name: request.methodName, payload: request.payload }, () => {});
  });
  device.twin = await device.client.getTwin();
  device.twin.on('properties.desired', (patch) => device.desired.put(patch));
}

function send(a) {
  const message = new Message(a.body);
  message.messageId = a.message_id;
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  Object.entries(a.properties).forEach(([name, value]) => message.properties.add(name, value));
  return devices.get(a.device_id).client.sendEvent(message).then(() => null);
}

function collections({ properties }) {
  const { update: omitted, ...reported } = properties.reported;
  return { desired: properties.desired, reported };
}

async function twin(a) {
  const { client } = devices.get(a.device_id);
  return collections(await client.getTwin());
}

function report(a) {
  const device = devices.get(a.device_id);
  return new Promise((resolve, reject) => {
    device.twin.properties.reported.update(a.patch, (error) => (error ? reject(error) : resolve(null)));
  });
}

async function close(a) {
  const { client } = devices.get(a.device_id);
  devices.delete(a.device_id);
  await client.close();
}

module.exports = {
  connect,
  listen,
  send,
  twin,
  report,
  next_desired: (a) => devices.get(a.device_id).desired.take(),
  next_message: (a) => devices.get(a.device_id).messages.take(),
  close,
};
