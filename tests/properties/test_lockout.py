"""Locks on guessing, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sql_synthesizer.access._limits import Counter
from sql_synthesizer.access._lockout import Lockout
from sql_synthesizer.settings import Settings

NETWORKS = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::/64"])
KEYS = st.sampled_from(["", "k1", "k2"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), NETWORKS, KEYS),
        st.tuples(st.just("use"), NETWORKS, KEYS.filter(bool)),
        st.tuples(st.just("wait"), st.integers(1, 90)),
    ),
    max_size=60,
)
SETTINGS = Settings(failed_login_limit="2/minute", lock_seconds=10, lock_max_seconds=50)


@given(STEPS)
def test_strangers_never_lock_a_holder_out_and_locks_are_bounded(steps: list[tuple[str, ...]]) -> None:
    counter = Counter(SETTINGS)
    lockout, memory, used = Lockout(SETTINGS, counter), counter._memory.storage, set()
    for verb, *given_ in steps:
        if verb == "wait":
            for name, (count, end) in list(memory._windows.items()):
                memory._windows[name] = (count, end - given_[0])
        elif verb == "use":
            lockout.remember_use(*given_)
            used.add(tuple(given_))
        elif lock := lockout.count_failure(*given_):
            again = lockout.check(*given_)
            assert (again is None) == (tuple(given_) in used)
            assert 1 <= lock.seconds <= min(10 << (lock.locks - 1), 50)
            assert lock.target in {given_[0], f"key:{given_[1]}"}
        assert not [pair for pair in used if lockout.check(*pair)]


@given(NETWORKS, st.lists(st.integers(0, 90), max_size=40))
def test_one_network_never_locks_a_key(network: str, waits: list[int]) -> None:
    counter = Counter(SETTINGS)
    lockout, memory = Lockout(SETTINGS, counter), counter._memory.storage
    for seconds in waits:
        for name, (count, end) in list(memory._windows.items()):
            memory._windows[name] = (count, end - seconds)
        if not lockout.check(network, "k1"):
            lockout.count_failure(network, "k1")
        assert lockout.check("203.0.113.9", "k1") is None
