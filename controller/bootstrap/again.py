"""The version that serves, registered under another number, for a release of it with other settings."""

from controller.config.settings import Home
from controller.errors import UsageError
from controller.ports.registry import CHAMPION


def registered_again(home: Home, model: str) -> tuple[str, str]:
    """The number of the version that serves, and that of the new version, which has its files.

    Raises:
        UsageError: none serves, by the registry's alias.
        TransientError: the registry does not answer.
    """
    from controller.adapters.mlflow.registry import MlflowRegistry  # not every status needs it

    registry = MlflowRegistry(home.load().registry)
    champion = registry.aliases(model).get(CHAMPION)
    if champion is None:
        raise UsageError(f"no version of {model} serves yet: start a release of one")
    return champion, registry.register_again(model, champion).version
