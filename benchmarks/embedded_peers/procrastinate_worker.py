"""procrastinate's queue in PostgreSQL, in the database of the rows, with one worker."""

import sys

from procrastinate import App, PsycopgConnector
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
        with app.open():
            app.schema_manager.apply_schema()
            numbers = range(int(sys.argv[2]))
            app.configure_task("task").batch_defer(
                *({"number": each, "body": BODY} for each in numbers)
            )
    else:
        app.run_worker(concurrency=1, install_signal_handlers=True)
