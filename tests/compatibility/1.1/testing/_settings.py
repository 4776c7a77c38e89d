"""What every kit says of a plugin's settings."""

import dataclasses

from pvefw import seam


def check_help(plugin: object) -> None:
    """Every setting says what it is for."""
    for info in seam.declared_settings(type(plugin)):
        assert info.help, f"the setting {info.key} has no help: declare it with setting(help=…)"


def check_secrets(plugin: object) -> None:
    """``repr`` may appear in any log."""
    fields = [field_ for field_ in dataclasses.fields(plugin) if field_.init]  # type: ignore[arg-type]  # plugins are dataclasses
    for info, field in zip(seam.declared_settings(type(plugin)), fields, strict=True):
        value = str(getattr(plugin, field.name) or "")
        if info.secret and value:
            assert value not in repr(plugin), (
                f"repr() shows the setting {info.key}, a secret: leave repr to @dataclass and declare "
                "the field with setting(secret=True)"
            )


def values_of(plugin: object) -> set[str]:
    """The values of all settings."""
    if not dataclasses.is_dataclass(plugin):
        return set()
    return {
        str(getattr(plugin, field_.name)) for field_ in dataclasses.fields(plugin) if field_.init
    }
