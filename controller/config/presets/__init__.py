"""Policies to begin with, for services that the defaults are not made for."""

from enum import StrEnum
from importlib.resources import files

from controller.naming import model_named

_MODEL = "MODEL"


class Preset(StrEnum):
    """The policies that there are; each is a file here."""

    LOW_TRAFFIC = "low-traffic"


def preset_text(preset: Preset, model: str) -> str:
    """The preset as a policy file for the model, with its comments. Raises UsageError where no model is called so."""
    text = files(__package__).joinpath(f"{preset}.yaml").read_text(encoding="utf-8")
    return text.replace(f"model: {_MODEL}\n", f"model: {model_named(model)}\n")
