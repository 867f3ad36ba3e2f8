"""Text in one form."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gated.unicode import clean, squeeze


def test_text_becomes_nfc_and_keeps_no_break_spaces():
    """A letter and its accent become one character; a no-break space is none of the white space that is squeezed."""
    assert squeeze("  cafe\u0301 \u00a0! ") == "caf\u00e9 \u00a0!"


def test_every_space_may_be_white_space():
    """Every kind of space becomes one, accents join their letters, control characters go; joiners stay."""
    assert clean(" a\u00a0\t b\u2009c\r\n\u3000d ", every_space=True) == "a b c d"
    assert clean("cafe\u0301", every_space=True) == "caf\u00e9"
    assert clean("a\x07b\ufeffc\ud800d", every_space=True) == "a b c d"
    assert clean("\u0645\u06cc\u200c\u062e", every_space=True) == "\u0645\u06cc\u200c\u062e"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_clean_text_is_clean_again(word, every):
    """Cleaning what is clean changes nothing."""
    assert clean(clean(word, every), every) == clean(word, every)
