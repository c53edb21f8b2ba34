"""Who may do what: tokens with the rules of a Role, and a record of which of them were used."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.kubernetes.errors import ApiError


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that was done, as RBAC names it. ``resource`` has its subresource: ``deployments/scale``."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(slots=True)
class Account:
    """Who a token stands for. ``rules`` are a Role's, good in ``namespace`` (empty: everywhere); None allows all."""

    user: str
    rules: Sequence[Mapping[str, Any]] | None = None
    namespace: str = ""
    done: list[Access] = field(default_factory=list)  # what was allowed
    refused: list[Access] = field(default_factory=list)

    def unused(self) -> list[tuple[str, str, str]]:
        """The verbs that the rules give and that nobody needed: group, resource, verb."""
        given = {
            (group, resource, verb)
            for rule in self.rules or ()
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        return sorted(given - {(one.group, one.resource, one.verb) for one in self.done})


class Rights:
    """The accounts by token. Any thread may ask."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()

    def give(self, token: str, account: Account) -> Account:
        """Let this token stand for the account."""
        self._accounts[token] = account
        return account

    def check(self, authorization: str | None, access: Access) -> Account:
        """The account that asks.

        Raises:
            ApiError: 401 without a known token, 403 where no rule allows it.
        """
        account = self._accounts.get((authorization or "").removeprefix("Bearer "))
        if account is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        allowed = account.rules is None or (
            account.namespace in ("", access.namespace) and any(_allows(rule, access) for rule in account.rules)
        )
        with self._lock:
            (account.done if allowed else account.refused).append(access)
        if not allowed:
            raise _forbidden(account.user, access)
        return account


def _allows(rule: Mapping[str, Any], access: Access) -> bool:
    names = rule.get("resourceNames")
    return (
        access.group in rule["apiGroups"]
        and access.resource in rule["resources"]
        and access.verb in rule["verbs"]
        and (not names or access.name in names)
    )


def _forbidden(user: str, access: Access) -> ApiError:
    plural = access.resource.partition("/")[0]
    resource = f"{plural}.{access.group}" if access.group else plural
    where = f' in the namespace "{access.namespace}"' if access.namespace else " at the cluster scope"
    said = f'User "{user}" cannot {access.verb} resource "{access.resource}" in API group "{access.group}"{where}'
    return ApiError(403, "Forbidden", f'{resource} "{access.name}" is forbidden: {said}')
