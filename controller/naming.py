"""The rule for names, which is `serving.contract`'s, told as an error of the controller's. Standard library only."""

from collections.abc import Iterable

from controller.errors import UsageError
from serving import contract


def model_named(name: str) -> str:
    """The name, if a model may be called so. Raises UsageError with the way out."""
    try:
        return contract.check_model_name(name)
    except contract.NameRefusedError as error:
        raise UsageError(str(error)) from None


def version_named(version: str) -> str:
    """The version, if one may be called so. Raises UsageError with the way out."""
    try:
        return contract.check_version(version)
    except contract.NameRefusedError as error:
        raise UsageError(str(error)) from None


def deployment_named(model: str, version: str) -> str:
    """The deployment's name, as `serving.contract.deployed` takes it apart again.

    Raises:
        UsageError: model or version cannot be called so.
    """
    return contract.deployment_name(model_named(model), version_named(version))


def check_distinct(model: str, others: Iterable[str]) -> None:
    """Two models whose names differ in case only would share files on some systems, and rows in some databases.

    Raises:
        UsageError: naming the other one.
    """
    alike = next((other for other in others if other != model and other.lower() == model.lower()), None)
    if alike is not None:
        raise UsageError(f"model {model!r} differs only in case from {alike!r}, which is here already: rename one")
