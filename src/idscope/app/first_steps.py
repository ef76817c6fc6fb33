"""Owns the lines that a person pastes to try a running server, with its own commands and with Microsoft's SDKs.
It must not know how the server runs, nor where the lines are shown."""

from __future__ import annotations

from pathlib import Path

import msgspec

from idscope.secret import Secret

DEVICE: str = "first-device"
"""The registration id of the lines."""


class Target(msgspec.Struct, frozen=True):
    """What the lines need to know of the server; `command` is how its command line is called from anywhere."""

    host_name: str
    id_scope: str
    ca_file: Path
    service_connection_string: Secret
    data_directory: Path
    command: str


def first_steps(target: Target) -> list[tuple[str, str]]:
    """Title and lines of each step, in the order in which a person takes them."""
    return [
        ("Create an enrollment", enrollment_create(target)),
        ("or service SDK for Python (pip install azure-iot-deviceprovisioning)", python_service(target)),
        ("or service SDK for Node (npm install azure-iot-provisioning-service)", node_service(target)),
        (
            "Register the device, connect it to its hub and send, Python over MQTT (pip install azure-iot-device)",
            python_device(target),
        ),
        ("See what it sent", hub_monitor(target)),
        (
            (
                "Or register it, Node over HTTPS (npm install azure-iot-provisioning-device "
                "azure-iot-provisioning-device-http azure-iot-security-symmetric-key)"
            ),
            node_device(target),
        ),
        ("or C over HTTPS (azure-iot-sdk-c built with -Duse_prov_client=ON)", c_device(target)),
    ]


def enrollment_create(target: Target) -> str:
    """It prints what the device needs, its keys included."""
    return f"{target.command} enrollment create {DEVICE} --show-keys --data-directory '{target.data_directory}'"


def python_service(target: Target) -> str:
    """The Python service SDK trusts what requests trusts."""
    return f"""\
REQUESTS_CA_BUNDLE='{target.ca_file}' python3 - <<'END'
from azure.iot.deviceprovisioning import DeviceProvisioningClient
service = DeviceProvisioningClient.from_connection_string(
    "{target.service_connection_string.reveal()}")
service.enrollment.create_or_update("{DEVICE}", {{
    "registrationId": "{DEVICE}", "attestation": {{"type": "symmetricKey", "symmetricKey": {{}}}}}})
print("key:", service.enrollment.get_attestation_mechanism("{DEVICE}")["symmetricKey"]["primaryKey"])
END"""


def node_service(target: Target) -> str:
    """The Node service SDK trusts what Node trusts."""
    return f"""\
NODE_EXTRA_CA_CERTS='{target.ca_file}' node - <<'END'
const {{ ProvisioningServiceClient }} = require('azure-iot-provisioning-service');
const service = ProvisioningServiceClient.fromConnectionString(
  '{target.service_connection_string.reveal()}');
const enrollment = {{ registrationId: '{DEVICE}', attestation: {{ type: 'symmetricKey', symmetricKey: {{}} }} }};
service.createOrUpdateIndividualEnrollment(enrollment)
  .then(() => service.getIndividualEnrollmentAttestationMechanism('{DEVICE}'))
  .then((answer) => console.log('key:', answer.responseBody.symmetricKey.primaryKey),
    (problem) => console.error(String(problem)));
END"""


def python_device(target: Target) -> str:
    """The key comes from the enrollment made before; the device SDK trusts what OpenSSL trusts."""
    return f"""\
SSL_CERT_FILE='{target.ca_file}' DEVICE_KEY='the key printed above' python3 - <<'END'
import os
from azure.iot.device import IoTHubDeviceClient, ProvisioningDeviceClient
key = os.environ["DEVICE_KEY"]
result = ProvisioningDeviceClient.create_from_symmetric_key(
    "{target.host_name}", "{DEVICE}", "{target.id_scope}", key).register()
state = result.registration_state
print(result.status, "to", state.assigned_hub, "as", state.device_id)
device = IoTHubDeviceClient.create_from_symmetric_key(key, state.assigned_hub, state.device_id)
device.send_message("21.5 degrees")
device.shutdown()
END"""


def hub_monitor(target: Target) -> str:
    """What devices sent, and what they send from now on."""
    return f"{target.command} hub monitor --data-directory '{target.data_directory}' --from-start"


def node_device(target: Target) -> str:
    """The key comes from the enrollment made before."""
    return f"""\
NODE_EXTRA_CA_CERTS='{target.ca_file}' DEVICE_KEY='the key printed above' node - <<'END'
const {{ ProvisioningDeviceClient }} = require('azure-iot-provisioning-device');
const {{ Http }} = require('azure-iot-provisioning-device-http');
const {{ SymmetricKeySecurityClient }} = require('azure-iot-security-symmetric-key');
const credential = new SymmetricKeySecurityClient('{DEVICE}', process.env.DEVICE_KEY);
ProvisioningDeviceClient.create('{target.host_name}', '{target.id_scope}', new Http(), credential)
  .register((problem, result) => console.log(problem ? String(problem) : result));
END"""


def c_device(target: Target) -> str:
    """Three calls of any program on the C SDK, and how it is started where OpenSSL is its TLS."""
    return f"""\
prov_dev_security_init(SECURE_DEVICE_TYPE_SYMMETRIC_KEY);
prov_dev_set_symmetric_key_info("{DEVICE}", "the key printed above");
handle = Prov_Device_LL_Create("{target.host_name}", "{target.id_scope}", Prov_Device_HTTP_Protocol);
/* then Prov_Device_LL_Register_Device as in its samples; started with: */
SSL_CERT_FILE='{target.ca_file}' ./your-device"""
