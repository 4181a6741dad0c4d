"""What MLflow lets through, and in which words it refuses the rest.

Limits and texts are those of MLflow 3.17, since clients and their tests match them.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from functools import lru_cache

from millwright.server.mlflow.errors import invalid

MAX_PARAMS_OR_TAGS = 100
MAX_METRICS = 1000
MAX_ENTITIES = 1000
MAX_BATCH_BYTES = 1_000_000
MAX_PARAM_CHARS = 6000
MAX_TAG_CHARS = 8000
MAX_KEY_CHARS = 250
MAX_EXPERIMENT_NAME_CHARS = 500
MAX_EXPERIMENT_TAG_CHARS = 20_000
MAX_MODEL_TAG_CHARS = 100_000
MAX_ALIAS_CHARS = 255
MAX_DATASET_NAME_CHARS = 500
MAX_DATASET_DIGEST_CHARS = 36
MAX_DATASET_SCHEMA_CHARS = 1_048_575
MAX_DATASET_SOURCE_CHARS = 65_535
MAX_DATASET_PROFILE_CHARS = 16_777_215
MAX_INPUT_TAG_KEY_CHARS = 255
MAX_INPUT_TAG_CHARS = 500

LARGEST = 1.7976931348623157e308
"""As what MLflow keeps an infinite value."""

_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_KEY = re.compile(r"[/\w.\- :]*")
_ALIAS = re.compile(r"[\w\-]*")
_VERSION_ALIAS = re.compile(r"[vV]\d+")


def check_run_id(run_id: str) -> str:
    """Return `run_id` when it could be one."""
    if not _RUN_ID.fullmatch(run_id):
        raise invalid(bad_value("run_id", run_id))
    return run_id


def check_key(name: str | None, path: str = "key") -> str:
    """Return a key of a metric, parameter or tag."""
    if name is None:
        raise invalid(missing_value(path))
    # The cache keeps what it is asked, and a key that is too long may be as long as a body.
    fault = (_known_fault if len(name) <= MAX_KEY_CHARS else _fault_of_key)(name)
    if fault:
        raise invalid(bad_value(path, name, fault))
    return name


def _fault_of_key(name: str) -> str:
    if not _KEY.fullmatch(name):
        return (
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.),"
            " spaces ( ), colon(:) and slashes (/)."
        )
    return _elsewhere(name) if _resolves_elsewhere(name) else ""


_known_fault = lru_cache(maxsize=16_384)(_fault_of_key)


def check_length(noun: str, limit: int, text: str) -> str:
    """Return a text that is short enough."""
    if len(text) > limit:
        raise invalid(f"'{noun}' exceeds the maximum length of {limit} characters")
    return text


def check_metric(key: str | None, value: object, timestamp: object, step: object, at: str) -> float:
    """Return a metric's value, an infinite one as the largest there is."""
    if (
        type(value) is float
        and type(timestamp) is int
        and type(step) is int
        and timestamp >= 0
        and math.isfinite(value)
        and key is not None
        and len(key) <= MAX_KEY_CHARS
        and not _known_fault(key)
    ):
        # A batch has a thousand, and nearly always all is as it should be.
        return value
    check_key(key, _joined(at, "name"))
    if value is None:
        raise invalid(missing_value(_joined(at, "value")))
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        number = None
    if number is None or isinstance(value, bool):
        raise invalid(
            bad_value(
                _joined(at, "value"),
                value,
                f"(timestamp={timestamp}). "
                "Please specify value as a valid double (64-bit floating point)",
            )
        )
    if not isinstance(timestamp, int) or timestamp < 0:
        raise invalid(
            bad_value(
                _joined(at, "timestamp"),
                timestamp,
                f"metric '{key}' (value={number}). "
                "Timestamp must be a nonnegative long (64-bit integer) ",
            )
        )
    if not isinstance(step, int):
        raise invalid(
            bad_value(
                _joined(at, "step"),
                step,
                f"metric '{key}' (value={number}). Step must be a valid long (64-bit integer).",
            )
        )
    check_length("Metric name", MAX_KEY_CHARS, key or "")
    if math.isinf(number):
        return LARGEST if number > 0 else -LARGEST
    return number


def check_param(key: str | None, value: str, at: str = "") -> tuple[str, str]:
    """Return key and value of a parameter, a value that is too long cut off as MLflow does."""
    name = check_key(key, _joined(at, "key"))
    return check_length("Param key", MAX_KEY_CHARS, name), value[:MAX_PARAM_CHARS]


