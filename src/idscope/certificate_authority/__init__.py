"""The server's own CA and the server certificate it issues, or the operator's own files, checked; and, for tests and
small fleets, CAs and certificates of devices, in files."""

from idscope.certificate_authority.authority import AuthorityUnusable, CertificateAuthority, make_authority
from idscope.certificate_authority.files import ServerFiles, prepare_server_files
from idscope.certificate_authority.issued_files import (
    IssuedFilesUnusable,
    certificates_in,
    read_certificates,
    read_issuer,
    require_absent,
    with_key,
    write_pem,
    write_pfx,
)
from idscope.certificate_authority.issuing import (
    CannotIssue,
    Issued,
    issue_authority,
    issue_device_certificate,
    issue_verification_certificate,
    make_key,
)
from idscope.certificate_authority.operator_files import OperatorFilesUnusable, check_operator_files
from idscope.certificate_authority.server_certificate import (
    KeyKind,
    ServerCertificate,
    issue_server_certificate,
    reason_to_renew,
    server_names,
)

__all__ = [
    "AuthorityUnusable",
    "CannotIssue",
    "CertificateAuthority",
    "Issued",
    "IssuedFilesUnusable",
    "KeyKind",
    "OperatorFilesUnusable",
    "ServerCertificate",
    "ServerFiles",
    "certificates_in",
    "check_operator_files",
    "issue_authority",
    "issue_device_certificate",
    "issue_server_certificate",
    "issue_verification_certificate",
    "make_authority",
    "make_key",
    "prepare_server_files",
    "read_certificates",
    "read_issuer",
    "reason_to_renew",
    "require_absent",
    "server_names",
    "with_key",
    "write_pem",
    "write_pfx",
]
