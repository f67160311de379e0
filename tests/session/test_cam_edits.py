"""Images that were painted on: in place of the given ones, compared by the same weights."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.session.cam_compute import CamRequest, compute
from nbtorchviz.session.cam_edits import edit_pin, edited_images, picture_of
from nbtorchviz.session.cam_images import cam_images
from tests.capture.test_identical import assert_same, state_of
from tests.session.test_cam_compute import network
from tests.session.test_cam_desk import clock, made, step

__all__ = ["clock", "made"]


def given(count=3):
    return torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("request_", [CamRequest(), CamRequest(own=[4, 5, 6])])
def test_only_the_edited_row_changes_and_what_it_was_is_known(request_):
    model, images = network(), cam_images(given())
    new = torch.zeros(1, 12, 12)
    edited = edited_images(images, {1: new})
    assert edited.names == ("image 0", "image 1, edited", "image 2")
    assert not edited.pictures[1].pixels.any()
    assert np.array_equal(edited.pictures[0].pixels, images.pictures[0].pixels)
    before, after = compute(model, images, request_), compute(model, edited, request_)
    assert after.frame.names == edited.names
    assert len(after.frame.explained) == len(after.frame.tops) == 3
    for key in ("1", "4"):
        old, now = before.passes[0][key].maps, after.passes[0][key].maps
        assert now.shape == old.shape
        assert np.allclose(now[[0, 2]], old[[0, 2]], atol=1e-6)
        assert np.abs(now[1] - old[1]).max() > 0.2 * np.abs(old[1]).max()
    assert after.passes[0]["4"].logits.shape == (3, 12)
    assert list(after.unedited) == [1]
    assert np.allclose(after.unedited[1], before.p[1], atol=1e-6)
    wanted = model.eval()(new[None]).detach().softmax(1)[0].numpy()
    assert np.allclose(after.p[1], wanted, atol=1e-6)
    assert before.unedited == {}


def test_other_arguments_and_orders_of_axes_go_along():
    photos = torch.rand(2, 9, 10, 3)
    images = cam_images((photos, torch.arange(2.0)[:, None], 7))
    assert torch.equal(picture_of(images, 1), photos[1].permute(2, 0, 1))
    new = torch.rand(3, 9, 10)
    edited = edited_images(images, {0: new})
    first, second, third = edited.inputs.args
    assert torch.equal(first[0], new.permute(1, 2, 0))
    assert torch.equal(first[1:], photos[[1, 0]])
    assert second[:, 0].tolist() == [0, 1, 0]
    assert third == 7
    assert torch.equal(images.inputs.args[0], photos)  # what was given stays


def test_an_edited_picture_is_drawn_by_the_rule_of_the_given_one():
    photo = torch.linspace(-3, 5, 64).reshape(1, 8, 8)
    images = cam_images(photo)
    new = photo.clone()
    new[0, 0, 0] = 45.0
    pixels = edited_images(images, {0: new}).pictures[0].pixels
    assert pixels[0, 0] == 255
    assert np.array_equal(pixels.flat[1:], images.pictures[0].pixels.flat[1:])


def test_what_is_no_picture_cannot_be_painted_on():
    with pytest.raises(ValueError, match=r"Only pictures of shape \(C, H, W\) .* is 20 numbers"):
        picture_of(cam_images(torch.rand(3, 20)), 0)


def test_the_desk_shows_edits_and_then_its_old_tape_again(made, clock):
    desk = made(clock=clock)  # passes that take no time: all classes are affordable
    assert desk.run_when_idle()
    step(desk)
    desk.ask()
    step(desk)
    steps, whole = desk.tape.steps, desk.tape
    assert steps[-1] >= 1
    desk.edit({1: torch.zeros(1, 8, 8)})
    assert desk.wanted
    step(desk)
    assert (desk.shot.edit, desk.shown.unedited) == (1, (1,))
    assert desk.tape.steps == [desk.session.step]  # maps of earlier steps are of another picture
    desk.edit({1: torch.ones(1, 8, 8)}, draft=True)
    step(desk)
    assert desk.shot.edit == 2
    assert len(desk.shot.passes) == 2  # more comes at once: the leading classes only
    desk.finish_edit()
    step(desk)
    assert desk.shot.edit == 2  # still the same picture
    assert len(desk.shot.passes) > 2
    desk.edit({})
    step(desk)
    assert desk.shot.edit == 0
    assert desk.shown.unedited == ()
    assert desk.tape is whole
    assert desk.tape.steps[: len(steps)] == steps


def test_an_edit_is_computed_at_the_very_next_boundary(made):
    desk = made()
    desk.run_when_idle()
    for _ in range(3):
        step(desk)
        desk.edit({0: torch.rand(1, 8, 8)})
        now = desk.session.step
        step(desk)
        assert desk.shot.frame.step == now + 1
        assert desk.shot.images.unedited == (0,)


def test_edits_leave_the_training_the_same_bit_for_bit(made):
    torch.manual_seed(0)
    plain = made(images=None, seen=lambda: False)
    plain.close()
    watched = made()
    states = []
    for desk, paints in ((plain, False), (watched, True)):
        torch.manual_seed(5)
        for at in range(4):
            if paints:
                desk.edit({0: torch.full((1, 8, 8), float(at))}, draft=at % 2 == 0)
            step(desk)
        states.append(state_of(desk.model, desk.optimizer))
    assert watched.shot.edit == 4
    assert_same(*states)


def test_a_pinned_picture_is_edited_where_it_is_pinned():
    model, images = network(), given()
    session = nbv.watch(model)
    assert not edit_pin(session, images[0], images[1])  # nothing is pinned
    session.probe(images[:2], labels=[4, 5])
    new = torch.zeros(1, 12, 12)
    assert edit_pin(session, images[1], new)
    (inputs, labels) = session.recorder.pinned_inputs
    assert torch.equal(inputs.args[0], torch.stack([images[0], new]))
    assert list(labels) == [4, 5]
    assert not edit_pin(session, images[1], new)  # it is pinned no longer
    assert edit_pin(session, new, images[1])
    assert session.recorder.probe_wanted
    session.close()


def test_a_browser_follows_the_pinned_picture():
    model, images = network(), given()
    browser = nbv.ActivationBrowser(model, layer="0", probe=images[:1])
    before = browser.frame.to_numpy()
    assert edit_pin(browser.session, images[0], torch.zeros(1, 12, 12))
    browser.session.probe_when_idle()
    browser.session.flush()
    assert not np.array_equal(browser.frame.to_numpy(), before)
    wanted = nn.functional.conv2d(
        torch.zeros(1, 1, 12, 12), model[0].weight, model[0].bias, padding=1
    )
    assert np.allclose(browser.frame.to_numpy(), wanted[0].detach(), atol=1e-6)
    browser.session.close()
