"""Owner use cases that concern the node itself: rows C1 to C4, N1 to N5, X1, X2 and G1."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime

import pytest
from sqlalchemy import select, update

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.forms import texts_of
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import node_table
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused

#: A value that differs from the default for each field that a leaf can have.
OTHER = form(
    title="News",
    description="All of them",
    access_model="authorize",
    publish_model="open",
    roster_groups_allowed=["friends", "others"],
    deliver_notifications="false",
    deliver_payloads="0",
    notify_config="true",
    notify_delete="0",
    notify_retract="0",
    notify_sub="1",
    notification_type="normal",
    presence_based_delivery="1",
    persist_items="0",
    max_items="7",
    publish_node_full="reject",
    item_expire="604800",
    max_payload_size="1000",
    purge_offline="1",
    send_last_published_item="on_sub",
    subscribe="0",
    tempsub="1",
    itemreply="none",
    type="urn:example:entry",
    language="en",
    contact=["ann@example.org", "ben@example.org"],
    body_xslt="http://example.org/body.xslt",
    dataform_xslt="http://example.org/form.xslt",
    children_max="3",
    children_association_policy="whitelist",
    children_association_whitelist=["ann@example.org"],
)


def test_the_sample_has_every_field_but_those_of_a_collection() -> None:
    named = {name.removeprefix("pubsub#") for name in OTHER}
    ours = {each.name for each in fields(NodeConfig)}
    assert ours - named == {"node_type", "collection", "children"}


@pytest.mark.row("N1", "N2")
def test_every_field_is_accepted_and_kept(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.configure("news", OWNER, OTHER)
    kept = texts_of(desk.configuration("news", OWNER))
    booleans = {"true": "1", "false": "0"}
    wanted = {name: [booleans.get(text, text) for text in texts] for name, texts in OTHER.items()}
    assert {name: kept[name] for name in wanted} == wanted


@pytest.mark.row("N2", "N6")
def test_a_language_is_a_tag_and_can_be_taken_back(desk: Desk) -> None:
    desk.create("news", OWNER, form(language="de-AT"))
    for wrong in ("English, mostly", "de_AT", "e'", "-", "123456789", "en-", "\u0435n"):
        with refused("not-acceptable"):
            desk.configure("news", OWNER, form(language=wrong))
    assert desk.configuration("news", OWNER).language == "de-AT"
    desk.configure("news", OWNER, form(language=""))
    assert desk.configuration("news", OWNER).language == ""


@pytest.mark.row("C3")
def test_a_node_is_made_as_its_form_says(desk: Desk) -> None:
    desk.create("news", OWNER, OTHER)
    assert desk.configuration("news", OWNER).title == "News"
    assert desk.configuration("news", OWNER).max_items == 7


@pytest.mark.row("N2")
def test_a_form_that_is_sent_back_whole_changes_nothing(desk: Desk) -> None:
    for name, first in (("news", {}), ("all", form(node_type="collection")), ("other", OTHER)):
        desk.create(name, OWNER, first)
        shown = desk.configuration(name, OWNER)
        empty = {field: texts or [""] for field, texts in texts_of(shown).items()}
        desk.configure(name, OWNER, empty | form(unheard_of="1") | {"FORM_TYPE": ["x"]})
        assert desk.configuration(name, OWNER) == shown


@pytest.mark.row("C1", "A5")
def test_who_may_create_nodes(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(creators="admins")
    with refused("forbidden"):
        desk.create("news", ANN)
    desk.create("news", ADMIN)
    desk.create("other", OWNER)
    with refused("conflict"):
        desk.create("news", OWNER)
    desk_with(creators="everyone").create("hers", ANN)


@pytest.mark.row("C4")
def test_whoever_creates_a_node_owns_it_and_may_delete_it(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(creators="everyone", max_nodes=2)
    for name in ("a", "b"):
        desk.create(name, ANN)
    with refused("not-allowed", "max-nodes-exceeded"):
        desk.create("c", ANN)
    desk.create("c", ADMIN)
    assert desk.node_affiliations("a", ANN) == [Affiliated("a", ANN.bare, Affiliation.OWNER)]
    desk.delete("a", ANN)
    desk.create("d", ANN)


@pytest.mark.row("C4")
def test_the_limit_is_of_nodes_that_one_has_made_whoever_owns_them(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(creators="everyone", max_nodes=2)
    for name in ("a", "b"):
        desk.create(name, ANN)
        desk.change_node_affiliations(name, ANN, [Affiliated(name, BEN.bare, Affiliation.OWNER)])
        desk.change_node_affiliations(name, ANN, [Affiliated(name, ANN.bare, Affiliation.NONE)])
    with refused("not-allowed", "max-nodes-exceeded"):
        desk.create("c", ANN)
    desk.create("d", BEN)


@pytest.mark.row("X2", "C4")
def test_a_place_that_leads_elsewhere_counts_as_a_node(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(creators="everyone", max_nodes=2)
    for name in ("a", "b"):
        desk.create(name, ANN)
        desk.delete(name, ANN, "xmpp:elsewhere.example?;node=x")
    with refused("not-allowed", "max-nodes-exceeded"):
        desk.create("c", ANN)
    desk.create("a", BEN)
    desk.create("c", ANN)


@pytest.mark.row("C2", "T1")
def test_a_node_without_a_name_is_given_one(desk: Desk) -> None:
    first, second = desk.create(None, OWNER), desk.create(None, OWNER)
    assert first != second
    desk.publish(first, OWNER, [item("a")])


@pytest.mark.row("T1")
@pytest.mark.parametrize("name", ["story/42", "  spaces ", "<&'\">", "\u00e4\U0001f600", "x" * 512])
def test_a_name_is_kept_as_it_was_given(desk: Desk, name: str) -> None:
    desk.create(name, OWNER)
    desk.publish(name, OWNER, [item(name)])
    assert [each.id for each in desk.items(name, ANN).entries] == [name]
    assert [each.node for each in desk.nodes(ANN).entries] == [name]
    for other in (name.upper() + "x", name[:-1]):
        with refused("item-not-found"):
            desk.items(other, ANN)


@pytest.mark.row("T1")
@pytest.mark.parametrize("name", ["", "x" * 513, "a\x00", "a\x1f", "a\ud800"])
def test_a_node_has_a_name_that_can_be_written(desk: Desk, name: str) -> None:
    with refused("not-acceptable"):
        desk.create(name, OWNER)


@pytest.mark.row("C3")
@pytest.mark.parametrize("model", ["roster", "secret"])  # nobody can read rosters here
def test_an_access_model_that_the_service_does_not_know_is_refused(desk: Desk, model: str) -> None:
    with refused("not-acceptable", "unsupported-access-model"):
        desk.create("news", OWNER, form(access_model=model))
    desk.create("news", OWNER)
    with refused("not-acceptable", "unsupported-access-model"):
        desk.configure("news", OWNER, form(access_model=model))


@pytest.mark.row("N2")
@pytest.mark.parametrize(
    "wrong",
    [
        form(publish_model="nobody"),
        form(persist_items="maybe"),
        form(max_items="many"),
        form(max_items="-1"),
        form(max_items=0),
        form(max_items=10001),
        form(max_payload_size=65537),
        form(item_expire=0),
        form(contact="not an address"),
        form(title="a\x00b"),
        form(title="a\ud800b"),
        form(description="x" * 70000),
    ],
)
def test_a_value_that_cannot_be_is_refused(desk: Desk, wrong: dict[str, list[str]]) -> None:
    with refused("not-acceptable"):
        desk.create("news", OWNER, form(language="en") | wrong)
    desk.create("news", OWNER)
    before = desk.configuration("news", OWNER)
    with refused("not-acceptable"):
        desk.configure("news", OWNER, form(language="en") | wrong)
    assert desk.configuration("news", OWNER) == before


@pytest.mark.row("N2")
def test_a_limit_that_was_lowered_since_can_be_sent_back(desk_with: Callable[..., Desk]) -> None:
    desk_with().create("news", OWNER, form(max_items=100))
    desk = desk_with(max_items=10)
    desk.configure("news", OWNER, form(max_items=100, title="News"))
    with refused("not-acceptable"):
        desk.configure("news", OWNER, form(max_items=99))
    for _ in range(3):
        desk.publish("news", OWNER, [item() for _ in range(5)])
    assert len(desk.items("news", OWNER).entries) == 10


@pytest.mark.row("N2")
def test_a_node_stays_a_leaf_or_a_collection(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.create("all", OWNER, form(node_type="collection"))
    for name, kind in (("news", "collection"), ("all", "leaf")):
        with refused("not-allowed", "invalid-options"):
            desk.configure(name, OWNER, form(node_type=kind))


@pytest.mark.row("N3", "A5")
def test_only_owners_configure_purge_and_delete(desk: Desk) -> None:
    desk.create("news", OWNER)
    for affiliation in Affiliation:
        if affiliation is not Affiliation.OWNER:
            change = [Affiliated("news", ANN.bare, affiliation)]
            assert desk.change_node_affiliations("news", OWNER, change) == []
            _refused_to(desk, ANN)
    _refused_to(desk, BEN)
    for owner in (OWNER, ADMIN):
        desk.configuration("news", owner)
        desk.configure("news", owner, form(title="News"))
        desk.purge("news", owner)


def _refused_to(desk: Desk, actor: Actor) -> None:
    with refused("forbidden"):
        desk.configuration("news", actor)
    with refused("forbidden"):
        desk.configure("news", actor, form(title="x"))
    with refused("forbidden"):
        desk.purge("news", actor)
    with refused("forbidden"):
        desk.delete("news", actor)


@pytest.mark.row("N3", "X1", "G1")
def test_a_node_that_is_not_there_is_not_found(desk: Desk) -> None:
    for ask in (
        lambda: desk.configuration("news", OWNER),
        lambda: desk.configure("news", OWNER, {}),
        lambda: desk.purge("news", OWNER),
        lambda: desk.delete("news", OWNER),
    ):
        with refused("item-not-found"):
            ask()


@pytest.mark.row("N4")
def test_a_change_of_the_configuration_is_told_if_the_node_says_so(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.listen_to("news")
    desk.configure("news", OWNER, form(title="News"))
    assert desk.heard() == []
    desk.configure("news", OWNER, form(notify_config=1))
    desk.configure("news", OWNER, form(deliver_payloads=0))
    (first, second) = desk.heard()
    assert first[1]["fields"]["pubsub#title"] == ["News"]
    assert second == ("configuration", {})


@pytest.mark.row("N2", "P13")
def test_a_shorter_node_loses_its_oldest_items(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item(name) for name in "abcd"])
    desk.listen_to("news")
    desk.configure("news", OWNER, form(max_items=2))
    assert [each.id for each in desk.items("news", OWNER).entries] == ["c", "d"]
    assert desk.heard() == [("retract", {"ids": ["a", "b"]})]


@pytest.mark.row("T4")
def test_a_time_that_is_set_later_is_that_of_the_items_there_too(desk: Desk) -> None:
    def ends() -> list[datetime | None]:
        with desk.service() as service:
            return (
                service.connection.exec_driver_sql(  # type: ignore[return-value]
                    "SELECT expires_at FROM eventworker_pubsub_item"
                )
                .scalars()
                .all()
            )

    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a")])
    assert ends() == [None]
    desk.configure("news", OWNER, form(item_expire=60))
    assert ends() != [None]
    desk.configure("news", OWNER, form(item_expire="max"))
    assert ends() == [None]


@pytest.mark.row("N5")
def test_the_default_configuration_is_the_one_of_new_nodes(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(node_defaults=NodeConfig(access_model="whitelist", max_items=9))
    assert desk.default_configuration().access_model == "whitelist"
    assert desk.default_configuration("collection").node_type == "collection"
    with refused("bad-request"):
        desk.default_configuration("tree")
    desk.create("news", OWNER)
    assert desk.configuration("news", OWNER) == desk.default_configuration()


@pytest.mark.row("X1")
def test_a_deleted_node_is_gone_with_its_items(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a")])
    desk.listen_to("news")
    desk.delete("news", OWNER)
    assert desk.heard() == [("delete", {})]
    with refused("item-not-found"):
        desk.items("news", OWNER)
    desk.create("news", OWNER)
    assert desk.items("news", OWNER).entries == []


@pytest.mark.row("X1")
def test_a_node_may_go_in_silence(desk: Desk) -> None:
    desk.create("news", OWNER, form(notify_delete=0))
    desk.listen_to("news")
    desk.delete("news", OWNER)
    assert desk.heard() == []


@pytest.mark.row("X1")
def test_those_who_wait_to_be_subscribed_are_told_that_the_node_is_gone(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="authorize"))
    desk.create("other", OWNER)
    desk.listen_to("other")
    desk.subscribe("news", ANN, ANN.jid)
    before = len(desk.heard())
    desk.publish("news", OWNER, [item("a")])
    desk.delete("news", OWNER)
    assert [word for word, _ in desk.heard()[before:]] == ["delete"]


@pytest.mark.row("X2", "S11")
def test_a_deleted_node_says_where_it_has_gone_until_there_is_a_new_one(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.listen_to("news")
    with refused("not-acceptable"):
        desk.delete("news", OWNER, redirect_uri="")
    with refused("not-acceptable"):
        desk.delete("news", OWNER, redirect_uri="xmpp:a?;node=b\nc")
    desk.delete("news", OWNER, redirect_uri="xmpp:pubsub.example.org?;node=old")
    with pytest.raises(PubSubError, match="news is at xmpp:pubsub"):
        desk.node_info("news", ANN)
    assert desk.heard() == [("delete", {"uri": "xmpp:pubsub.example.org?;node=old"})]
    with refused("gone"):
        desk.subscribe("news", ANN, ANN.jid)
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid)
    desk.delete("news", OWNER)
    with refused("item-not-found"):
        desk.subscribe("news", ANN, ANN.jid)


@pytest.mark.row("G1")
def test_a_purge_is_told_once(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item(), item(), item()])
    desk.listen_to("news")
    desk.purge("news", OWNER)
    assert desk.heard() == [("purge", {})]
    assert desk.items("news", OWNER).entries == []


@pytest.mark.row("G1")
def test_a_node_without_items_cannot_be_purged(desk: Desk) -> None:
    desk.create("events", OWNER, form(persist_items=0))
    desk.create("all", OWNER, form(node_type="collection"))
    for name in ("events", "all"):
        with refused("feature-not-implemented", "unsupported", "persistent-items"):
            desk.purge(name, OWNER)


def test_what_is_refused_has_written_nothing(desk: Desk) -> None:
    with desk.service() as service:
        service.create("all", OWNER, form(node_type="collection", children_max=0))
        with refused("not-allowed", "max-nodes-exceeded"):
            service.create("news", OWNER, form(collection="all"))
        names = service.connection.scalars(select(node_table.c.name)).all()
    assert names == ["all"]


@pytest.mark.row("N2", "G1")
def test_a_node_that_is_to_keep_no_items_keeps_none(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("1")])
    desk.listen_to("news")
    desk.configure("news", OWNER, form(persist_items="0"))
    assert [word for word, _ in desk.heard()] == ["purge"]
    desk.configure("news", OWNER, form(persist_items="1"))
    assert desk.items("news", OWNER).entries == []


@pytest.mark.row("N2")
def test_a_configuration_does_not_grow_field_by_field(desk: Desk) -> None:
    desk.create("news", OWNER, form(title="&" * 6000))
    with refused("not-acceptable"):
        desk.configure("news", OWNER, form(description="&" * 6000))
    assert desk.configuration("news", OWNER).description == ""
    desk.configure("news", OWNER, form(title="News", description="&" * 6000))


def test_a_configuration_of_before_a_limit_can_still_be_changed(desk: Desk) -> None:
    desk.create("news", OWNER)
    large = replace(desk.configuration("news", OWNER), description="d" * 40_000).to_json()
    with desk.service() as service:
        service.connection.execute(update(node_table).values(config=large))
    desk.configure("news", OWNER, form(max_items="7"))
    assert desk.configuration("news", OWNER).max_items == 7
