"""The server's own CA and the server certificate it issues, or the operator's own files, checked."""

from idscope.certificate_authority.authority import AuthorityUnusable, CertificateAuthority, make_authority
from idscope.certificate_authority.files import ServerFiles, prepare_server_files
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
    "CertificateAuthority",
    "KeyKind",
    "OperatorFilesUnusable",
    "ServerCertificate",
    "ServerFiles",
    "check_operator_files",
    "issue_server_certificate",
    "make_authority",
    "prepare_server_files",
    "reason_to_renew",
    "server_names",
]
