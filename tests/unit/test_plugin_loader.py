"""Plugins are found by entry point; a bad one is named and costs the others nothing."""

from pathlib import Path

import pytest

from tests.helpers.distributions import discovered, install

GOOD = """
class Worker:
    def __init__(self, config):
        self.config = config

    def enabled(self):
        return True

    def handle(self, session, author, method, path, status, resource, resource_id,
               sub_resource=None, sub_resource_id=None, resource_before=None,
               resource_after=None):
        pass
"""
SEED_ARGUMENTS = sorted(
    [
        "session",
        "author",
        "method",
        "path",
        "status",
        "resource",
        "resource_id",
        "sub_resource",
        "sub_resource_id",
        "resource_before",
        "resource_after",
    ]
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed distributions with one good plugin."""
    folder = tmp_path / "site"
    install(folder, "made-good", {"good": "made_good:Worker"}, made_good=GOOD)
    return folder


def test_a_plugin_to_the_seeds_signature_is_loaded_with_its_arguments(site: Path) -> None:
    found = discovered(site, only=["good"])
    assert found["loaded"] == {"good": SEED_ARGUMENTS}
    assert found["distributions"] == {"good": "made-good"}
    assert "Other" not in found["broken"]


#: Code of the module, and a word of the reason.
BROKEN = [
    (None, "ModuleNotFoundError"),
    ("Other = 1", "AttributeError"),
    ("def this is no Python", "SyntaxError"),
    ("raise RuntimeError('at import')", "RuntimeError: at import"),
    ("raise SystemExit(0)", "SystemExit"),
    ("import a_library_that_is_not_there", "a_library_that_is_not_there"),
    (GOOD.replace("self.config = config", "1 / 0"), "ZeroDivisionError"),
    (GOOD.replace("return True", "raise SystemExit"), "SystemExit"),
    (GOOD.replace("def handle", "async def handle"), "asynchronous"),
    (GOOD + "    async def perform(self, effect):\n        pass\n", "perform() is asynchronous"),
    (GOOD.replace("author, method", "karma, method"), "karma"),
    (GOOD.replace("def handle", "def handel"), "handle()"),
    (GOOD.replace("def enabled", "def enable"), "enabled()"),
]


def test_a_plugin_that_cannot_be_loaded_is_named_with_its_reason(site: Path) -> None:
    for number, (code, _) in enumerate(BROKEN):
        name, module = f"bad{number}", f"made_bad{number}"
        files = {} if code is None else {module: code}
        install(site, f"made-bad-{number}", {name: f"{module}:Worker"}, **files)
    found = discovered(site)
    assert found["loaded"]["good"] == SEED_ARGUMENTS
    unexplained = [
        reason
        for number, (_, reason) in enumerate(BROKEN)
        if reason not in found["broken"].get(f"bad{number}", "")
    ]
    assert unexplained == []


def test_what_is_disabled_is_not_even_imported(site: Path) -> None:
    install(site, "made-other", {"Other": "made_other:Worker"}, made_other="raise RuntimeError")
    found = discovered(site, disabled=["oTHER"])
    assert "disabled" in found["off"]["Other"]
    assert found["imported"] == ["made_good"]
    assert "Other" not in found["broken"]


def test_only_those_named_may_be_on(site: Path) -> None:
    install(site, "made-other", {"other": "made_other:Worker"}, made_other="raise RuntimeError")
    found = discovered(site, only=["GOOD"])
    assert list(found["loaded"]) == ["good"]
    assert "only" in found["off"]["other"]
    assert found["imported"] == ["made_good"]


def test_disabled_wins_over_only(site: Path) -> None:
    found = discovered(site, only=["good"], disabled=["good"])
    assert found["loaded"] == {}
    assert "disabled" in found["off"]["good"]


def test_a_plugin_that_says_no_is_off(site: Path) -> None:
    code = GOOD.replace("return True", "return False")
    install(site, "made-shy", {"shy": "made_shy:Worker"}, made_shy=code)
    found = discovered(site, only=["good", "shy"])
    assert list(found["loaded"]) == ["good"]
    assert "enabled()" in found["off"]["shy"]


@pytest.mark.parametrize("name", ["good", "GOOD"])
def test_two_distributions_with_one_name_are_refused_by_both_names(site: Path, name: str) -> None:
    install(site, "made-twin", {name: "made_twin:Worker"}, made_twin=GOOD)
    refused = discovered(site)["refused"]
    assert "made-good" in refused
    assert "made-twin" in refused


def test_a_plugin_has_its_own_options_in_its_own_group(site: Path) -> None:
    code = (
        "from oslo_config import cfg\n"
        + GOOD.replace("class Worker:", "class Worker:\n    options = [cfg.StrOpt('colour')]")
    ).replace("return True", "return self.config['plugin:own'].colour is None")
    install(site, "made-own", {"own": "made_own:Worker"}, made_own=code)
    found = discovered(site, only=["own"])
    assert "Other" not in found["broken"]
    assert list(found["loaded"]) == ["own"]
