"""``python -m examples.fastapi_notes``: serve the notebook on loopback."""

import uvicorn

from examples.fastapi_notes.app import create_app
from examples.serving import arguments

if __name__ == "__main__":
    options = arguments("fastapi_notes", "A notebook with FastAPI.")
    uvicorn.run(create_app(options.database), port=options.port, log_level="warning")
