import io

from PIL import Image

from nbtorchviz.analysis.cockpit_picture import WIDTH_PX, cockpit_heading
from nbtorchviz.analysis.drawing import Picture

STATE = {"model": "Net", "parameters": 1_234, "step": 40, "epoch": 2}


def finding(title, severity="problem", *, active=True):
    return {"title": title, "severity": severity, "active": active}


def drawn(monkeypatch, state, findings, judged=40):
    """Return what was written, and the height in pixels."""
    written, text = [], Picture.text

    def writes(picture, at, words, **look):
        written.append(words)
        return text(picture, at, words, **look)

    monkeypatch.setattr(Picture, "text", writes)
    gradients = {"findings": findings, "judged": judged}
    image = Image.open(io.BytesIO(cockpit_heading(state, gradients, scale=1)))
    assert image.width == WIDTH_PX
    return written, image.height


def test_the_worst_three_findings_are_written_out(monkeypatch):
    told = [finding("h", "hint"), *map(finding, "abcd"), finding("gone", active=False)]
    written, height = drawn(monkeypatch, STATE, told)
    head = ["Net", "1,234 parameters", "step 40, epoch 2"]
    assert written == [*head, "a", "b", "c", "and 2 more"]
    assert height > drawn(monkeypatch, STATE, told[:1])[1]


def test_without_a_finding_it_says_so_once_there_was_something_to_judge(monkeypatch):
    state = {**STATE, "epoch": None}
    assert drawn(monkeypatch, state, [])[0][2:] == ["step 40", "Nothing wrong was found."]
    state["step"] = 0
    assert drawn(monkeypatch, state, [], judged=None)[0][2:] == ["no step yet"]
