"""``python -m examples.pecan_notes``: serve the notebook on loopback."""

from waitress import serve

from examples.pecan_notes.app import create_app
from examples.serving import arguments

if __name__ == "__main__":
    options = arguments("pecan_notes", "A notebook with Pecan.")
    serve(create_app(options.database), host="127.0.0.1", port=options.port, threads=4)
