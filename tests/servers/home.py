"""The private folder of one server: its configuration, data and logs."""

import shutil
import tempfile
from pathlib import Path

from tests.servers.process import give_away


class Home:
    def __init__(self, kind: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"eventworker-{kind}-"))
        give_away(self.path)

    def folder(self, name: str) -> Path:
        made = self.path / name
        made.mkdir(mode=0o700)
        give_away(made)
        return made

    def file(self, name: str, content: str, mode: int = 0o600) -> Path:
        made = self.path / name
        made.write_text(content)
        made.chmod(mode)
        give_away(made)
        return made

    def remove(self) -> None:
        shutil.rmtree(self.path)
