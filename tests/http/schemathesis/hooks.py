"""Puts names of things that exist in place of made-up ones, in about half of all valid requests.

Made-up ids alone would meet nothing but "not found". Invalid requests are sent as they were made.
"""

import json
import os
import zlib

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

KNOWN = json.loads(os.environ.get("STOCKADE_KNOWN", "{}"))
FIELDS = {
    "sku_id": ["42", "43"],
    "activity_id": ["9", "10"],
    "from_activity_id": ["9"],
    "to_activity_id": ["9", "10"],
    "member_id": ["7"],
    "terms_id": ["5"],
    "freight_id": ["1"],
    "provider": ["shop"],
    "id": KNOWN.get("id", []) + KNOWN.get("team", []),
    "topic": KNOWN.get("topic", []),
    "refund_no": KNOWN.get("refund_no", []),
    "order_no": KNOWN.get("order_no", []),
    "order": KNOWN.get("order_no", []),
}


def known(name, value):
    """A name that exists, or the value itself: always the same for the same value, so that failures can be repeated."""
    names = FIELDS.get(name)
    chance = zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode())
    if not names or not isinstance(value, (str, int)) or isinstance(value, bool) or chance % 2:
        return value
    return names[chance // 2 % len(names)]


def replaced(value):
    if isinstance(value, dict):
        return {name: known(name, replaced(inner)) for name, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner) for inner in value]
    return value


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """The order twice, one a line."""
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return line + b"\n" + line


def bounded_wait(body):
    """Nobody waits for tasks or events longer than a moment."""
    for name in ("timeout_ms", "wait_ms"):
        if isinstance(body, dict) and isinstance(body.get(name), int):
            body[name] %= 20
    return body


def pulled(body):
    """No made-up host is connected to: subscriptions are pulled, whatever else they are."""
    if isinstance(body, dict) and isinstance(body.get("spec"), dict):
        body["spec"]["sink"] = {"kind": "pull"}
    return body


def subscription(case):
    """A subscription that exists, for the operations that don't end it."""
    if case.path.startswith("/gateway/"):
        return "polled"
    return "erp" if case.method != "DELETE" else case.path_parameters["name"]


def is_positive(case, location):
    info = case.meta.components.get(location)
    return info is None or info.mode == GenerationMode.POSITIVE


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    if case.meta.generation.mode == GenerationMode.POSITIVE:
        # What is set is validated again, and a path in its escaped form, which may be too long: so only where it changes.
        parts = replaced(dict(case.path_parameters or {}))
        if "name" in parts:
            parts["name"] = subscription(case)
        if parts != (case.path_parameters or {}):
            case.path_parameters = parts
        if isinstance(case.body, (dict, list)):
            case.body = pulled(bounded_wait(replaced(case.body)))
        if isinstance((case.query or {}).get("wait_ms"), int):
            case.query = bounded_wait(dict(case.query))
    elif not is_positive(case, ParameterLocation.PATH):
        # Almost any text is a topic, and one that is too long in its escaped form need not be: this one is. Names that no
        # subscription has are refused as such.
        for name in {"topic", "name"} & set(case.path_parameters or {}):
            case.path_parameters = {**case.path_parameters, name: "t" * 65}
