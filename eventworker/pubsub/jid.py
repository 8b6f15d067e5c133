"""Addresses (RFC 7622): ``local@domain/resource``.

Two addresses are one only if RFC 7622 says so, since one of them could otherwise act as the other:
``straße`` is not ``strasse``, though both are the same without regard to case. What only some
servers take for the same, or what would be another letter by the next table of Unicode, is refused.

The domain stays as it is written, but for its case: ``xn--...`` is not turned into what it stands
for. A server that knows older tables could take that for somebody else's domain.
"""

from __future__ import annotations

import re
import unicodedata

from eventworker.pubsub.errors import PubSubError

#: Characters of a whole address; the standard allows 3,071 bytes, no index of a database does.
MAX_JID = 400
_NO_LOCAL = re.compile(r"[\s\"&'/:<>@\x00-\x1f\x7f]")
_LABEL = re.compile(r"[a-z0-9_\-\u0080-\U0010ffff]+")
_LITERAL = re.compile(r"\[[0-9a-f:.]+\]")
_NO_RESOURCE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
#: Characters that nobody sees (Default_Ignorable_Code_Point), beside those of the category Cf.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


def jid(text: str) -> str:
    """The address in its one form.

    :raises PubSubError: ``jid-malformed``.
    """
    made = _made(text)
    if made is None or len(made) > MAX_JID:
        raise PubSubError("jid-malformed", text=f"{text[:100]!r} is no address")
    return made


def as_given(text: str) -> str:
    """The address of a sender, as an XMPP server gives it, which prepares addresses.

    It is taken as it is or refused: to make another one of it would be to take its owner for
    somebody else, where that server tells the two apart.

    :raises PubSubError: ``jid-malformed``.
    """
    made = jid(text)
    if bare(made) != bare(text):
        raise PubSubError("jid-malformed", text=f"{text[:100]!r} should be {made}")
    return made


def bare(address: str) -> str:
    """The address without its resource."""
    return address.partition("/")[0]


def resource(address: str) -> str:
    """The resource; empty for an address without one."""
    return address.partition("/")[2]


def domain(address: str) -> str:
    """The domain of the address."""
    return bare(address).rpartition("@")[2]


def _made(text: str) -> str | None:
    before, slash, name = text.partition("/")
    local_part, at, domain_part = before.rpartition("@")
    local = _mapped(local_part)
    where = _domain(domain_part)
    name = unicodedata.normalize("NFC", name)
    if (
        local is None
        or where is None
        or bool(at) != bool(local)
        or bool(slash) != bool(name)
        or _NO_LOCAL.search(local)
        or _NO_RESOURCE.search(name)
    ):
        return None
    return f"{local}{at}{where}{slash}{name}"


def _domain(text: str) -> str | None:
    if _LITERAL.fullmatch(text.lower()):
        return text.lower()
    labels = [_mapped(label) for label in text.removesuffix(".").split(".")]
    if not all(label and _LABEL.fullmatch(label) and _is_word(label) for label in labels):
        return None
    return ".".join(filter(None, labels))


def _mapped(text: str) -> str | None:
    """The text with the mappings of RFC 8265, section 3.3.2; None where they have no one result, or
    one that another program may see otherwise."""
    if text.isascii():
        return text.lower()
    made = _once(text)
    # The profile wants what does not change when it is done again (RFC 8264, section 7). What NFKC
    # changes, older servers take for other letters.
    if made != _once(made) or made != unicodedata.normalize("NFKC", made):
        return None
    if _UNSEEN.search(made) or any(_is_hidden(each) for each in made):
        return None
    return made


def _once(text: str) -> str:
    """Width, case, and Unicode's form of composed letters."""
    return unicodedata.normalize("NFC", "".join(map(_of_one_width, text)).lower())


def _of_one_width(character: str) -> str:
    kind, _, code = unicodedata.decomposition(character).partition(" ")
    return chr(int(code, 16)) if kind in ("<wide>", "<narrow>") else character


def _is_hidden(character: str) -> bool:
    """Controls, formats, surrogates, private use, unassigned; spaces and separators."""
    return unicodedata.category(character)[0] in "CZ"


def _is_word(label: str) -> bool:
    """Whether all of it is letters, marks and digits, beside what ASCII has."""
    return all(each.isascii() or unicodedata.category(each)[0] in "LMN" for each in label)
