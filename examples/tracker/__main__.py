"""``python -m examples.tracker``: serve the tracker on loopback."""

from __future__ import annotations

import argparse

from waitress import serve

from examples.tracker.app import create_app


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m examples.tracker", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="TCP port (default: %(default)s)")
    parser.add_argument(
        "--database",
        default="sqlite:///tracker.sqlite",
        help="SQLAlchemy URL; eventworker's tables must be there (default: %(default)s)",
    )
    options = parser.parse_args()
    serve(create_app(options.database), host="127.0.0.1", port=options.port, threads=4)


if __name__ == "__main__":
    main()
