"""The filters that every request passes before it is routed: Envoy gives it a single id, and turns strangers away.

All of it by filters of Envoy's own. A Lua script could do the same; it costs a request three times as much, and when it
fails, Envoy lets the request through.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from controller.errors import UsageError
from serving.contract import REQUEST_ID_HEADER, USABLE_REQUEST_ID

TYPE: Final = "type.googleapis.com/envoy"
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")

_NAME: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_ANY_PORT: Final = r"(:[0-9]{1,5})?"
_FORBIDDEN: Final = 403
_REFUSAL: Final = {
    "error": {
        "code": "stranger",
        "message": "the Host of this request is not one of this gateway's, or a web page of another origin sent "
        "it: use 127.0.0.1, or name the host in gateway_hosts in settings.json",
    }
}


def usable_request_id() -> dict[str, Any]:
    """Keeps a caller's request id that every part of Serin can carry, and replaces any other.

    Before the request is copied, so that both versions, the answer's header and its body say the same.
    """
    header = {"key": REQUEST_ID_HEADER, "value": "%UNIQUE_ID%"}
    mutation = {
        "@type": f"{TYPE}.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {
            "request_mutations": [{"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]
        },
    }
    replace = {
        "@type": f"{TYPE}.extensions.filters.http.composite.v3.ExecuteFilterAction",
        "typed_config": {"name": "new-request-id", "typed_config": mutation},
    }
    given = {
        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
        "header_name": REQUEST_ID_HEADER,
    }
    usable = {
        "input": {"name": "given-request-id", "typed_config": given},
        "value_match": {"safe_regex": {"google_re2": {}, "regex": USABLE_REQUEST_ID}},
    }
    otherwise = {
        "predicate": {"not_matcher": {"single_predicate": usable}},
        "on_match": {"action": {"name": "replace", "typed_config": replace}},
    }
    composite = {"@type": f"{TYPE}.extensions.filters.http.composite.v3.Composite"}
    return {
        "name": "request-id",
        "typed_config": {
            "@type": f"{TYPE}.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "composite", "typed_config": composite},
            "xds_matcher": {"matcher_list": {"matchers": [otherwise]}},
        },
    }


def no_strangers(port: int, hosts: Iterable[str]) -> dict[str, Any]:
    """Lets through requests that are meant for this gateway, by a loopback name or one of ``hosts``, and that no page
    of another origin sent.

    A page whose name its owner points at this machine (DNS rebinding) cannot choose the Host that its browser sends. A
    page that posts here has its Origin sent along, and one that only fetches, where it stands to us.

    Raises: UsageError: a name is not a host, with or without a port.
    """
    names = [_pattern(name) for name in hosts]
    own = "|".join(re.escape(name) for name in LOOPBACK_NAMES)
    meant = _header(":authority", "|".join([f"({own}){_ANY_PORT}", *names]))
    from_us = _header("origin", f"https?://({'|'.join([f'({own}):{port}', *names])})")
    from_a_page = {"header": {"name": "origin", "present_match": True}}
    across = _header("sec-fetch-site", "cross-site|same-site")
    alone = {"and_ids": {"ids": [{"not_id": from_a_page}, {"not_id": across}]}}
    known = {"and_ids": {"ids": [meant, {"or_ids": {"ids": [from_us, alone]}}]}}
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{TYPE}.extensions.filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "ALLOW",
                "policies": {"known": {"permissions": [{"any": True}], "principals": [known]}},
            },
        },
    }


def refusals() -> dict[str, Any]:
    """Return what a stranger is told, in the form of every other error. A replica's own 403 is passed on unchanged."""
    is_refusal = {"status_code_filter": {"comparison": {"op": "EQ", "value": _runtime(_FORBIDDEN)}}}
    told = {"filter": is_refusal, "body_format_override": {"json_format": _REFUSAL}}
    return {"mappers": [told]}


def router() -> dict[str, Any]:
    """The last filter of every chain."""
    config = {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    return {"name": "envoy.filters.http.router", "typed_config": config}


def _runtime(value: int) -> dict[str, Any]:
    return {"default_value": value, "runtime_key": "serin.never_set"}


def _header(name: str, regex: str) -> dict[str, Any]:
    return {"header": {"name": name, "string_match": {"safe_regex": {"regex": f"(?i)({regex})"}}}}


def _pattern(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"gateway_hosts: {json.dumps(name)} is neither a host nor a host with a port")
    return re.escape(name) if match[2] else re.escape(name) + _ANY_PORT
