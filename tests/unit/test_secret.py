"""Secrets come from where the option says, and are in no text afterwards."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oslo_config import cfg

from eventworker import config, secret
from eventworker.cli import conf as configuration
from eventworker.db import build_engine, first_line
from eventworker.errors import ConfigError
from eventworker.inbox.backlog import Failure
from eventworker.transports.rabbit import settings_from
from tests.helpers import configuration as made

URL = "postgresql+psycopg://web:{}@db.example.org/tracker"


def load(tmp_path: Path, text: str) -> cfg.ConfigOpts:
    file = tmp_path / "eventworker.conf"
    file.write_text(text)
    return configuration.load([str(file)])


def test_an_option_takes_its_secret_from_a_file_without_the_newline(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("  with spaces \n")
    conf = load(tmp_path, f"[notifications]\nrabbit_password = file:{tmp_path}/password\n")
    assert conf.notifications.rabbit_password == "  with spaces "


def test_of_two_newlines_one_is_the_secrets_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("abcd\n\n")
    assert secret.resolved(f"file:{tmp_path}/password") == "abcd\n"


def test_an_option_takes_its_secret_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", URL.format("hunter22"))
    conf = load(tmp_path, "[database]\nconnection = env:DATABASE_URL\n")
    assert conf.database.connection == URL.format("hunter22")


def test_a_plain_secret_stays_as_it_is(tmp_path: Path) -> None:
    conf = load(tmp_path, "[notifications]\nrabbit_password = fileserver\n")
    assert conf.notifications.rabbit_password == "fileserver"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("env:NOT_THERE", "env:NOT_THERE: there is no environment variable NOT_THERE"),
        ("file:{}/absent", "absent: cannot be read: No such file or directory"),
        ("file:{}", "cannot be read: Is a directory"),
        ("file:{}/empty", "is empty"),
        ("file:{}/binary", "is not UTF-8"),
        ("file:{}/large", "has more than 65536 bytes"),
    ],
)
def test_a_secret_that_is_not_there_is_one_line_that_names_the_option(
    tmp_path: Path, value: str, reason: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    text = f"[notifications]\nrabbit_password = {value.format(tmp_path)}\n"
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert "[notifications] rabbit_password: " in str(error.value)
    assert str(error.value).endswith(reason)


def test_a_plugins_own_secrets_are_found_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "12345678")
    conf = load(tmp_path, "[plugin:mine]\ntoken = env:TOKEN\nplain = env:TOKEN\npin = env:TOKEN\n")
    options = [
        cfg.StrOpt("token", secret=True),
        cfg.StrOpt("plain"),
        cfg.IntOpt("pin", secret=True),
    ]
    group = config.plugin_group(conf, "mine", options)
    assert (group.token, group.plain, group.pin) == ("12345678", "env:TOKEN", 12345678)
    # As a plugin of StoryBoard's does it, beside what it declares.
    conf.register_opts(options, group="plugin:mine")
    assert config.plugin_group(conf, "mine", options).token == "12345678"


def test_a_plugins_secret_of_a_wrong_kind_is_not_quoted(tmp_path: Path) -> None:
    conf = load(tmp_path, "[plugin:mine]\npin = hunter22\nword = hunter22\n")
    for opt in (cfg.IntOpt("pin", secret=True), cfg.StrOpt("word", regex="^x", secret=True)):
        with pytest.raises(ConfigError, match=rf"^\[plugin:mine\] {opt.name}: ") as error:
            config.plugin_group(conf, "mine", [opt])
        assert "hunter22" not in str(error.value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=4))
def test_a_secret_is_hidden_in_each_of_its_spellings(value: str) -> None:
    assume(value not in secret._NO_SECRETS)
    secret._known.clear()
    secret.remember(value)
    texts = [f"<{value}>", f"<{value!r}>", f"<{json.dumps(value)}>", f"<{secret.quote(value)}>"]
    for text in texts:
        assert secret.HIDDEN in secret.hidden(text)
    assert secret.hidden(texts[0]) == f"<{secret.HIDDEN}>"


def test_what_everybody_knows_is_not_hidden(tmp_path: Path) -> None:
    load(tmp_path, "[notifications]\nrabbit_password = storyboard\n")
    assert secret.hidden("consuming storyboard_events") == "consuming storyboard_events"


@pytest.mark.parametrize(
    ("url", "texts"),
    [
        (URL.format("hunter22"), ["hunter22"]),
        (URL.format("hun%2Fter22"), ["hun%2Fter22", "hun/ter22"]),
        ("postgresql://a@h/d?password=hunter22&sslpassword=other-one", ["hunter22", "other-one"]),
    ],
)
def test_of_a_database_url_the_passwords_are_hidden_and_nothing_else(
    tmp_path: Path, url: str, texts: list[str]
) -> None:
    load(tmp_path, f"[database]\nconnection = {url.replace('$', '$$')}\n")
    for text in texts:
        assert secret.hidden(f"it is {text}, at db.example.org") == "it is ***, at db.example.org"


def test_the_placeholder_of_an_example_stays() -> None:
    example = "write connection = postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    secret.remember_url(example)
    assert secret.hidden(example) == example


def test_a_password_in_a_strangers_url_is_hidden_as_well() -> None:
    assert secret.hidden("see http://ann:else@host/x") == "see http://ann:***@host/x"


def test_no_text_about_a_failure_has_a_secret(tmp_path: Path) -> None:
    conf = load(
        tmp_path,
        "[notifications]\nrabbit_password = canary-r\n"
        f"[database]\nconnection = {URL.format('canary-d')}\n",
    )
    settings = settings_from(conf)
    failure = Failure("RuntimeError: canary-r", "Traceback: canary-d\n")
    engine = build_engine(conf.database.connection)
    told = [repr(settings), str(settings), repr(engine), str(engine.url)]
    told += [failure.error, failure.traceback, first_line(RuntimeError("with canary-r"))]
    assert not [text for text in told if "canary" in text]


def test_a_configuration_without_secrets_hides_nothing() -> None:
    made.configuration()
    assert secret.hidden("a line") == "a line"
