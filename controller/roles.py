"""The roles of tokens at the controller's interface: one table, of which refusals speak too."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """The role that a person or a program is given a token for."""

    VIEW = "view"
    LABELS = "labels"
    PROPOSE = "propose"
    ROLLBACK = "rollback"
    ADMIN = "admin"


REPLICA: Final = "replica"
"""Of a running replica, made with it, for its own model and version. Nobody is given it by hand, an admin neither."""

ANY: Final = "*"
"""In the place of a token's model and version: of any replica of the installation, as on a cluster, where they share
one. No model and no version can be called so."""


class Deed(StrEnum):
    """The deed that may be asked for, in the words of a refusal."""

    READ = "reading releases and freezes"
    PREDICT = "sending predictions"
    LABEL = "sending labels"
    ASK_LABELS = "asking for requests to label, with their texts"
    START = "starting a release"
    REPLACE = "replacing a stable version that is down"
    ABORT = "aborting a release"
    ROLL_BACK = "rolling back"
    FREEZE = "freezing"
    RESUME = "resuming a held or paused release"
    PAUSE = "pausing a release"
    PROMOTE = "taking a release to its next step"
    UNFREEZE = "lifting a freeze"


MAY: Final[Mapping[Deed, tuple[str, ...]]] = {
    Deed.READ: (Role.VIEW, Role.PROPOSE, Role.ROLLBACK, Role.ADMIN),
    Deed.PREDICT: (REPLICA,),
    Deed.LABEL: (Role.LABELS, Role.ADMIN),
    Deed.ASK_LABELS: (Role.LABELS, Role.ADMIN),
    Deed.START: (Role.PROPOSE, Role.ADMIN),
    Deed.REPLACE: (Role.ADMIN,),
    Deed.ABORT: (Role.ROLLBACK, Role.ADMIN),
    Deed.ROLL_BACK: (Role.ROLLBACK, Role.ADMIN),
    Deed.FREEZE: (Role.ROLLBACK, Role.ADMIN),
    Deed.RESUME: (Role.ADMIN,),
    Deed.PAUSE: (Role.ROLLBACK, Role.ADMIN),
    Deed.PROMOTE: (Role.ADMIN,),
    Deed.UNFREEZE: (Role.ADMIN,),
}
"""Who may do what. ``rollback`` may what sends traffic back or keeps it where it is, and nothing that exposes more."""


def may(roles: Iterable[str], deed: Deed) -> bool:
    return not set(MAY[deed]).isdisjoint(roles)


def way_in(deed: Deed) -> str:
    """Return how somebody comes to be allowed it, as the end of a sentence."""
    role = MAY[deed][0]
    if role == REPLICA:
        return "only a running replica may, for its own answers and with the token that it was started with"
    return f"`serin token create --role {role} --name NAME` makes a token for it"
