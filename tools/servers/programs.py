"""Where the server programs are, and what they need in their environment to run from there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = Path("/")


class MissingError(Exception):
    """A server program that is not there or does not run; the message is one line."""


@dataclass(frozen=True)
class Programs:
    """The programs of one server: their paths by name, and the environment they need."""

    paths: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)

    def checked(self, name: str, *arguments: str) -> "Programs":
        """Run one of them, since a file that is there may still lack a library."""
        environment = {"PATH": os.defpath, "HOME": "/", **self.env}
        command = [self.paths[name], *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())
            raise MissingError(f"{self.paths[name]} does not run: {said}")
        return self


def find_rabbitmq(root: Path = SYSTEM) -> Programs:
    """RabbitMQ's own scripts: a distribution's wrappers insist on root or on its own user."""
    for sbin in _rabbitmq_folders(root):
        if _all_executable(sbin, "rabbitmq-server", "rabbitmqctl", "rabbitmq-plugins"):
            break
    else:
        raise MissingError("no rabbitmq-server found")
    erl = _first_executable(root, "erl")
    if erl is None:
        raise MissingError("no erl (Erlang) found, which rabbitmq-server needs")
    epmd = _first_executable(root, "epmd") or _first_executable(erl.resolve().parent, "epmd")
    if epmd is None:
        raise MissingError("no epmd (Erlang's port mapper) found, which rabbitmq-server needs")
    paths = {
        "rabbitmq-server": str(sbin / "rabbitmq-server"),
        "rabbitmqctl": str(sbin / "rabbitmqctl"),
        "rabbitmq-plugins": str(sbin / "rabbitmq-plugins"),
        "erl": str(erl),
        "epmd": str(epmd),
    }
    # `erl` comes first on the PATH because RabbitMQ's scripts call it by its bare name.
    env = {"PATH": f"{erl.parent}{os.pathsep}{os.defpath}", **_library_path(root)}
    return Programs(paths, env).checked("erl", "-noinput", "-s", "erlang", "halt")


def find_postgresql(root: Path = SYSTEM) -> Programs:
    """The newest PostgreSQL that has both its server and `initdb` in one folder."""
    for folder in _postgresql_folders(root):
        if _all_executable(folder, "postgres", "initdb"):
            paths = {name: str(folder / name) for name in ("postgres", "initdb")}
            return Programs(paths, _library_path(root)).checked("postgres", "--version")
    raise MissingError("no postgres found")


def find_mariadb(root: Path = SYSTEM) -> Programs:
    """MariaDB's server, and `mariadb-install-db` beside it with the folder that both belong to."""
    for name in ("sbin/mariadbd", "bin/mariadbd", "libexec/mariadbd"):
        server, base = root / "usr" / name, root / "usr"
        if _all_executable(base / "bin", "mariadb-install-db") and os.access(server, os.X_OK):
            break
    else:
        raise MissingError("no mariadbd with its mariadb-install-db found")
    paths = {
        "mariadbd": str(server),
        "mariadb-install-db": str(base / "bin/mariadb-install-db"),
        "base": str(base),
    }
    return Programs(paths, _library_path(root)).checked("mariadbd", "--no-defaults", "--version")


def find_prosody(root: Path = SYSTEM) -> Programs:
    """The XMPP server, a script, and the Lua that it runs on."""
    script = _first_executable(root, "prosody")
    if script is None:
        raise MissingError("no prosody found")
    lua = _first_executable(root, _interpreter(script))
    if lua is None:
        raise MissingError(f"no {_interpreter(script)} found, which prosody needs")
    env = _library_path(root)
    if root != SYSTEM:
        version = lua.name.removeprefix("lua")
        share = root / f"usr/share/lua/{version}"
        libraries = sorted(root.glob(f"usr/lib/*-linux-gnu*/lua/{version}"))
        env["LUA_PATH"] = f"{share}/?.lua;{share}/?/init.lua;;"
        env["LUA_CPATH"] = ";".join([*(f"{folder}/?.so" for folder in libraries), ";"])
    programs = Programs({"prosody": str(script), "lua": str(lua)}, env)
    return programs.checked("lua", "-e", "require 'lxp' require 'socket' require 'lfs'")


