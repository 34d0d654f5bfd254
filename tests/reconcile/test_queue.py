"""The work queue's rules."""

import asyncio

import pytest

from perfprofile_operator.reconcile.queue import LAST_BACKOFF, WorkQueue


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 10))


async def taken(queue: WorkQueue[str]) -> str | None:
    try:
        return await asyncio.wait_for(queue.take(), 0.02)
    except TimeoutError:
        return None


def test_a_key_added_twice_is_handed_out_once():
    async def scenario():
        queue = WorkQueue[str]()
        queue.add("a")
        queue.add("a")

        assert [await taken(queue), await taken(queue)] == ["a", None]

    run(scenario())


def test_a_key_added_while_it_is_worked_on_is_handed_out_again_afterwards_and_not_before():
    async def scenario():
        queue = WorkQueue[str]()
        queue.add("a")
        await queue.take()
        queue.add("a")

        assert await taken(queue) is None
        queue.done("a")
        assert await taken(queue) == "a"

    run(scenario())


def test_keys_come_in_the_order_they_were_added():
    async def scenario():
        queue = WorkQueue[str]()
        for key in "abc":
            queue.add(key)

        assert [await queue.take() for _ in range(3)] == ["a", "b", "c"]

    run(scenario())


def test_of_two_delays_the_earlier_counts():
    async def scenario():
        queue = WorkQueue[str]()
        queue.add_after("a", 0.01)
        queue.add_after("a", 100)

        assert await asyncio.wait_for(queue.take(), 5) == "a"
        queue.done("a")
        queue.add_after("a", 100)
        queue.add_after("a", 0.01)
        assert await asyncio.wait_for(queue.take(), 5) == "a"
        queue.close()

    run(scenario())


def test_a_key_added_now_is_not_handed_out_a_second_time_by_its_delay():
    async def scenario():
        queue = WorkQueue[str]()
        queue.add_after("a", 0.01)
        queue.add("a")
        assert await queue.take() == "a"
        queue.done("a")

        await asyncio.sleep(0.03)
        assert len(queue) == 0

    run(scenario())


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_failures_delay_a_key_longer_and_longer_up_to_a_limit(jitter):
    async def scenario():
        queue = WorkQueue[str](jitter=lambda: jitter)
        delays = []
        for _ in range(12):
            queue.add("a")
            delays.append(queue.failed(await queue.take()))

        assert delays == sorted(delays)
        assert delays[0] == 0.5 * (0.5 + jitter / 2)
        assert delays[-1] == LAST_BACKOFF * (0.5 + jitter / 2)
        queue.add("a")
        queue.done(await queue.take())
        queue.add("a")
        assert queue.failed(await queue.take()) == delays[0]
        assert queue.failed("b", at_least=100) == 100
        queue.close()

    run(scenario())


def test_two_workers_never_have_the_same_key():
    async def scenario():
        queue = WorkQueue[int]()
        working: set[int] = set()
        seen = 0

        async def work():
            nonlocal seen
            while True:
                key = await queue.take()
                assert key not in working
                working.add(key)
                await asyncio.sleep(0)
                working.discard(key)
                seen += 1
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for number in range(1000):
            queue.add(number % 7)
            if number % 3 == 0:
                await asyncio.sleep(0)
        while len(queue):  # noqa: ASYNC110 - the queue tells nobody that it is empty
            await asyncio.sleep(0.001)
        for worker in workers:
            assert not worker.done() or worker.exception() is None
            worker.cancel()
        assert seen >= 7

    run(scenario())