def check_tag(key: str | None, value: str, at: str = "") -> tuple[str, str]:
    """Return key and value of a run's tag, a value that is too long cut off as MLflow does."""
    name = check_key(key, _joined(at, "key"))
    return check_length(_joined(at, "key"), MAX_KEY_CHARS, name), value[:MAX_TAG_CHARS]


def check_experiment_tag(key: str | None, value: str) -> tuple[str, str]:
    """Return key and value of an experiment's tag."""
    name = check_length("key", MAX_KEY_CHARS, check_key(key))
    return name, check_length("value", MAX_EXPERIMENT_TAG_CHARS, value)


def check_model_tag(key: str | None, value: str | None) -> tuple[str, str]:
    """Return key and value of a tag in the registry."""
    if not key:
        raise invalid(required("key"))
    name = check_length("key", MAX_KEY_CHARS, check_key(key))
    return name, check_length("value", MAX_MODEL_TAG_CHARS, value or "")


def check_batch(metrics: int, params: int, tags: int) -> None:
    """Return when a batch is not too large."""
    for noun, limit, count in (
        ("metrics", MAX_METRICS, metrics),
        ("params", MAX_PARAMS_OR_TAGS, params),
        ("tags", MAX_PARAMS_OR_TAGS, tags),
        ("metrics, params, and tags", MAX_ENTITIES, metrics + params + tags),
    ):
        if count > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {noun}. "
                f"Got {count} {noun}. Please split up {noun} across multiple"
                " requests and try again."
            )


def check_batch_bytes(size_bytes: int) -> None:
    """Return when a batch's request is not too long."""
    if size_bytes > MAX_BATCH_BYTES:
        raise invalid(
            f"Batched logging API requests must be at most {MAX_BATCH_BYTES} bytes, got a "
            f"request of size {size_bytes}."
        )


def check_experiment_name(name: str) -> str:
    """Return what can be the name of an experiment."""
    if not name:
        raise invalid(f"Invalid experiment name: '{name}'")
    return check_length("name", MAX_EXPERIMENT_NAME_CHARS, name)


def parse_experiment_id(text: str) -> int:
    """Return the number that an experiment's id is."""
    if not re.fullmatch(r"[-+]?\d{1,18}", text):
        raise invalid(f"Invalid experiment ID '{text}'. Experiment ID must be a valid integer.")
    return int(text)


def check_model_name(name: str | None, noun: str = "name") -> str:
    """Return what can be the name of a registered model."""
    if name is None or not name.strip():
        raise invalid(required(noun))
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    if _resolves_elsewhere(name):
        raise invalid(bad_value("name", name, _elsewhere(name)))
    return name


def check_alias(alias: str | None) -> str:
    """Return what can be the alias of a version."""
    if not alias:
        raise invalid("Registered model alias name cannot be empty.")
    if not _ALIAS.fullmatch(alias):
        raise invalid(
            f"Invalid alias name: '{alias}'. "
            "Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )
    check_length("Registered model alias name", MAX_ALIAS_CHARS, alias)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.fullmatch(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")
    return alias


def parse_version(text: str | int | None) -> int:
    """Return the number that a version is."""
    if text is None or text == "":
        raise invalid(required("version"))
    if isinstance(text, int):
        return text
    if not re.fullmatch(r"\d{1,18}", text):
        raise invalid(f"Parameter 'version' must be an integer, got '{text}'.")
    return int(text)


def check_max_results(number: int, limit: int) -> None:
    """Return when a page of the registry may hold so many; raises MlflowError."""
    if number < 1:
        raise invalid(
            f"Invalid value for max_results. It must be a positive integer, but got {number}"
        )
    if number > limit:
        raise invalid(
            "Invalid value for request parameter max_results. It must be at most "
            f"{limit}, but got value {number}"
        )


def bad_value(path: str, value: object, why: str = "") -> str:
    """Return MLflow's words for a value that cannot be."""
    spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return f"Invalid value {spelled} for parameter '{path}' supplied" + (f": {why}" if why else ".")


def missing_value(path: str) -> str:
    """Return MLflow's words for a parameter that is not there."""
    return f"Missing value for required parameter '{path}'."


def required(path: str) -> str:
    """Return MLflow's words for a parameter that a request must have."""
    return f"{missing_value(path)} See the API docs for more information about request parameters."


def _resolves_elsewhere(name: str) -> bool:
    plain = posixpath.normpath(name)
    return plain != name or plain == "." or plain.startswith(("..", "/"))


def _elsewhere(name: str) -> str:
    return (
        "Names may be treated as files in certain cases, and must not resolve to other names"
        f" when treated as such. This name would resolve to {posixpath.normpath(name)!r}"
    )


def _joined(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
