"""The workers go on whatever a reconcile does."""

import asyncio
import logging
from datetime import timedelta

from perfprofile_cluster.errors import ClusterError
from perfprofile_operator.reconcile.controller import Controller
from perfprofile_operator.reconcile.work import DONE, Key, Outcome, Work


def reconcilers(calls, **special):
    def default(key):
        calls.append(key)
        return DONE

    return {work: special.get(work.value, default) for work in Work}


def play(controller, act):
    async def scenario():
        await controller.start()
        try:
            await act()
        finally:
            await controller.stop()

    asyncio.run(asyncio.wait_for(scenario(), 20))


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for happens in threads and knows no event
        await asyncio.sleep(0.005)


def test_certificates_come_first():
    calls = []
    controller = Controller(reconcilers(calls), workers=2)

    play(controller, lambda: until(lambda: len(calls) == 3))

    assert calls[0] == Key(Work.CERTIFICATES)
    assert set(calls[1:]) == {Key(Work.RESYNC), Key(Work.SWEEP)}


def test_a_bug_with_one_object_does_not_stop_the_others(caplog):
    calls = []

    def broken(key):
        calls.append(key)
        raise ZeroDivisionError

    controller = Controller(reconcilers(calls, run=broken), workers=1)

    async def act():
        controller.wake(Key(Work.RUN, "a", "b"))
        controller.wake(Key(Work.PROFILE, "a", "b"))
        await until(lambda: Key(Work.PROFILE, "a", "b") in calls and calls.count(Key(Work.RUN, "a", "b")) >= 2)
        assert not controller.failed

    play(controller, act)
    assert "Could not reconcile run a/b" in caplog.text


def test_an_api_error_is_tried_again_without_a_traceback(caplog):
    calls = []

    def refused(key):
        calls.append(key)
        if len(calls) < 3:
            raise ClusterError(503, "ServiceUnavailable", "etcd is away")
        return DONE

    controller = Controller(reconcilers([], profile=refused), workers=1)

    async def act():
        controller.wake(Key(Work.PROFILE, "a", "b"))
        await until(lambda: len(calls) == 3)

    with caplog.at_level(logging.INFO):
        play(controller, act)
    assert "etcd is away" in caplog.text
    assert "Traceback" not in caplog.text


def test_an_outcome_wakes_others_and_itself_later():
    calls = []

    def again(key):
        calls.append(key)
        return Outcome(again=timedelta(seconds=0.01), wake=(Key(Work.RUN, "a", "r"),))

    controller = Controller(reconcilers(calls, profile=again), workers=2)

    async def act():
        controller.wake(Key(Work.PROFILE, "a", "p"))
        await until(lambda: calls.count(Key(Work.PROFILE, "a", "p")) >= 3 and Key(Work.RUN, "a", "r") in calls)

    play(controller, act)


def test_waking_before_the_start_and_after_the_end_is_harmless():
    controller = Controller(reconcilers([]), workers=1)
    controller.wake(Key(Work.RUN, "a", "b"))

    play(controller, lambda: asyncio.sleep(0))

    controller.wake(Key(Work.RUN, "a", "b"))
