"""Settings and logs."""

import json
import logging
from pathlib import Path

import pytest

from perfprofile_gateway.config import Settings
from perfprofile_gateway.errors import ConfigurationError
from perfprofile_gateway.frontproxy import front_proxy
from perfprofile_gateway.logs import JsonFormatter
from perfprofile_gateway.text import one_line, showable


def test_the_defaults_hold_where_nothing_is_set_or_a_variable_is_empty():
    assert Settings.from_environment({"PERFPROFILE_NAMESPACE": "", "PERFPROFILE_SLOTS_PER_NODE": " "}) == Settings()


def test_variables_are_read():
    found = Settings.from_environment({"PERFPROFILE_DATA_DIR": "/data", "PERFPROFILE_SLOTS_PER_NODE": "2", "PERFPROFILE_NAMESPACE": "obs"})
    assert (found.data_dir, found.slots_per_node) == (Path("/data"), 2)
    assert found.operator_username == "system:serviceaccount:obs:perfprofile-operator"


@pytest.mark.parametrize(
    "wrong", [{"PERFPROFILE_SLOTS_PER_NODE": "0"}, {"PERFPROFILE_MAX_PROFILE_BYTES": "16Mi"}, {"PERFPROFILE_LOG_LEVEL": "loud"}]
)
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Settings.from_environment(wrong)


def test_every_setting_says_its_variable():
    """Each field's documentation starts with the variable that sets it."""
    source = Path(__import__("perfprofile_gateway.config").config.__file__).read_text()
    for name in Settings.__dataclass_fields__:
        assert f'"""PERFPROFILE_{name.upper()}:' in source


def line(message: str, **extra: object) -> dict:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "x", **extra})
    return json.loads(JsonFormatter().format(record))


def test_a_log_line_is_json_with_its_fields():
    assert line("Stored", run="uid-1")["run"] == "uid-1"


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOi.eyJpc3MiOiJr.c2lnbmF0dXJl",
        "Authorization: Bearer abc.def",
        "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_do_not_reach_a_log(secret):
    found = json.dumps(line(f"failed: {secret}", detail=secret))
    assert "(redacted)" in found
    for part in ("c2lnbmF0dXJl", "abc.def", "MHcC"):
        assert part not in found


def test_what_a_terminal_would_obey_is_made_visible():
    assert showable("a\x1b[31mb\x07\u202ec\x9b") == "a\ufffd[31mb\ufffd\ufffdc\ufffd"
    assert one_line("a\n b\tc", 4) == "a b…"


def test_an_api_server_without_an_aggregation_layer_is_said():
    with pytest.raises(ConfigurationError, match="requestheader-client-ca-file"):
        front_proxy({})
    with pytest.raises(ConfigurationError, match="requestheader-allowed-names"):
        front_proxy({"requestheader-client-ca-file": "x", "requestheader-allowed-names": "{"})
