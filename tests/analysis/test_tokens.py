import pytest

from nbtorchviz.analysis.layouts import STATES
from nbtorchviz.analysis.tokens import patch_grid, row_words


@pytest.mark.parametrize(
    ("tokens", "image", "grid"),
    [
        (196, (224, 224), (0, 14, 14)),
        (197, (224, 224), (1, 14, 14)),
        (198, (224, 224), (2, 14, 14)),
        (50, (224, 224), (1, 7, 7)),
        (201, (224, 224), (5, 14, 14)),
        (16, (28, 28), (0, 4, 4)),
        (393, (224, 448), (1, 14, 28)),
        (28, (28, 28), None),
        (196, None, None),
        (0, (224, 224), None),
        (1, (224, 224), None),
        (5, (1, 1), None),
    ],
)
def test_tokens_find_their_patch_grid(tokens, image, grid):
    assert patch_grid(tokens, image) == grid


def test_rows_are_tokens_unless_the_layout_says_otherwise():
    assert row_words(()) == ("token", "feature")
    assert row_words(("pooled by 2", STATES)) == ("state", "feature")
