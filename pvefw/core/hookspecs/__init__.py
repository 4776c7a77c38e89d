"""The contracts between core and plugins: one module per family, signatures and docstrings only.

Conventions, stated once for all hooks:

* Names and zones are absolute lower-case A-labels with the final dot (``www.example.com.``).
* Durations are seconds (float), sizes are bytes (int), times are aware datetimes in UTC.
* A hook returns, or raises a :class:`~pvefw.core.errors.ProviderError`; it never returns a status.
* Repeating a call is not an error: adding what is there and removing what is gone both succeed.
* Hooks are called by keyword. A plugin declares only the arguments that it uses.
* A hook may be called from any thread, but never twice at once on the same instance, except those of
  guests and stores.
* A call has a time limit: 120 s for challenges, 300 s for DNS and observers, 60 s for catalogues and
  stores, 600 s for boot loaders; guests are given their own. What takes longer is an error of the plugin.
* Secrets of settings are masked in log lines and errors. What a plugin gets later, such as the token of a
  session, it keeps in ``field(init=False, repr=False)`` and names with ``task.secret(token)``: from then
  on it is masked, too (since 1.1; core of 1.0 knows no ``secret``, and the token stays out of both).
* Minor releases of pvefw only add: arguments, optional hooks, fields with defaults.

A plugin is a dataclass whose fields are its settings (:func:`pvefw.api.setting`) and whose methods,
marked with :data:`~pvefw.api.hookimpl`, are its hooks. An entry point in the family's group names it;
the entry point's name is what an administrator writes in the configuration.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pluggy

from pvefw import PROJECT

_Function = TypeVar("_Function", bound=Callable[..., Any])

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook of the same name."""

_hookspec = pluggy.HookspecMarker(PROJECT)


def required(function: _Function) -> _Function:
    """Mark a hook that every plugin of the family must implement."""
    return _hookspec(function, firstresult=True)


def optional(function: _Function) -> _Function:
    """Mark a hook that a plugin may leave out; the caller then gets ``None``."""
    function.pvefw_optional = True  # type: ignore[attr-defined]  # pluggy does so, too
    return _hookspec(function, firstresult=True)
