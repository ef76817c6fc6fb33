// Owns the hub's service SDK: identities, twins and direct methods. It must not know what a test expects.
'use strict';

const { Client, Registry } = require('azure-iothub');

const clients = new Map();

function client(type, connectionString) {
  const name = `${type.name} ${connectionString}`;
  if (!clients.has(name)) {
    clients.set(name, type.fromConnectionString(connectionString));
  }
  return clients.get(name);
}

const registry = (a) => client(Registry, a.connection_string);
const body = (call) => call.then((answer) => answer.responseBody);
const twinBody = (call) => call.then((answer) => answer.responseBody.toJSON());

function invokeMethod(a) {
  const request = {
    methodName: a.method, payload: a.payload, responseTimeoutInSeconds: 15, connectTimeoutInSeconds: a.connect_seconds,
  };
  return client(Client, a.connection_string).invokeDeviceMethod(a.device_id, request).then(({ result }) => result);
}

module.exports = {
  get_device: (a) => body(registry(a).get(a.device_id)),
  create_device: (a) => body(registry(a).create(a.device)),
  update_device: (a) => body(registry(a).update(a.device)),
  delete_device: (a) => body(registry(a).delete(a.device_id)),
  list_devices: (a) => body(registry(a).list()),
  add_devices: (a) => body(registry(a).addDevices(a.devices)),
  update_devices: (a) => body(registry(a).updateDevices(a.devices, a.force)),
  remove_devices: (a) => body(registry(a).removeDevices(a.devices, a.force)),
  get_twin: (a) => twinBody(registry(a).getTwin(a.device_id)),
  update_twin: (a) => twinBody(registry(a).updateTwin(a.device_id, a.patch, a.etag)),
  invoke_method: invokeMethod,
};
