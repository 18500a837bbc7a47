# SPDX-License-Identifier: Apache-2.0
"""The keeper of simulated time: who waits for whom."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_sim.clock import LOST_AFTER_S, PERSON, TimeKeeper, token


def ask(keeper: TimeKeeper, who: str, wake_s: float, now_s: float = 0.0, **more) -> None:
    keeper.request(who, f"{who}-1", keeper.last.number, wake_s, now_s, **more)


def test_time_goes_to_the_earliest_wake_up_when_all_have_answered():
    keeper = TimeKeeper()
    ask(keeper, "a", 10.0)
    ask(keeper, "b", 7.0)
    grant, _ = keeper.plan(0.0)
    assert grant.time_s == 7.0
    assert keeper.plan(0.0)[0] is None
    ask(keeper, "b", math.inf)
    assert keeper.plan(0.0)[0] is None
    ask(keeper, "a", 10.0)
    assert keeper.plan(0.0)[0].time_s == 10.0


def test_a_message_in_flight_holds_time_until_it_is_taken():
    keeper, goal = TimeKeeper(), token("a", "b", "goal")
    ask(keeper, "b", 9.0)
    ask(keeper, "a", 5.0, owed=[goal])
    assert keeper.plan(0.0)[0] is None
    assert goal in " ".join(keeper.waiting_for())
    ask(keeper, "b", 9.0, taken=[goal])
    assert keeper.plan(0.0)[0].time_s == 5.0


def test_a_message_may_be_taken_before_its_sender_has_spoken():
    keeper, goal = TimeKeeper(), token("a", "b", "goal")
    ask(keeper, "b", 9.0, taken=[goal])
    ask(keeper, "a", 5.0, owed=[goal])
    assert keeper.plan(0.0)[0].time_s == 5.0


def test_messages_of_a_lost_participant_hold_nothing():
    keeper = TimeKeeper()
    ask(keeper, "b", 9.0)
    ask(keeper, "a", 5.0, owed=[token("a", "b", "goal")])
    keeper.request("b", "b-2", keeper.last.number, 7.0, 1.0)
    assert keeper.plan(1.0)[0].time_s == 5.0


def test_the_plants_own_messages_hold_time_too():
    keeper, frame = TimeKeeper(), token("plant", "vision_qc", "frame:1")
    assert not keeper.owe(frame)
    ask(keeper, "vision_qc", 5.0)
    assert keeper.owe(frame)
    assert keeper.plan(0.0)[0] is None
    keeper.settle(frame)
    assert keeper.plan(0.0)[0].time_s == 5.0


def test_a_question_to_a_person_holds_time_at_full_speed_and_at_no_other():
    keeper, question = TimeKeeper(), token("a", PERSON, "K1/thaw")
    ask(keeper, "a", 5.0, owed=[question])
    ask(keeper, "b", 3600.0)
    assert keeper.plan(0.0)[0] is None
    keeper.speed = 3600.0
    assert keeper.plan(0.0)[0] is None
    assert keeper.plan(1.0)[0].time_s == 5.0
    keeper.speed = math.inf
    ask(keeper, "a", 60.0)
    ask(keeper, "b", 3600.0)
    assert keeper.plan(100.0)[0] is None
    ask(keeper, "a", 60.0, taken=[question])
    assert keeper.plan(100.0)[0].time_s == 60.0


def test_whoever_asked_and_died_asks_again():
    keeper = TimeKeeper()
    ask(keeper, "a", 5.0, owed=[token("a", PERSON, "K1/thaw")])
    keeper.request("a", "a-2", keeper.last.number, 5.0, 1.0)
    assert keeper.plan(1.0)[0].time_s == 5.0


def test_tokens_to_nobody_are_ignored():
    keeper = TimeKeeper()
    ask(keeper, "a", 5.0, owed=[token("a", "nobody", "x")])
    assert keeper.plan(0.0)[0].time_s == 5.0


def test_a_lost_participant_slows_time_to_real_time_and_never_jumps():
    keeper = TimeKeeper()
    ask(keeper, "a", 100.0)
    ask(keeper, "b", 50.0)
    keeper.plan(0.0)
    ask(keeper, "a", 100.0, 0.0)
    assert keeper.plan(LOST_AFTER_S - 0.1)[0] is None
    now_s, before_s = LOST_AFTER_S + 0.1, keeper.last.time_s
    while now_s < LOST_AFTER_S + 5.0:
        grant, delay_s = keeper.plan(now_s)
        if grant:
            ask(keeper, "a", 100.0, now_s)
        now_s += max(delay_s if math.isfinite(delay_s) else 0.1, 0.01)
    assert keeper.lost() == ["b"]
    assert keeper.last.time_s - before_s <= 5.2
    keeper.request("b", "b-2", keeper.last.number, math.inf, now_s)
    assert keeper.lost() == []
    assert keeper.plan(now_s)[0].time_s == 100.0


def test_a_busy_participant_that_shows_life_is_not_lost():
    keeper = TimeKeeper()
    ask(keeper, "a", 1.0)
    keeper.plan(0.0)
    for now_s in range(1, 30):
        keeper.request("a", "a-1", keeper.last.number, math.inf, float(now_s), busy=True)
        assert keeper.plan(float(now_s) + 0.5)[0] is None
    assert keeper.lost() == []


def test_nobody_waiting_means_that_time_stands_at_full_speed_and_passes_at_a_factor():
    keeper = TimeKeeper()
    ask(keeper, "a", math.inf)
    assert keeper.plan(0.0) == (None, math.inf)
    assert keeper.plan(100.0) == (None, math.inf)
    keeper = TimeKeeper(speed=2.0)
    ask(keeper, "a", math.inf)
    now_s = 0.0
    while now_s < 4.0:
        grant, delay_s = keeper.plan(now_s)
        if grant:
            ask(keeper, "a", math.inf, now_s)
        now_s += max(min(delay_s, 0.25), 0.001)
    assert 6.0 <= keeper.last.time_s <= 8.0


def test_time_stands_for_who_is_expected_and_comes_late():
    keeper = TimeKeeper(expected=frozenset({"a", "b"}))
    goal = token("a", "b", "goal:1")
    ask(keeper, "a", 3600.0, owed=[goal])
    assert keeper.plan(0.0) == (None, LOST_AFTER_S)
    assert keeper.lost() == ["b"]
    assert any("b has not come" in each for each in keeper.waiting_for())
    assert keeper.plan(LOST_AFTER_S - 1.0) == (None, 1.0)
    ask(keeper, "b", math.inf, taken=[goal])
    assert keeper.lost() == []
    assert keeper.plan(LOST_AFTER_S + 1.0)[0].time_s == 3600.0


def test_who_has_left_is_not_waited_for():
    keeper = TimeKeeper(expected=frozenset({"a", "b"}))
    ask(keeper, "a", 3600.0)
    ask(keeper, "b", math.inf)
    keeper.request("b", "b-1", keeper.last.number, math.inf, 0.0, leaving=True)
    assert keeper.lost() == ["b"]
    assert keeper.plan(0.0)[1] <= 1.0


def test_time_keeps_to_the_wall_clock_when_somebody_expected_does_not_come():
    keeper = TimeKeeper(expected=frozenset({"a", "b"}))
    ask(keeper, "a", 3600.0)
    assert keeper.plan(0.0)[0] is None
    begun_s, grants = LOST_AFTER_S, 0
    now_s = begun_s
    while now_s < begun_s + 3.0:
        grant, delay_s = keeper.plan(now_s)
        if grant:
            grants += 1
            ask(keeper, "a", 3600.0, now_s)
        now_s += max(min(delay_s, 0.5), 0.001)
    assert 2.0 <= keeper.last.time_s <= 3.5
    assert grants < 12


def test_pause_run_until_and_factor():
    keeper = TimeKeeper(speed=60.0, run_until_s=90.0)
    ask(keeper, "a", 1000.0)
    keeper.paused = True
    assert keeper.plan(0.0) == (None, math.inf)
    keeper.paused = False
    now_s = 0.0
    while now_s < 4.0:
        grant, delay_s = keeper.plan(now_s)
        if grant:
            assert grant.time_s <= 60.0 * now_s + 1e-6
            ask(keeper, "a", 1000.0, now_s)
        now_s += max(min(delay_s, 0.25), 0.001)
    assert keeper.last.time_s == 90.0


def test_nonsense_is_refused():
    keeper = TimeKeeper()
    with pytest.raises(ValueError, match="NaN"):
        ask(keeper, "a", math.nan)
    with pytest.raises(ValueError, match="never given"):
        keeper.request("a", "s", 99, 1.0, 0.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 100.0)), min_size=1, max_size=60))
def test_grants_never_pass_anybodys_wake_up(asks):
    keeper, wakes = TimeKeeper(), {}
    for who, delay_s in asks:
        wakes[who] = keeper.last.time_s + delay_s
        for name, wake_s in wakes.items():
            ask(keeper, name, wake_s if wake_s > keeper.last.time_s else math.inf)
        waiting = [w for w in wakes.values() if w > keeper.last.time_s]
        grant, _ = keeper.plan(0.0)
        assert grant is not None
        assert not waiting or grant.time_s == min(waiting)
