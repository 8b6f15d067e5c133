"""The publish-subscribe service, asked from the command line."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.helpers.commands import Commands, Result

ADA, BOB = "ada@example.org", "bob@example.org"


@pytest.fixture
def command(sqlite_engine: Engine, tmp_path: Path) -> Commands:
    url = sqlite_engine.url.render_as_string(hide_password=False)
    return Commands(
        tmp_path / "eventworker.conf",
        f"[database]\nconnection = {url}\n[pubsub]\ncreators = everyone\n",
    )


@pytest.fixture
def news(command: Commands) -> str:
    """A node, whose owner is Ada."""
    did(command("pubsub", "node", "create", "news", "--as", ADA))
    return "news"


def did(result: Result) -> Result:
    assert (result.code, result.err) == (0, "")
    return result


def refused(result: Result, words: str, code: int = 1) -> None:
    """In one line."""
    assert result.code == code
    assert result.err.startswith("eventworker: ")
    assert result.err.count("\n") == 1
    assert words in result.err


def test_a_node_is_created_listed_and_deleted(command: Commands) -> None:
    made = command("pubsub", "node", "create", "story/42", "--set", "title=A story")
    assert did(made).out == "node story/42 is created\n"
    listed = did(command("pubsub", "node", "list")).out.splitlines()
    assert listed[0].split() == ["NODE", "KIND", "TITLE"]
    assert listed[1].split() == ["story/42", "leaf", "A", "story"]
    gone = command("pubsub", "node", "delete", "story/42", "--redirect", "xmpp:there")
    assert did(gone).out == "node story/42 is deleted\n"
    assert did(command("pubsub", "node", "list", "-O", "json")).json == []
    refused(command("pubsub", "items", "story/42"), "gone")


def test_the_service_names_a_node_that_has_no_name(command: Commands) -> None:
    made = did(command("pubsub", "node", "create", "-O", "json")).json["node"]
    assert [each["node"] for each in did(command("pubsub", "node", "list", "-O", "json")).json] == [
        made
    ]


def test_the_nodes_of_a_collection_are_listed(command: Commands) -> None:
    did(command("pubsub", "node", "create", "all", "--set", "node_type=collection"))
    did(command("pubsub", "node", "create", "one", "--set", "collection=all"))
    listed = did(command("pubsub", "node", "list", "all", "-O", "json")).json
    assert [each["node"] for each in listed] == ["one"]


def test_a_node_is_described(command: Commands, news: str) -> None:
    told = did(command("pubsub", "node", "info", news, "-O", "json")).json
    assert (told["node"], told["kind"], told["owner"]) == (news, "leaf", ADA)
    assert "access model: " in did(command("pubsub", "node", "info", news)).out


def test_the_configuration_is_shown_and_changed(command: Commands, news: str) -> None:
    before = did(command("pubsub", "node", "config", news, "-O", "json")).json
    assert (before["max_items"], before["title"]) == ("max", None)
    changed = command(
        "pubsub", "node", "config", news, "max_items=7", "pubsub#title=News = new",
        "contact=a@x.org", "contact=b@x.org", "-O", "json",
    )  # fmt: skip
    told = did(changed).json
    assert (told["max_items"], told["title"]) == ("7", "News = new")
    assert told["contact"] == ["a@x.org", "b@x.org"]
    emptied = did(command("pubsub", "node", "config", news, "contact=", "-O", "json")).json
    assert (emptied["contact"], emptied["title"]) == (None, "News = new")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("acess_model=open", "there is no field acess_model; do you mean access_model?"),
        ("zzz=1", "there is no field zzz"),
        ("access_model=ajar", "access_model: 'ajar' is none of open, presence"),
        ("title", "'title' is not FIELD=VALUE"),
    ],
)
def test_a_field_that_does_not_exist_is_a_mistake(
    command: Commands, news: str, word: str, reason: str
) -> None:
    result = command("pubsub", "node", "config", news, word)
    assert result.code == 2
    assert reason in result.err


def test_a_value_that_the_service_refuses_is_named(command: Commands, news: str) -> None:
    refused(command("pubsub", "node", "config", news, "max_items=many"), "not-acceptable")
    refused(
        command("pubsub", "node", "config", news, "access_model=roster"),
        "unsupported-access-model",
    )


def test_items_are_published_shown_and_retracted(command: Commands, news: str) -> None:
    words = ("pubsub", "publish", news)
    said = command(*words, '{"title": "first"}', "--id", "1", "--as", ADA)
    assert did(said).out == "item 1 is published to news\n"
    did(command(*words, "<p xmlns='urn:x'>2</p>", "--id", "2"))
    did(command(*words, "-", "--id", "3", stdin='["drei", "ß"]'.encode()))
    path = command.path.with_name("item.xml")
    path.write_text("  <p xmlns='urn:x'>4</p>\n")
    made = did(command(*words, "--file", str(path), "-O", "json")).json["id"]
    items = did(command("pubsub", "items", news, "-O", "json")).json
    assert [each["id"] for each in items] == ["1", "2", "3", made]
    assert [each["publisher"] for each in items[:2]] == [ADA, "pubsub.localhost"]
    assert items[2]["payload"] == '<json xmlns=\'urn:xmpp:json:0\'>["drei", "ß"]</json>'
    newest = did(command("pubsub", "items", news, "--max", "1")).out.splitlines()
    assert len(newest) == 2
    assert newest[1].startswith(made)
    did(command("pubsub", "retract", news, "1", "2", "--notify"))
    chosen = did(command("pubsub", "items", news, "1", "3", "-O", "json")).json
    assert [each["id"] for each in chosen] == ["3"]
    assert did(command("pubsub", "node", "purge", news)).out == "node news is purged\n"
    assert did(command("pubsub", "items", news, "-O", "json")).json == []


def test_of_items_to_retract_all_go_or_none(command: Commands, news: str) -> None:
    did(command("pubsub", "publish", news, "[1]", "--id", "1"))
    refused(command("pubsub", "retract", news, "1", "2"), "item-not-found")
    assert len(did(command("pubsub", "items", news, "-O", "json")).json) == 1


def test_subscribers_are_told_without_an_item(command: Commands, news: str) -> None:
    fields = ("persist_items=false", "deliver_payloads=false")
    did(command("pubsub", "node", "config", news, *fields))
    said = command("pubsub", "publish", news, "--notify")
    assert did(said).out == "the subscribers of news are told\n"
    refused(command("pubsub", "publish", news, "--notify", "--id", "1"), "no --id", 2)
    refused(command("pubsub", "publish", news, "[1]"), "bad-request item-forbidden")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("plain", "neither an XML element nor a JSON object or array"),
        ("3", "neither an XML element nor a JSON object or array"),
        ('{"a": NaN}', "neither an XML element nor a JSON object or array"),
        ("[" * 50_000, "neither an XML element nor a JSON object or array"),
        ("<p>", "bad-request invalid-payload"),
    ],
)
def test_a_payload_that_cannot_be_used_is_refused(
    command: Commands, news: str, payload: str, reason: str
) -> None:
    refused(command("pubsub", "publish", news, payload), reason)


def test_a_payload_that_cannot_be_read_is_refused(command: Commands, news: str) -> None:
    words = ("pubsub", "publish", news)
    refused(command(*words, "--file", "/nowhere/item"), "/nowhere/item cannot be read")
    refused(command(*words, "--file", "-", stdin=b"\xff"), "the payload is not UTF-8")


def test_addresses_are_subscribed_and_leave(command: Commands, news: str) -> None:
    said = command("pubsub", "subscribe", news, BOB, "--set", "include_body=true")
    assert did(said).out == "bob@example.org is subscribed to news\n"
    did(command("pubsub", "node", "config", news, "access_model=authorize"))
    said = command("pubsub", "subscribe", news, "--as", "eve@example.org/sofa")
    assert did(said).out == "eve@example.org/sofa waits for an owner's word on news\n"
    listed = did(command("pubsub", "node", "subscriptions", news, "-O", "json")).json
    assert [(each["jid"], each["state"]) for each in listed] == [(BOB, "subscribed")]
    changed = command(
        "pubsub", "node", "subscriptions", news, "eve@example.org/sofa=subscribed", "--as", ADA
    )
    assert "eve@example.org/sofa" in did(changed).out
    said = command("pubsub", "unsubscribe", news, BOB)
    assert did(said).out == "bob@example.org is not subscribed to news any more\n"
    refused(command("pubsub", "unsubscribe", news, BOB), "unexpected-request not-subscribed")
    refused(command("pubsub", "subscribe", news), "name the subscriber, by JID or by --as", 2)


def test_affiliations_are_shown_and_changed(command: Commands, news: str) -> None:
    words = ("pubsub", "node", "affiliations", news)
    changed = did(command(*words, f"{BOB}=publisher", "eve@example.org=outcast", "-O", "json"))
    roles = {each["jid"]: each["affiliation"] for each in changed.json}
    assert roles == {ADA: "owner", BOB: "publisher", "eve@example.org": "outcast"}
    partly = command(*words, f"{ADA}=none", f"{BOB}=member", "-O", "json")
    refused(partly, "ada@example.org: not-acceptable: still owner")
    assert {each["jid"]: each["affiliation"] for each in partly.json}[BOB] == "member"
    refused(command(*words, f"{BOB}=king"), "'king' is none of owner")
    assert command(*words, "bob").code == 2
    refused(command(*words, f"{BOB}=owner", "--as", BOB), "forbidden")


def test_what_somebody_else_asks_for_is_his_to_ask(command: Commands, news: str) -> None:
    refused(command("pubsub", "publish", news, "[1]", "--as", BOB), "forbidden")
    refused(command("pubsub", "publish", news, "[1]", "--as", "@"), "jid-malformed")
    refused(command("pubsub", "node", "info", "nothing"), "item-not-found: there is no node")


def test_a_configuration_that_cannot_be_used_is_said(
    command: Commands, sqlite_engine: Engine
) -> None:
    url = sqlite_engine.url.render_as_string(hide_password=False)
    text = f"[database]\nconnection = {url}\n[pubsub]\nnode_defaults = titel:x\n"
    wrong = Commands(command.path.with_name("wrong.conf"), text)
    refused(wrong("pubsub", "node", "list"), "[pubsub] node_defaults", 2)


@pytest.mark.parametrize(
    "verb",
    ["node create", "node config", "node affiliations", "subscribe", "publish", "items"],
)
def test_each_verb_explains_itself_by_an_example(command: Commands, verb: str) -> None:
    said = did(command("pubsub", *verb.split(), "--help")).out
    assert f"example:\n  eventworker pubsub {verb} " in said
