"""The static picture: it says what it shows, in every state, in bounded bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from nbtorchviz.analysis.activation_picture import activation_picture
from nbtorchviz.analysis.colormaps import code_table
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.feature_maps import describe
from nbtorchviz.analysis.packets import pack, unpack

CHW, TD, F = ("C", "H", "W"), ("T", "D"), ("F",)
STATE = {"model": "Net", "step": 468, "chip": {"mode": "live"}, "status": None}


def frame(values, axes, **facts):
    """Header and arrays as they leave the packet."""
    values = np.asarray(values, np.float32)
    shown = describe(values, axes)
    nan = int(np.isnan(values).sum())
    header = {
        "layer": "block1.relu",
        "type": "ReLU",
        "show": "activation",
        "step": 468,
        "phase": "train",
        "source": "batch",
        "sample_word": "sample",
        "shape": list(values.shape),
        "stats": {"count": values.size, "nan": nan},
        "dead": {},
        "quiet": shown.quiet(),
        "dead_window": 64,
        "notes": list(shown.notes),
        "pooled": shown.pooled,
        "names": None,
        "receptive": {"size": [3, 3], "stride": [1, 1], "start": [-1, -1]},
        "input": {
            "label": "3",
            "prediction": "8",
            "probability": 0.75,
            "text": "sample 10, new each step",
            "shape": [1, 8, 8],
            "layout": "gray",
        },
        **shown.header(),
        **facts,
    }
    arrays = {**shown.arrays(), "input": np.arange(64, dtype=np.uint8).reshape(8, 8)}
    return unpack(pack(header, arrays))


def maps(count=6, size=8):
    return np.random.default_rng(0).random((count, size, size)).astype(np.float32)


@pytest.fixture
def texts(monkeypatch):
    """Every text drawn, with its right end in CSS pixels."""
    drawn = {}
    draw = Picture.text

    def note(self, at, text, **options):
        width = draw(self, at, text, **options)
        shift = {"left": width, "center": width / 2, "right": 0}[options.get("align", "left")]
        drawn[text] = at[0] + shift
        return width

    monkeypatch.setattr(Picture, "text", note)
    return drawn


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def colors_of(data):
    image = opened(data)
    return {color for _, color in image.getcolors(image.width * image.height)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_says_what_it_shows(texts, theme):
    values = maps()
    data = activation_picture(*frame(values, CHW), STATE, theme, channel=2)
    assert {"block1.relu", "ReLU, 6×8×8", "step 468", "train", "6 channels", "Channel 2"} <= set(
        texts
    )
    assert {"each on its own scale, viridis", "label 3, predicted 8", "p(8) = 75.0 %"} <= set(texts)
    for index, plane in enumerate(values):
        assert str(index) in texts
        assert f"{plane.max():.2f}" in texts
    row, column = np.unravel_index(values[2].argmax(), (8, 8))
    assert f"row {row}, col {column} = {values[2].max():.2f}" in texts
    assert {"64 pixels, log count", "activation", "min", "max", "mean", "std", "zero"} <= set(texts)
    assert opened(data).width == 1800
    assert len(data) <= 100_000


def test_maps_have_the_colours_of_their_codes():
    header, arrays = frame(np.array([[[0, 1], [0, 0]]]), CHW, input=None)
    data = activation_picture(header, arrays, STATE)
    found = colors_of(data)
    assert tuple(map(int, code_table("viridis")[0])) in found
    assert tuple(map(int, code_table("viridis")[252])) in found


def test_signed_values_are_drawn_around_zero(texts):
    values = maps() - 0.25
    activation_picture(*frame(values, CHW), STATE)
    assert "each on its own scale, diverging" in texts
    reach = np.abs(values[0]).max()
    assert f"±{reach:.2f}" in texts
    assert f"−{reach:.3f}" in texts
    assert f"{reach:.3f}" in texts


def test_one_scale_for_all_is_named(texts):
    activation_picture(*frame(maps(), CHW), STATE, normalize="layer")
    assert "all on one scale, viridis" in texts


def test_dead_is_hatched_and_zero_for_this_sample_is_not_dead(texts):
    values = maps()
    values[[1, 4]] = 0
    header, arrays = frame(values, CHW, dead={"1": 38})
    header["quiet"] = [4]
    activation_picture(header, arrays, STATE, channel=1)
    assert "1 dead: zero in every training batch since step 38" in texts
    assert "zero since step 38" in texts
    assert "4 zero for this sample, active in the last 64 batches" in texts


@pytest.mark.parametrize("size", [6, 90])
def test_dead_neurons_of_a_vector_are_named(texts, size):
    header, arrays = frame(np.arange(size, dtype=np.float32) - 1, F, dead={"1": 38, "4": 40})
    activation_picture(header, arrays, STATE)
    assert "1, 4 dead: zero in every training batch since steps 38 to 40" in texts


@pytest.mark.parametrize(("step", "words"), [(63, ""), (64, ", active in the last 64 batches")])
def test_zero_for_this_sample_is_active_only_where_that_is_known(texts, step, words):
    values = maps()
    values[4] = 0
    header, arrays = frame(values, CHW)
    header |= {"quiet": [4], "step": step}
    activation_picture(header, arrays, STATE)
    assert f"4 zero for this sample{words}" in texts


def test_nan_is_a_word_and_a_hatch_never_a_colour_alone(texts):
    values = np.full((2, 8, 8), np.nan, np.float32)
    data = activation_picture(*frame(values, CHW), STATE)
    assert {"NaN", "no finite value", "All 128 values are NaN."} <= set(texts)
    assert (255, 0, 255) not in colors_of(data)
    values[0] = 1
    values[0, 2, 2] = np.nan
    texts.clear()
    data = activation_picture(*frame(values, CHW), STATE)
    assert "magenta: not finite (NaN; lighter +Inf, darker −Inf)" in texts
    assert (255, 0, 255) in colors_of(data)


def test_many_channels_show_the_page_of_the_chosen_one(texts):
    activation_picture(*frame(maps(512, 7), CHW), STATE, channel=100)
    assert "each on its own scale, viridis, 72 to 143 shown" in texts
    assert "100" in texts
    assert "71" not in texts


def test_few_values_are_bars_and_many_a_strip(texts):
    names = ["cat", "dog", "fox"]
    activation_picture(*frame([1.0, -2.0, np.nan], F, names=names), STATE)
    assert {"3 values", "cat", "1.00", "dog", "−2.00", "NaN"} <= set(texts)
    texts.clear()
    activation_picture(*frame(np.arange(500.0), F), STATE, channel=7)
    assert {"500 values", "value 7 = 7.00", "500 values, log count"} <= set(texts)


def test_matrix_names_its_axes_and_a_number_is_a_number(texts):
    activation_picture(*frame(np.ones((35, 128)), TD), STATE)
    assert {"35 tokens × 128 features", "down: token, across: feature"} <= set(texts)
    activation_picture(*frame(0.123, ()), STATE)
    assert "0.12" in texts


def test_states_are_words(texts):
    status = {"level": "info", "title": "Waiting for the first step of Net.", "lines": ["Run it."]}
    waiting = {
        **STATE,
        "step": 0,
        "chip": {"mode": "waiting"},
        "status": {**status, "code": "waiting"},
    }
    activation_picture({}, {}, waiting)
    assert {"Net", "no step yet", "waiting", status["title"], "Run it."} <= set(texts)
    texts.clear()
    failed = {"code": "forward_failed", "level": "error", "title": "Forward failed at fc."}
    table = [["pool", "MaxPool2d", "64×2"], ["fc", "Linear", "64×2304 given"]]
    chip = {"mode": "forward failed"}
    activation_picture({}, {}, {**STATE, "chip": chip, "status": {**failed, "table": table}})
    assert {"Forward failed at fc.", "pool", "64×2304 given", "forward failed"} <= set(texts)
    texts.clear()
    header = {"layer": "b", "view": "none", "message": "b was not called in the last forward."}
    activation_picture(header, {}, STATE)
    assert "b was not called in the last forward." in texts


def test_model_gone_is_grey(texts):
    def coloured_share(code):
        level = "gone" if code == "model_gone" else "error"
        status = {"code": code, "level": level, "title": "Model gone."}
        state = {**STATE, "chip": {"mode": "model gone"}, "status": status}
        data = activation_picture(*frame(maps() - 0.5, CHW, input=None), state)
        return (np.ptp(np.asarray(opened(data)).astype(int), axis=2) > 40).mean()

    assert coloured_share("fault") > 0.05
    assert coloured_share("model_gone") < 0.005  # the frame of the chosen channel
    assert {"Model gone.", "model gone", "each on its own scale, gray"} <= set(texts)


def test_controls_of_a_live_view_are_not_spoken_of(texts):
    one_way = {"code": "one_way", "level": "warn", "title": "One-way: controls wait."}
    state = {**STATE, "chip": {"mode": "one-way"}, "status": one_way}
    activation_picture(*frame(maps(), CHW), state)
    assert "snapshot" in texts
    assert "One-way: controls wait." not in texts


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 1, 1), CHW),
        ((3, 1, 300), CHW),
        ((2, 500, 3), CHW),
        ((40, 112, 100), CHW),
        ((1,), F),
        ((17,), F),
        ((50_000,), F),
        ((2000, 3), TD),
        ((3, 2000), TD),
        ((1, 1), TD),
        ((), ()),
        ((0, 3), TD),
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1.0, -1e-5, 1e30])
def test_any_shape_fits(texts, shape, axes, scale):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32) * np.float32(scale)
    data = activation_picture(*frame(values, axes), STATE, channel=10**6)
    image = opened(data)
    assert image.width in (900, 1800)
    assert image.height <= 640 * image.width / 900
    assert len(data) <= 100_000
    assert max(texts.values()) <= 900


def test_photographs_and_noise_stay_below_the_limit():
    random = np.random.default_rng(2)
    header, arrays = frame(random.normal(size=(64, 112, 112)), CHW)
    arrays = {**arrays, "input": random.integers(0, 256, (224, 224, 3)).astype(np.uint8)}
    assert len(activation_picture(header, arrays, STATE)) <= 100_000


def test_same_frame_gives_the_same_bytes():
    parts = frame(maps(), CHW)
    assert activation_picture(*parts, STATE) == activation_picture(*parts, STATE)
