"""Receptive fields: by hand, and against the gradient of real networks."""

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.analysis.receptive import Operation, ReceptiveField, receptive_fields


def conv(shape, channels, kernel=3, stride=1, padding=1, dilation=1):
    pairs = [(value, value) for value in (kernel, stride, padding, dilation)]
    return Operation("Conv2d", shape, channels, *pairs)


def test_chain_worked_by_hand():
    fields = receptive_fields(
        (1, 28, 28),
        [
            conv((8, 28, 28), 1),
            Operation("ReLU", (8, 28, 28)),
            Operation("MaxPool2d", (8, 14, 14), None, (2, 2), (2, 2)),
            conv((16, 14, 14), 8),
        ],
    )
    assert fields[0] == ReceptiveField((3, 3), (1, 1), (-1, -1))
    assert fields[1] == fields[0]
    assert fields[2] == ReceptiveField((4, 4), (2, 2), (-1, -1))
    assert fields[3] == ReceptiveField((8, 8), (2, 2), (-3, -3))
    assert fields[3].header() == {"size": [8, 8], "stride": [2, 2], "start": [-3, -3]}


def test_same_padding_and_uneven_kernels():
    operation = Operation("Conv2d", (1, 9, 9), 1, (3, 4), (1, 1), "same", (2, 1))
    (field,) = receptive_fields((1, 9, 9), [operation])
    assert field == ReceptiveField((5, 4), (1, 1), (-2, -1))


@pytest.mark.parametrize(
    "operation",
    [
        Operation("Flatten", (64,)),
        Operation("AdaptiveAvgPool2d", (1, 1, 1)),
        Operation("MultiheadAttention", (16, 4)),
        Operation("ConvTranspose2d", (1, 16, 16), 1, (2, 2), (2, 2)),
        conv((4, 8, 8), 5),  # five channels exist nowhere: a concatenation
        conv((4, 3, 3), 1),  # no output has a fitting size: pooled by a function
    ],
    ids=lambda operation: operation.type,
)
def test_what_does_not_follow_is_none_and_stays_none(operation):
    last = Operation("ReLU", operation.shape)
    assert receptive_fields((1, 8, 8), [operation, last]) == [None, None]


def test_gate_over_the_whole_image_leaves_no_box():
    gate = [
        conv((4, 8, 8), 1),
        Operation("AdaptiveAvgPool2d", (4, 1, 1)),
        conv((4, 1, 1), 4, kernel=1, padding=0),
        Operation("Sigmoid", (4, 1, 1)),
        conv((6, 8, 8), 4),
    ]
    assert receptive_fields((1, 8, 8), gate)[-1] is None


class Block(nn.Module):
    """Two convolutions and a shortcut, with a projection where the shape changes."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        changes = stride != 1 or channels != width
        self.down = nn.Conv2d(channels, width, 1, stride) if changes else None

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        return self.relu(y + (x if self.down is None else self.down(x)))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 3)
        ),
        nn.Sequential(nn.Conv2d(1, 4, 5, 2, 2), Block(4, 4, 1), Block(4, 6, 2), Block(6, 6, 1)),
        nn.Sequential(nn.Conv2d(1, 2, 3, padding="same", dilation=2), nn.AvgPool2d(3, 2, 1)),
    ],
    ids=["chain", "residual", "dilated"],
)
def test_box_is_where_the_gradient_is_not_zero(model):
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    operations = []

    def note(module, args, output):
        operations.append(Operation.of(module, tuple(output.shape[1:])))

    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    image = torch.ones(1, 1, 64, 64, requires_grad=True)
    output = model(image)
    field = receptive_fields((1, 64, 64), operations)[-1]
    row, column = output.shape[2] // 2, output.shape[3] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, row, column], image)
    seen = np.argwhere(gradient[0, 0].numpy() != 0)
    start = np.array(field.start) + np.array(field.stride) * (row, column)
    np.testing.assert_array_equal(seen.min(axis=0), start)
    np.testing.assert_array_equal(seen.max(axis=0) + 1, start + field.size)


def test_resnet_fields_are_the_published_ones():
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.resnet18().eval()
    names, operations = [], []

    def note(name):
        def hook(module, args, output):
            names.append(name)
            operations.append(Operation.of(module, tuple(output.shape[1:])))

        return hook

    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(note(name))
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    fields = receptive_fields((3, 224, 224), operations)
    last = {name: field for name, field in zip(names, fields, strict=True) if field}
    assert last["layer1.1.relu"].size == (43, 43)
    assert last["layer2.1.relu"].size == (99, 99)
    assert last["layer3.1.relu"].size == (211, 211)
    assert last["layer4.1.relu"] == ReceptiveField((435, 435), (32, 32), (-217, -217))
    assert "avgpool" not in last
    assert "fc" not in last
