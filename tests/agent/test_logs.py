"""Log lines as JSON."""

import json
import logging
import sys

from perfprofile_agent.agent.logs import JsonFormatter


def line(**extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "agent", "levelname": "INFO", "levelno": 20, "msg": "state %s", "args": ("Done",), **extra})
    record.created, record.msecs = 1_700_000_000.25, 250.0
    return json.loads(JsonFormatter().format(record))


def test_a_line_is_one_object_with_its_fields() -> None:
    assert line(window=3) == {"time": "2023-11-14T22:13:20.250Z", "level": "info", "logger": "agent", "message": "state Done", "window": 3}


def test_a_traceback_stays_in_the_line() -> None:
    try:
        1 / 0  # noqa: B018 - for its traceback
    except ZeroDivisionError:
        found = line(exc_info=sys.exc_info())

    assert "ZeroDivisionError" in str(found["traceback"])


def test_hostile_text_cannot_begin_a_new_line() -> None:
    record = logging.makeLogRecord({"msg": 'x\n{"level": "forged"}\x1b[31m'})

    assert "\n" not in JsonFormatter().format(record)
    assert "\x1b" not in JsonFormatter().format(record)
