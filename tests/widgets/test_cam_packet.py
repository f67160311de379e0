"""What travels to a GradCAMViewer's view fits the line, whatever the images."""

import io

import numpy as np
import pytest
from PIL import Image

from nbtorchviz.analysis.images import InputImage
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.live.pacing import MAX_FRAME_BYTES
from nbtorchviz.widgets.cam_packet import images_packet


def picture(*shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    return InputImage(pixels, "rgb" if len(shape) == 3 else "gray", (0.0, 1.0), "", None)


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (224, 224, 3)), (4, (224, 224, 3)), (8, (224, 112, 3)), (8, (224, 3))]
)
def test_photographs_fit_into_one_message(count, shape):
    data = images_packet([picture(*shape)] * count, [f"image {i}" for i in range(count)])
    assert len(data) <= MAX_FRAME_BYTES
    header, arrays = unpack(data)
    for row, array in zip(header["rows"], arrays.values(), strict=True):
        assert (row["h"], row["w"]) == shape[:2]
        assert decoded(array).shape[:2] == shape[:2]


def decoded(array):
    return np.asarray(Image.open(io.BytesIO(array.tobytes())))


def test_small_images_stay_as_they_are_and_larger_ones_keep_their_mean():
    small, large = picture(28, 28), picture(200, 200)
    _, arrays = unpack(images_packet([small, large], ["a", "b"]))
    np.testing.assert_array_equal(arrays["image0"], small.pixels)
    assert decoded(arrays["jpeg1"]).mean() == pytest.approx(large.pixels.mean(), abs=1)