def find_ejabberd(root: Path = SYSTEM) -> Programs:
    """The XMPP server in Erlang, without its start script, which insists on root or its own user.

    The Erlang is the tree's own one: a machine's may lack what ejabberd needs of it.
    """
    erl = _first_executable(root, "erl")
    if erl is None:
        raise MissingError("no erl (Erlang) found, which ejabberd needs")
    folders = ("usr/lib/*-linux-gnu", "usr/lib/erlang/lib", "usr/lib64/erlang/lib")
    found = (each for parent in folders for each in root.glob(f"{parent}/ejabberd-*/ebin"))
    ebin = next((each for each in found if (each / "ejabberd.app").exists()), None)
    if ebin is None:
        raise MissingError("no ejabberd found")
    env = {"ERL_LIBS": str(ebin.parents[1]), **_library_path(root)}
    programs = Programs({"ejabberd": str(ebin.parent), "erl": str(erl)}, env)
    # Parts of it are written in C and stand in packages of their own.
    loads = "[{module, _} = code:ensure_loaded(M) || M <- [ejabberd_app, fxml_stream, fast_tls]]"
    ends = f'halt(try {loads} of _ -> 0 catch _:Why -> io:format("~p", [Why]), 1 end).'
    return programs.checked("erl", "-noinput", "-eval", ends)


def _interpreter(script: Path) -> str:
    """The name of the program that runs a script, from its first line."""
    with script.open() as lines:
        return lines.readline().split()[-1].rpartition("/")[2]


def find_libfaketime(root: Path = SYSTEM) -> Programs:
    """The library that is loaded before a program and answers its questions for the time."""
    for path in sorted(root.glob("usr/lib/*-linux-gnu*/faketime/libfaketime.so.1")):
        env = {"LD_PRELOAD": str(path), "FAKETIME": "+0"}
        return Programs({"libfaketime": str(path), "date": "/bin/date"}, env).checked("date")
    raise MissingError("no libfaketime found")


def find_strace(root: Path = SYSTEM) -> Programs:
    """It tells which system calls a process makes, and in which order."""
    program = _first_executable(root, "strace")
    if program is None:
        raise MissingError("no strace found")
    return Programs({"strace": str(program)}, _library_path(root)).checked("strace", "--version")


def find_bubblewrap(root: Path = SYSTEM) -> Programs:
    """It keeps hooks apart."""
    program = _first_executable(root, "bwrap")
    if program is None:
        raise MissingError("no bwrap found")
    return Programs({"bwrap": str(program)}, _library_path(root)).checked("bwrap", "--version")


def _rabbitmq_folders(root: Path) -> Iterator[Path]:
    yield from _newest_first(root, "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
    if root == SYSTEM:
        found = shutil.which("rabbitmq-server")
        if found and (Path(found).resolve().parent / "rabbitmq-env").exists():
            yield Path(found).resolve().parent
        yield from _newest_first(root, "opt/rabbitmq*/sbin")


def _postgresql_folders(root: Path) -> Iterator[Path]:
    if root == SYSTEM and (found := shutil.which("postgres")):
        yield Path(found).resolve().parent
    yield from _newest_first(root, "usr/lib/postgresql/*/bin")
    if root == SYSTEM:
        yield from _newest_first(root, "usr/pgsql-*/bin")


def _newest_first(root: Path, pattern: str) -> list[Path]:
    def version(path: Path) -> list[int]:
        digits = "".join(c if c.isdigit() else " " for c in path.parent.name)
        return [int(part) for part in digits.split()]

    return sorted(root.glob(pattern), key=version, reverse=True)


def _all_executable(folder: Path, *names: str) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in names)


def _first_executable(root: Path, name: str) -> Path | None:
    found = shutil.which(name) if root == SYSTEM else None
    candidates = [Path(found)] if found else []
    for path in [*candidates, root / "usr/bin" / name, root / name]:
        if os.access(path, os.X_OK):
            return path
    return None


def _library_path(root: Path) -> dict[str, str]:
    """An unpacked tree brings libraries that the loader does not know of."""
    if root == SYSTEM:
        return {}
    folders = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, folders))} if folders else {}
