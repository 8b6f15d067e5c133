"""procrastinate's queue in PostgreSQL, in the database of the rows, with one worker."""

import sys

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from work import URL, work

BODY = "x" * 1000
CONNINFO = URL.replace("postgresql+psycopg:", "postgresql:")
app = App(connector=PsycopgConnector(conninfo=CONNINFO))


@app.task(name="task")
def task(number: int, body: str) -> None:
    """The work."""
    work(number)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        with app.with_connector(SyncPsycopgConnector(conninfo=CONNINFO)).open() as filling:
            filling.schema_manager.apply_schema()
            deferrer = filling.configure_task("task")
            for each in range(int(sys.argv[2])):
                deferrer.defer(number=each, body=BODY)
    else:
        app.run_worker(concurrency=1, install_signal_handlers=True)
