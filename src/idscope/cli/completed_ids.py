"""Owns the completion of ids of enrollments in a shell: it asks the running server. It must not fail: a shell that
completes has no place for a message."""

from __future__ import annotations

from collections.abc import Callable

import click
import msgspec
from click.shell_completion import CompletionItem

from idscope.cli.enrollment_kinds import EnrollmentKind
from idscope.cli.provisioning_service import ProvisioningService

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def ids_of(kind: EnrollmentKind) -> Completion:
    """Offers what begins with what was typed, of the first page."""

    def offered(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        del parameter
        which = {name: context.params.get(name) for name in ("url", "token", "ca_file", "data_directory")}
        try:
            with context.scope():
                service = ProvisioningService(context.params.get("service"), which)
                page = next(service.pages(f"{kind.path}/query", "SELECT *", None))
        except click.ClickException:
            return []
        ids = (msgspec.json.decode(one)[kind.id_member] for one in page)
        return [CompletionItem(one) for one in ids if one.lower().startswith(begun.lower())]

    return offered
