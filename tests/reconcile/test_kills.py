"""The operator is killed after each of its writes in turn; the next life brings everything to the same end."""

import pytest

from support.world import Killed, World, condition

LONGEST = 40
"""More writes than a run takes; a life that ends by itself ends the search."""


def live(world: World, after: int | None) -> bool:
    """One life of the operator, killed after so many writes; gives whether it was."""
    world.restart()
    world.transport.writes.clear()
    world.transport.after = after
    try:
        world.operator.settle()
    except Killed:
        return True
    return False


def play(world: World, kill_after: int | None) -> bool:
    """A run from its beginning to its end, with one kill; gives whether there was one."""
    killed = False

    def act() -> None:
        nonlocal killed, kill_after
        killed_now = live(world, kill_after)
        if kill_after is not None:
            kill_after -= len(world.transport.writes)
        if killed_now:
            killed, kill_after = True, None
            live(world, None)

    world.ask(duration="10s")
    act()
    run = world.run()
    world.start_agents(run)
    world.gateway.recording(run, 2)
    act()
    world.pass_time(11)
    act()
    world.gateway.deliver(run, "node1")
    world.pass_time(200)
    act()
    act()
    return killed


@pytest.mark.slow
def test_wherever_it_is_killed_the_end_is_the_same(installed, make_world):
    expected = None
    for after in (None, *range(1, LONGEST)):
        world = make_world()
        killed = play(world, after)
        status = world.run().status
        seen = (
            status.phase,
            condition(status, "Complete")["reason"],
            [(failure.node, failure.reason) for failure in status.failures],
            world.daemonsets(),
            world.events(),
            world.profile()["status"]["phase"],
            world.profile()["status"]["activeRuns"],
        )
        expected = expected or seen
        assert seen == expected, f"killed after write {after}"
        if after is not None and not killed:
            assert after > 8
            return
    raise AssertionError("a run takes more writes than expected")


@pytest.mark.slow
def test_wherever_it_is_killed_while_a_profile_goes_nothing_is_left(installed, make_world):
    for after in range(1, LONGEST):
        world = make_world()
        world.ask(duration="10s")
        world.operator.settle()
        world.start_agents(world.run())
        world.delete_profile()

        killed = live(world, after)
        live(world, None)

        assert world.daemonsets() == [], f"killed after write {after}"
        assert world.run().status.phase == "Cancelled"
        assert [event for event in world.events() if event[2] == "ProfileDeleted"] == [
            ("PerfProfile", "Normal", "ProfileDeleted"),
            ("PerfProfileRun", "Normal", "ProfileDeleted"),
        ]
        if not killed:
            return
    raise AssertionError("the end of a run takes more writes than expected")
