"""Somebody who follows a page to the letter, with real servers in place of its placeholders."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventworker import cloudevents
from eventworker.event import decode
from tests.acceptance.installation import Installation
from tests.acceptance.pages.options import last_group, unknown_options, values_of
from tests.acceptance.pages.page import Block
from tests.acceptance.pages.shell import Shell
from tests.acceptance.pages.transcript import Step, steps_of
from tests.servers import MariaServer, Vhost, wait_until
from tests.servers.ports import accepts_connections, free_ports
from tests.servers.process import is_running

DAEMON = re.compile(r"storyboard-worker-daemon (?!--help|--version)")
#: A folder of the page's application, and that of its host when the disk is mounted elsewhere.
APPLICATION = re.compile(r"(?<!\w)(?:/mnt)?/var/lib/tracker\b")
#: Folders of the machine, which no page that is tried may touch.
OUTSIDE = re.compile(r"(?<![\w./])/(?:boot|etc|home|mnt|opt|root|srv|usr|var)\b")
EXAMPLE = re.compile(r"python -m examples\.\w+ .*--port (?P<port>\d+)")
VENV = re.compile(r"python3 -m venv (?P<folder>\w+)\Z")
#: What a page may ask for that this very run, or a test of its own, does.
ELSEWHERE = {
    "make": "lists the commands",
    "make test": "runs this",
    "make docs": "a step of make test",
    "make run": "tests/acceptance/test_demo.py",
    "make run ONCE=1": "tests/acceptance/test_demo.py",
}


class Reader:
    """Follows one page, block by block.

    :param shell: the terminal, in the folder where the page's files are written.
    :param database: gives the URL of a database of the kind that its argument names.
    :param vhost: gives a virtual host of a broker.
    :param rabbitmqctl: the command of that name, for the same broker.
    :param maria: gives a MariaDB server with an empty database ``storyboard``.
    """

    def __init__(
        self,
        shell: Shell,
        folder: Path,
        database: Callable[[str], str],
        vhost: Callable[[], Vhost],
        rabbitmqctl: Callable[..., str],
        maria: Callable[[], MariaServer],
    ) -> None:
        self._shell = shell
        self._folder = folder
        self._database = database
        self._vhost = vhost
        self._rabbitmqctl = rabbitmqctl
        self._maria = maria
        self._group = ""
        self._read: list[Block] = []
        self._daemons: list[tuple[int, Path]] = []
        self._logs = 0
        #: Ports that the page names, which may be taken here, and those that stand in for them.
        self._ports: dict[str, str] = {}
        self.namespace: dict[str, Any] = {
            "__name__": "page",
            "folder": folder,
            # What was read so far: hidden code tries what the page shows, and need not repeat it.
            "blocks": self._read,
            "values_of": values_of,
            "stop_daemons": self.stop_daemons,
        }

    def follow(self, block: Block, path: Path) -> None:
        """Do what the block says."""
        follow = getattr(self, f"_follow_{block.language}", None)
        if follow is None:
            raise AssertionError(f"nobody knows how to try a block of {block.language!r}")
        if not block.untried:
            follow(block, path)
        self._read.append(block)

    def stop_daemons(self) -> None:
        """End what runs, and see that it ends well; a page's hidden code may call it, too."""
        for pid, log in self._daemons:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: not is_running(pid), 20, f"{log} does not end")
            assert "Traceback" not in log.read_text(), log.read_text()
        self._daemons.clear()

    def _follow_console(self, block: Block, _path: Path) -> None:
        for step in steps_of(self._at_home(block.source)):
            if step.command in ELSEWHERE:
                continue
            if made := VENV.match(step.command):
                self._make_environment(made["folder"])
                continue
            if example := EXAMPLE.match(step.command):
                self._serve(step, example["port"])
                continue
            if DAEMON.match(step.command):
                self._start(step)
                continue
            if step.command.startswith("rabbitmqctl "):
                self._ask_broker(step)
                continue
            outside = OUTSIDE.search(step.command.replace(str(self._folder), "HERE"))
            assert not outside, f"{step.command}: not on this machine"
            code, output = self._shell.run(self._with_free_ports(step.command))
            assert code == int(block.options.get("exit", 0)), f"{step.command}: {code}: {output}"
            assert step.agrees_with(output), f"{step.command} printed:\n{output}"

    def _make_environment(self, name: str) -> None:
        """As the command does, with all dependencies there: nothing has to be fetched."""
        environment = Installation(self._folder / name)
        environment.link_dependencies()
        environment.add_pip()

    def _ask_broker(self, step: Step) -> None:
        """On the page's own virtual host of a broker that only the tests know how to reach."""
        words = shlex.split(step.command)[1:]
        words[words.index("-p") + 1] = self._vhost().vhost
        output = self._rabbitmqctl(*words)
        assert step.agrees_with(output), f"{step.command} printed:\n{output}"

    def _start(self, step: Step) -> None:
        self._start_until(step.command, lambda log: "processes start" in log.read_text())

    def _serve(self, step: Step, port: str) -> None:
        """An example, on a port that is free here."""
        (free,) = free_ports(1)
        self._ports[port] = str(free)
        command = self._with_free_ports(step.command)
        self._start_until(command, lambda _log: accepts_connections(free))

    def _start_until(self, command: str, ready: Callable[[Path], bool]) -> None:
        self._logs += 1
        log = self._folder / f"daemon-{self._logs}.log"
        log.touch()
        pid = self._shell.start(command, log)
        self._daemons.append((pid, log))
        wait_until(lambda: ready(log) or not is_running(pid), 30, log.read_text)
        assert is_running(pid), log.read_text()

    def _follow_ini(self, block: Block, _path: Path) -> None:
        # Lines without a group belong to the one that the page has named last.
        wrong = unknown_options(block.source, self._group)
        assert not wrong, f"no such options: {', '.join(wrong)}"
        self._group = last_group(block.source) or self._group
        if block.caption:
            self._write(block)

    def _follow_cfg(self, block: Block, _path: Path) -> None:
        if block.caption:
            self._write(block)

    _follow_systemd = _follow_toml = _follow_cfg

    def _write(self, block: Block) -> None:
        file = self._folder / self._at_home(block.caption)
        assert file.resolve().is_relative_to(self._folder.resolve()), file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._with_real_servers(self._at_home(block.source)))

    def _follow_python(self, block: Block, path: Path) -> None:
        if block.caption:
            self._write(block)
            return
        # The line numbers of a traceback are then those of the page.
        source = "\n" * (block.line - 1) + self._with_real_servers(self._at_home(block.source))
        exec(compile(source, str(path), "exec", dont_inherit=True), self.namespace)

    def _follow_sql(self, block: Block, _path: Path) -> None:
        """As the administrator of the MariaDB server."""
        server = self._maria()
        for statement in block.source.replace("HOST", server.host).split(";"):
            if statement.strip():
                server.execute(statement)

    def _follow_json(self, block: Block, _path: Path) -> None:
        """An event of either format; hidden code finds it as ``event``."""
        value = json.loads(block.source)
        if "specversion" in value:
            self.namespace["event"] = cloudevents.decode(block.source.encode())
        elif "method" in value:
            self.namespace["event"] = decode(block.source.encode())

    def _follow_text(self, _block: Block, _path: Path) -> None:
        """Output, a drawing: nothing to do."""

    def _at_home(self, text: str) -> str:
        """The text with the application's folder in the reader's own one."""
        if "/var/lib/tracker" in text:
            (self._folder / "var/lib/tracker").mkdir(parents=True, exist_ok=True)
        return APPLICATION.sub(lambda match: f"{self._folder}{match[0]}", text)

    def _with_real_servers(self, text: str) -> str:
        text = re.sub(
            r"(\w+)(?:\+\w+)?://USER:PASSWORD@HOST/DATABASE",
            lambda match: self._database(match[1]),
            text,
        )
        if "@HOST/storyboard" in text:
            maria = self._maria()
            text = text.replace("@HOST/", f"@{maria.host}:{maria.port}/")
        if 'host="HOST"' in text:
            vhost = self._vhost()
            text = text.replace(
                'host="HOST"',
                f'host="{vhost.host}", port={vhost.port}, virtual_host="{vhost.vhost}"',
            )
            text = text.replace('"USER"', f'"{vhost.user}"')
            text = text.replace('"PASSWORD"', f'"{vhost.password}"')
        if "rabbit_host = HOST" in text:
            vhost = self._vhost()
            text = re.sub(r"rabbit_virtual_host = .*\n", "", text)
            text = text.replace(
                "rabbit_host = HOST",
                f"rabbit_host = {vhost.host}\nrabbit_port = {vhost.port}\n"
                f"rabbit_virtual_host = {vhost.vhost}",
            )
            text = text.replace("rabbit_userid = USER", f"rabbit_userid = {vhost.user}")
            text = text.replace("rabbit_password = PASSWORD", f"rabbit_password = {vhost.password}")
        return text

    def _with_free_ports(self, command: str) -> str:
        for named, free in self._ports.items():
            command = re.sub(rf"\b{named}\b", free, command)
        return command
