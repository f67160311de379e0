"""Receptive fields of the layers of a watched model, worked out once per survey."""

from torch import nn

from nbtorchviz.analysis.receptive import Operation, ReceptiveField, receptive_fields
from nbtorchviz.events import LayerInfo


class Fields:
    """Remembers the fields of one list of layers; a new list makes them anew."""

    def __init__(self) -> None:
        self._infos: tuple[LayerInfo, ...] = ()
        self._fields: dict[str, ReceptiveField | None] = {}

    def of(
        self, layer: str, model: nn.Module | None, infos: tuple[LayerInfo, ...]
    ) -> ReceptiveField | None:
        """Return the receptive field of ``layer`` in input pixels; None where it has none.

        Args:
            layer: its key.
            model: the watched model; None keeps what is known.
            infos: its layers in the order in which they ran.
        """
        if model is not None and infos is not self._infos:
            self._infos, self._fields = infos, _work_out(model, infos)
        return self._fields.get(layer)


def _work_out(model: nn.Module, infos: tuple[LayerInfo, ...]) -> dict[str, ReceptiveField | None]:
    source = next((info for info in infos if info.key == "input"), None)
    if source is None or source.shape is None or len(source.shape) != 3:
        return {}
    modules = dict(model.named_modules())
    ran = [info for info in infos if info.called and not info.block and info.key != "input"]
    known = [info for info in ran if info.key.partition("#")[0] in modules]
    operations = [
        Operation.of(modules[info.key.partition("#")[0]], info.shape or ()) for info in known
    ]
    fields = receptive_fields(source.shape, operations)
    return dict(zip((info.key for info in known), fields, strict=True))
