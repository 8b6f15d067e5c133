"""Files that are no good: of another version, another program, damaged, moved away, on a full disk;
and what a fork does to an open one."""

import logging
import os
import sqlite3
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from eventworker.capture.spool import Spool, format, salvage, waiting
from eventworker.capture.spool.store import Store
from eventworker.errors import SpoolError, SpoolFull, TransportError, Unpublishable, Unroutable
from eventworker.transport import Message
from tests.helpers.events import make_event, make_message, number_of
from tests.helpers.spools import Gate, put_numbered, spools_at
from tests.servers import wait_until

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.spool"


@pytest.fixture
def made(path: Path) -> Iterator[Callable[..., Spool]]:
    with spools_at(path) as make:
        yield make


def left_behind(path: Path, count: int, **fields: Any) -> None:
    """What a process leaves whose target was away."""
    with closing(Store(path)) as store:
        messages = [make_message(resource_id=number, **fields) for number in range(count)]
        store.write(lambda connection: waiting.append(connection, messages))


def query(path: Path, statement: str) -> list[Any]:
    """What a process that is no eventworker does with the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def test_an_empty_file_becomes_a_spool(made: Callable[..., Spool], path: Path) -> None:
    path.touch()
    gate = Gate()
    put_numbered(made(gate), [1])
    wait_until(lambda: gate.numbers == [1])
    assert query(path, "PRAGMA user_version") == [(len(format.STEPS),)]


def test_a_file_of_an_older_format_is_brought_up_and_keeps_its_events(
    made: Callable[..., Spool], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(path, 3)
    step = ("ALTER TABLE waiting ADD COLUMN note TEXT", "UPDATE waiting SET note = 'old'")
    monkeypatch.setattr(format, "STEPS", [*format.STEPS, step])
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, [3])
    assert spool.status()["format"] == 2
    assert [note for (note,) in query(path, "SELECT note FROM waiting ORDER BY seq")] == [
        "old",
        "old",
        "old",
        None,
    ]
    gate.open()
    wait_until(lambda: gate.numbers == [0, 1, 2, 3])


def test_a_format_step_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(path, 3)
    step = ("ALTER TABLE waiting ADD COLUMN note TEXT", "this is no SQL")
    with monkeypatch.context() as patched:
        patched.setattr(format, "STEPS", [*format.STEPS, step])
        with pytest.raises(SpoolError, match="syntax error"):
            Store(path).read(waiting.summary)
    with closing(Store(path)) as store:
        found = store.read(waiting.summary)
    assert (found["format"], found["waiting"]) == (1, 3)


def newer(path: Path) -> None:
    left_behind(path, 3)
    query(path, "PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    query(path, "CREATE TABLE theirs (x)")


def of_another_program(path: Path) -> None:
    query(path, "PRAGMA application_id = 77")


def no_database(path: Path) -> None:
    path.write_bytes(b"my only copy\n" * 1000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (newer, "format 99 of a newer eventworker"),
        (foreign, "another program's database"),
        (of_another_program, "another program's database"),
        (no_database, "is no spool, and nothing was written to it"),
    ],
)
def test_a_file_that_is_not_for_us_is_refused_and_left_as_it_is(
    made: Callable[..., Spool],
    path: Path,
    make: Callable[[Path], None],
    says: str,
) -> None:
    make(path)
    before = path.read_bytes()
    gate = Gate()
    spool = made(gate)
    for _ in range(2):
        with pytest.raises(SpoolError, match=says):
            put_numbered(spool, [1])
    assert path.read_bytes() == before
    # As soon as it is out of the way, it works.
    path.rename(path.with_name("moved"))
    put_numbered(spool, [2])
    wait_until(lambda: gate.numbers == [2])


def damage(path: Path, needle: bytes) -> None:
    """Overwrite the pages that hold `needle`, as a dying disk does."""
    data = bytearray(path.read_bytes())
    found = [at for at in range(0, len(data), 4096) if needle in data[at : at + 4096]]
    assert found
    for at in found:
        data[at : at + 4096] = os.urandom(4096)
    path.write_bytes(data)


def test_of_a_damaged_file_what_can_be_read_is_delivered_and_the_rest_kept(
    made: Callable[..., Spool], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(path, 400, resource_after={"text": "x" * 300})
    damage(path, b'"resource_id":200,')
    gate = Gate()
    spool = made(gate)
    spool.start()
    wait_until(lambda: salvage.damaged_files(path, done=True) and len(gate.taken) > 300)
    put_numbered(spool, [1000])
    wait_until(lambda: gate.numbers[-1] == 1000)
    numbers = gate.numbers
    assert len(set(range(400)) - set(numbers)) < 40  # a page of them
    assert 200 not in numbers
    # The page was among the first batches: what had gone before may come twice, under one id.
    first = list(dict.fromkeys(numbers))
    assert first == sorted(first)
    (kept,) = salvage.damaged_files(path, done=True)
    assert kept.name.endswith(salvage.DONE)
    assert b'"resource_id":0,' in kept.read_bytes()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([line for line in told if "is damaged" in line]) == 1
    assert len([line for line in told if "could be read of the damaged spool" in line]) == 1


def test_what_the_target_will_not_take_of_a_damaged_file_is_put_aside_like_the_rest(
    made: Callable[..., Spool], path: Path
) -> None:
    class Particular(Gate):
        """Takes no 3 for good, and no 5 yet."""

        def publish(
            self, messages: Sequence[Message], timeout: float = 30.0
        ) -> list[TransportError | None]:
            errors = {3: Unpublishable("a three"), 5: Unroutable("a five")}
            found = [errors.get(number_of(message.body)) for message in messages]
            self.taken += [one for one, error in zip(messages, found, strict=True) if not error]
            return list(found)

    left_behind(path, 10)
    with closing(Store(path)) as store:
        rows = store.read(lambda connection: waiting.head(connection, 2, MIB))
        aside = [
            waiting.Refusal(row, "before", again)
            for row, again in zip(rows, (False, True), strict=True)
        ]
        store.write(lambda connection: waiting.settle(connection, [], aside))
    query(path, "UPDATE waiting SET id = x'00' WHERE seq = 8")
    gate = Particular()
    spool = made(gate)
    spool.start()
    wait_until(lambda: salvage.damaged_files(path, done=True) and not salvage.damaged_files(path))
    # What may be taken later was offered again, just before the damage was found.
    assert gate.numbers == [1, 2, 4, 6, 8, 9]
    found = spool._store.read(lambda connection: waiting.listed(connection, 10, refused=True))
    told = {number_of(one["body"].encode()): one["reason"] for one in found}
    assert told == {0: "before", 3: "a three", 5: "a five"}
    assert len({one["seq"] for one in found}) == 3


def test_a_large_damaged_file_is_not_read_into_memory(path: Path) -> None:
    left_behind(path, 30, resource_after={"text": "x" * 900_000})
    damage(path, b'"resource_id":20,')
    tracemalloc.start()
    try:
        count = sum(1 for _ in salvage.readable(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count >= 15  # without those whose page it was
    assert peak < 10 * MIB


def test_a_file_that_is_damaged_while_it_is_in_use_makes_no_request_fail(
    made: Callable[..., Spool], path: Path
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, range(50), resource_after={"text": "x" * 3000})
    spool._store.maintain("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    spool._store.close()
    put_numbered(spool, range(50, 60))
    gate.open()
    wait_until(lambda: set(range(50, 60)) <= set(gate.numbers))
    assert len(salvage.damaged_files(path, done=True)) == 1


def test_a_byte_that_turned_over_is_found_and_the_event_put_aside(
    made: Callable[..., Spool], path: Path
) -> None:
    left_behind(path, 3, resource_after={"text": "an amount of 100"})
    data = path.read_bytes()
    at = data.index(b"an amount of 100", data.index(b'"resource_id":1,'))
    path.write_bytes(data[: at + 13] + b"9" + data[at + 14 :])
    gate = Gate()
    spool = made(gate)
    spool.start()
    wait_until(lambda: spool.status()["waiting"] == 0)
    assert gate.numbers == [0, 2]
    assert spool.status()["refused"] == 1


def test_a_row_that_nobody_can_have_put_in_makes_the_file_a_damaged_one(
    made: Callable[..., Spool], path: Path
) -> None:
    left_behind(path, 3)
    query(path, "UPDATE waiting SET id = x'00' WHERE seq = 2")
    gate = Gate()
    made(gate).start()
    wait_until(lambda: gate.numbers == [0, 2])
    wait_until(lambda: salvage.damaged_files(path, done=True))


def test_who_still_has_a_damaged_file_open_does_no_harm_to_the_new_one(path: Path) -> None:
    with closing(Store(path)) as one, closing(Store(path)) as late:
        for store in (one, late):
            store.write(lambda connection: waiting.append(connection, [make_message()]))
        one.write(DamagedOnce())
        one.write(lambda connection: waiting.append(connection, [make_message()] * 3))
        # It finds the damage, too, and closes the old file. SQLite removes a log by its name, and
        # this one's name is the new file's by now.
        late.write(DamagedOnce())
        assert path.with_name("events.spool-wal").stat().st_size > 0
        with closing(Store(path)) as third:
            assert third.read(waiting.summary)["waiting"] == 3
        assert len(salvage.damaged_files(path)) == 1


class DamagedOnce:
    """Finds the file damaged the first time."""

    def __init__(self) -> None:
        self._found = False

    def __call__(self, _connection: sqlite3.Connection) -> None:
        if not self._found:
            self._found = True
            raise format.Damaged("by the test")


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_moved_away_under_us_takes_no_event_with_it(
    made: Callable[..., Spool], path: Path, how: str
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, [0])
    if how == "removed":
        path.unlink()
    else:
        left_behind(path.with_name("other"), 1)
        path.with_name("other").rename(path)
    put_numbered(spool, [1, 2])
    # Where another process finds them, and not in a file that has no name any more.
    with closing(Store(path, create=False)) as other:
        rows = other.read(lambda connection: waiting.head(connection, 10, MIB))
    assert [number_of(row.message.body) for row in rows][-2:] == [1, 2]
    gate.open()
    wait_until(lambda: {1, 2} <= set(gate.numbers))


def test_a_directory_that_goes_and_comes_back_costs_only_the_events_between(
    made: Callable[..., Spool], tmp_path: Path
) -> None:
    folder = tmp_path / "spools"
    folder.mkdir()
    gate = Gate(is_open=False)
    spool = made(gate, folder / "events.spool")
    put_numbered(spool, [0])
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SpoolError):
        put_numbered(spool, [1])
    (tmp_path / "elsewhere").rename(folder)
    put_numbered(spool, [2])
    gate.open()
    wait_until(lambda: {0, 2} <= set(gate.numbers))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "spool-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_a_full_spool_and_delivery_goes_on_when_there_is_room(
    made: Callable[..., Spool], small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate, small_disk / "events.spool")
    put_numbered(spool, range(20), resource_after={"x": "y" * 10_000})
    fill_up(small_disk / "others")
    refused: list[str] = []
    for _ in range(200):  # the log beside the file may have some room yet
        try:
            spool(make_event(resource_after={"x": "y" * 10_000}))
        except SpoolFull as error:
            refused.append(str(error))
        if len(refused) == 5:
            break
    assert all("no space left on its disk" in reason for reason in refused)
    assert len(refused) == 5
    assert len([each for each in caplog.records if "the spool is full" in each.getMessage()]) == 1
    asked = gate.asked
    gate.open()
    wait_until(lambda: gate.asked > asked)
    (small_disk / "others").unlink()
    wait_until(lambda: spool.status()["waiting"] == 0)
    delivered = [message.id for message in gate.taken]
    # Not given to the target over and over while the file could not be told.
    assert len(delivered) - len(set(delivered)) == 0
    put_numbered(spool, [99])
    wait_until(lambda: gate.numbers[-1] == 99)


def test_a_stopped_writer_delays_the_others_for_their_patience_only(
    made: Callable[..., Spool], path: Path
) -> None:
    spool = made(Gate(is_open=False), patience=0.2)
    put_numbered(spool, [0])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError, match=r"has held it for 0\.2 s"):
            put_numbered(spool, [1])
    put_numbered(spool, [2])
    assert spool.status()["waiting"] == 2


#: Python 3.12 and newer warn of forks beside threads; those are what is tested here.
forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@forks
def test_a_spool_that_is_in_use_works_on_in_parent_and_child_after_a_fork(
    made: Callable[..., Spool],
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, [0], source="parent")
    assert in_child(lambda: put_numbered(spool, range(20), source="child")) == 0
    put_numbered(spool, [1], source="parent")
    gate.open()
    wait_until(lambda: len(gate.taken) == 22)
    of_child = [number_of(each.body) for each in gate.taken if each.source == "child"]
    assert of_child == list(range(20))


@forks
def test_forks_while_other_threads_put_events_in_do_no_harm(made: Callable[..., Spool]) -> None:
    gate = Gate()
    spool = made(gate)
    running = [
        threading.Thread(target=put_numbered, args=(spool, range(60)), kwargs={"source": f"t{one}"})
        for one in range(3)
    ]
    for thread in running:
        thread.start()
    codes = [in_child(lambda: spool._store.write(lambda connection: None)) for _ in range(10)]
    for thread in running:
        thread.join()
    assert codes == [0] * 10
    wait_until(lambda: len(gate.taken) == 180)


@forks
def test_a_child_does_not_keep_its_parents_turn_to_deliver(made: Callable[..., Spool]) -> None:
    spool = made(Gate(is_open=False))
    put_numbered(spool, [0])
    wait_until(lambda: spool._drainer._lock._file is not None)
    assert in_child(lambda: None if spool._drainer._lock._file is None else os._exit(3)) == 0
    assert spool._drainer._lock._file is not None
