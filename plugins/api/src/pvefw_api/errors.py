"""What the API refuses, in the form that clients of Proxmox VE read."""

from collections.abc import Mapping

import click

from pvefw.core.errors import NotFound, PvefwError, UsageError

BAD_PARAMETERS, FAILED, NOT_IMPLEMENTED = 400, 500, 501
_VERIFICATION = "Parameter verification failed."
_ABSENT = ("does not exist", "not defined", "not found", "no such")
"""Clients decide by these words whether a thing is absent; Proxmox VE has no status for that."""


class ApiError(PvefwError):
    """A call that was refused or failed.

    :param status: as HTTP has it: 400 for parameters, 501 for unknown paths, 500 for all else.
    :param errors: what is wrong, by parameter; never empty, as some clients read nothing else.
    """

    def __init__(
        self, status: int, message: str, errors: Mapping[str, str] | None = None, *, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.errors = dict(errors or {"message": message})

    def as_dict(self) -> dict[str, object]:
        """The answer's body."""
        return {"data": None, "message": f"{self.message}\n", "errors": self.errors}


def bad_parameters(errors: Mapping[str, str]) -> ApiError:
    """Parameters that do not fit their schema."""
    return ApiError(BAD_PARAMETERS, _VERIFICATION, errors)


def not_implemented(method: str, path: str) -> ApiError:
    """A path that is not in the table."""
    return ApiError(
        NOT_IMPLEMENTED,
        f"Method '{method} {path}' not implemented",
        hint="See what there is: pvefw api ls /",
    )


def from_core(error: PvefwError, absent: str = "") -> ApiError:
    """What a layer of pvefw raised.

    :param absent: how Proxmox VE says that the one in the path is not there: some clients take no other
        words for it. Empty where it has none of its own.
    """
    if isinstance(error, ApiError):
        return error
    message = error.message
    if isinstance(error, UsageError):
        return ApiError(BAD_PARAMETERS, _VERIFICATION, {"message": message}, hint=error.hint)
    if isinstance(error, NotFound) and absent and absent not in message:
        message = f"{absent} ({message})"
    elif isinstance(error, NotFound) and not any(word in message for word in _ABSENT):
        message = f"{message} (not found)"
    return ApiError(FAILED, message, hint=error.hint)


def from_click(error: click.UsageError) -> ApiError:
    """What a command's own check of its options raised."""
    parameter = getattr(error, "param", None)
    name = parameter.opts[0].lstrip("-") if parameter is not None else "message"
    return bad_parameters({name: error.message})
