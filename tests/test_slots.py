"""Slots: who waits, who is next, who is turned away; nothing is lost, whatever happens to those who wait."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from sql_synthesizer.errors import Cancelled, Overloaded
from sql_synthesizer.model import Caller, Question
from sql_synthesizer.service.slots import Slots
from tests.support.serving import HANG, until


def question(caller: str, seconds: float = HANG) -> Question:
    return Question("", "main", Caller(caller), 1, time.monotonic() + seconds)


class Line:
    """Callers who wait for slots, and in which order they got one; each gives it back when told."""

    def __init__(self, slots: Slots, stack: ExitStack) -> None:
        self.slots = slots
        self.got: list[str] = []
        self._go: dict[str, threading.Event] = {}
        self._pool = stack.enter_context(ThreadPoolExecutor(32))
        stack.callback(lambda: [go.set() for go in self._go.values()])

    def join(self, name: str, asked: Question | None = None) -> Future[bool]:
        """``name`` begins with its caller; returns once it has a slot or waits."""
        before = self._count(name[0])
        self._go[name] = threading.Event()
        future = self._pool.submit(self._work, name, asked or question(name[0]))
        until(lambda: future.done() or self._count(name[0]) > before)
        return future

    def _count(self, caller: str) -> int:
        return self.slots._held[caller] + len(self.slots._waiting.get(caller, ()))

    def end(self, name: str) -> None:
        before = len(self.got), self.slots.waiting
        self._go[name].set()
        until(lambda: len(self.got) > before[0] or not before[1])

    def _work(self, name: str, asked: Question) -> bool:
        with self.slots.enter(asked.caller.identity):
            waited = self.slots.acquire(asked)
            self.got.append(name)
            with self.slots.hold(asked):
                assert self._go[name].wait(HANG)
            return waited


@pytest.fixture
def line() -> Line:
    with ExitStack() as stack:
        yield Line(Slots(2, 6), stack)


def test_who_comes_first_is_served_first(line: Line) -> None:
    waits = [line.join(name) for name in ("a1", "a2", "a3", "a4")]
    assert (line.slots.running, line.slots.waiting) == (2, 2)
    for name in ("a1", "a2", "a3", "a4"):
        line.end(name)
    assert line.got == ["a1", "a2", "a3", "a4"]
    assert [wait.result(HANG) for wait in waits] == [False, False, True, True]


def test_one_caller_s_many_do_not_starve_another_s_one(line: Line) -> None:
    for name in ("a1", "a2", "a3", "a4", "a5", "b1"):
        line.join(name)
    line.end("a1")
    assert line.got[2:] == ["b1"]
    line.end("a2")
    line.join("b2")
    line.end("a3")
    assert line.got[2:] == ["b1", "a3", "a4"], "each has a slot, and who was served longest ago is next"
    line.end("b1")
    assert line.got[-1] == "b2"


def test_when_all_places_are_taken_the_latest_of_many_goes(line: Line) -> None:
    waits = [line.join(f"a{n}") for n in range(8)]
    assert line.slots.waiting == 6
    with pytest.raises(Overloaded) as caught:
        line.join("a8").result(HANG)
    assert caught.value.retry_after == 1
    line.join("b1")
    with pytest.raises(Overloaded):
        waits[7].result(HANG)
    line.end("a0")
    assert line.got[-1] == "b1"


def test_who_cannot_have_its_turn_in_time_is_told_at_once(line: Line) -> None:
    line.join("a1")
    line.join("a2")
    line.slots._mean = 20.0
    with pytest.raises(Overloaded) as caught:
        line.slots.acquire(question("b", seconds=25))
    assert caught.value.retry_after == 10
    assert not line.join("b1", question("b", seconds=HANG)).done()
    with pytest.raises(Overloaded) as caught:
        line.slots.acquire(question("a", seconds=35))
    assert caught.value.retry_after == 20, "one of b is ahead"


def test_nobody_waits_past_the_deadline(line: Line) -> None:
    line.join("a1")
    line.join("a2")
    with pytest.raises(Overloaded):
        line.slots.acquire(question("a", seconds=0.05))
    assert line.slots.waiting == 0


def test_who_leaves_waits_no_longer(line: Line) -> None:
    line.join("a1")
    line.join("a2")
    asked = question("a")
    waits = line.join("a3", asked)
    line.join("a4")
    asked.cancellation.cancel()
    with pytest.raises(Cancelled):
        waits.result(HANG)
    line.end("a1")
    assert line.got == ["a1", "a2", "a4"]


def test_no_slot_is_lost() -> None:
    slots, chance = Slots(3, 20), random.Random(1)
    most = 0

    def work(number: int) -> None:
        nonlocal most
        asked = question(f"caller {number % 5}", chance.choice([0.001, 0.01, HANG]))
        leaving = threading.Timer(chance.random() / 50, asked.cancellation.cancel)
        leaving.start()
        with suppress(Overloaded, Cancelled), slots.enter(asked.caller.identity):
            slots.acquire(asked)
            with slots.hold(asked):
                most = max(most, slots.running)
                asked.cancellation.check()
        leaving.join()

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(work, range(600)))
    assert (slots.running, slots.waiting, slots._inside) == (0, 0, 0)
    assert not slots._held
    assert 0 < most <= 3
