"""Parameters of PTX entries, as frontends read them."""

from tinytorch.gpu.frontends.parameters import entries, slots


def test_comments_are_no_entries():
    text = "// .entry x(\n/* .entry y(.param .u32 a) */ .visible .entry add(.param .u32 n)"
    assert entries(text) == ["add"]
    assert [slot.name for slot in slots(text, "add")] == ["n"]
