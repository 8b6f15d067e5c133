"""Addresses: who is the same as whom, and who must not be."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.jid import as_given, bare, domain, jid
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import OWNER, Desk, form, item, refused

#: Letters that change when their case is folded or they are written plainly, and what they become.
TELLING = (
    "aAsSßẞςσΣıİiIﬁﬀÄäÅÅΩωǅDždžⅣéſKk"
    "A\u0308a\u0308\u212b\u2126\u212a\uff21\uff41\u1e9b\u0345\u200d\u00ad\u0378"
)
parts = st.text(st.one_of(st.sampled_from(TELLING), st.characters()), min_size=1, max_size=4)


def made(text: str) -> str | None:
    try:
        return jid(text)
    except PubSubError:
        return None


def given_as(text: str) -> str | None:
    try:
        return as_given(text)
    except PubSubError:
        return None


addresses = st.one_of(
    st.text(max_size=8),
    st.builds("{}@{}".format, parts, parts),
    st.builds("{}@{}.org/{}".format, parts, parts, parts),
)


@given(addresses)
def test_an_address_in_its_one_form_stays_as_it_is(text: str) -> None:
    once = made(text)
    if once is not None:
        assert jid(once) == once


@given(addresses)
def test_a_sender_is_nobody_but_himself(text: str) -> None:
    taken = given_as(text)
    if taken is not None:
        assert bare(taken) == bare(text)


@given(parts, parts)
def test_two_names_are_one_only_by_case_width_and_composition(first: str, second: str) -> None:
    """By Unicode's own words: what toLowercase() and the canonical forms make of each character."""
    one, other = made(f"{first}@a"), made(f"{second}@a")
    if one is None or one != other:
        return

    def plain(text: str) -> str:
        narrow = "".join(
            unicodedata.normalize("NFKC", each)
            if unicodedata.east_asian_width(each) in "FH"
            else each
            for each in text
        )
        return unicodedata.normalize("NFD", narrow.lower())

    assert unicodedata.normalize("NFC", plain(first)) == unicodedata.normalize("NFC", plain(second))


@given(parts, parts)
def test_a_domain_is_never_another_one_than_its_owner_has_registered(
    first: str, second: str
) -> None:
    one, other = made(f"{first}.org"), made(f"{second}.org")
    if one is not None and one == other:
        assert made(f"{first}@a") == made(f"{second}@a")


@pytest.mark.parametrize("form", ["{}@example.org", "a@{}.org", "{}.org"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße", "strasse"),
        ("ας", "ασ"),
        ("fı", "fi"),
        ("\u0130", "i"),
        ("o\u0338", "o"),
    ],
)
def test_letters_that_only_folding_makes_the_same_are_two(form: str, one: str, other: str) -> None:
    assert jid(form.format(one)) != jid(form.format(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ANN", "ann"),
        ("STRASSE", "strasse"),
        ("\u1e9e", "ß"),
        ("A\u0308", "ä"),
        ("Ä", "ä"),
        ("\uff21\uff4e\uff4e", "ann"),
        ("\uff76", "カ"),
        ("\u212b", "å"),
    ],
)
def test_case_width_and_composition_do_not_matter(one: str, other: str) -> None:
    assert jid(f"{one}@{one}.org") == jid(f"{other}@{other}.org") == f"{other}@{other}.org"


@pytest.mark.parametrize(
    "wrong",
    [
        "ﬁ",
        "Ⅳ",
        "²",
        "ſ",
        "a\u200db",
        "a\u00adb",
        "a\u034fb",
        "a\u00a0b",
        "\ue000",
        "\u0378",
        "a\uff20b",
    ],
)
def test_what_servers_take_for_different_names_is_refused(wrong: str) -> None:
    for text in (f"{wrong}@example.org", f"a@{wrong}.org"):
        with refused("jid-malformed"):
            jid(text)


@pytest.mark.parametrize(
    "wrong", ["a@", "a@.", "a@b..c", "a@b..", "a@.b", "a@b。c", "a@♥.org", "a@b c", "a@b!", "a@[x]"]
)
def test_a_domain_is_labels_or_a_number(wrong: str) -> None:
    with refused("jid-malformed"):
        jid(wrong)


def test_domains_that_are_some() -> None:
    assert jid("EXAMPLE.org.") == "example.org"
    assert jid("a@[2001:DB8::1]") == "a@[2001:db8::1]"
    assert jid("a_b@my_host/R") == "a_b@my_host/R"
    assert jid("♥@bücher.example") == "♥@bücher.example"


def test_an_encoded_domain_is_not_decoded() -> None:
    """Older servers would take the plain form for strasse.example, whoever that belongs to."""
    assert domain(as_given("ann@xn--strae-oqa.example/x")) == "xn--strae-oqa.example"


def test_a_sender_whom_his_server_has_not_prepared_is_refused() -> None:
    for text in ("Ann@example.org/desk", "ann@Example.org", "a\u0308@example.org", "\u1e9e@a"):
        with refused("jid-malformed"):
            as_given(text)
    assert as_given("straße@example.org/Desk") == "straße@example.org/Desk"


@pytest.mark.row("A3", "S5")
def test_a_member_does_not_let_in_whoever_is_called_alike(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="whitelist"))
    desk.publish("news", OWNER, [item("a")])
    member = Affiliated("news", "Strasse@Example.org", Affiliation.MEMBER)
    desk.change_node_affiliations("news", OWNER, [member])
    assert len(desk.items("news", Actor(as_given("strasse@example.org/x"))).entries) == 1
    for other in ("straße@example.org/x", "strasse@example.org.evil"):
        with refused("not-allowed", "closed-node"):
            desk.items("news", Actor(as_given(other)))
