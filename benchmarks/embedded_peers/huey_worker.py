"""huey's queue in SQLite, in the database of the rows, with one worker."""

import sys

from huey import SqliteHuey
from work import URL, work

BODY = "x" * 1000
huey = SqliteHuey(
    filename=URL.removeprefix("sqlite:///"), fsync=True, journal_mode="wal", results=False
)


@huey.task()
def task(number: int, _body: str) -> None:
    """The work."""
    work(number)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        for each in range(int(sys.argv[2])):
            task(each, BODY)
    else:
        huey.create_consumer(workers=1, worker_type="thread", periodic=False).run()
