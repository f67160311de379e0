"""Run one sample through the eager form of a compiled model, whose layers call no hooks."""

from nbtorchviz.capture.plans import Catch, Inputs, Plan
from nbtorchviz.capture.subject import Subject
from nbtorchviz.capture.windows import Window


def run_twin(
    subject: Subject, inputs: Inputs | None, plan: Plan, seen: Window | None, step: int
) -> Catch:
    """Catch what ``plan`` asks for in a forward of our own, labelled as a look at the batch.

    Args:
        subject: the model.
        inputs: the sample of the batch; None where it could not be cloned.
        plan: what to catch; there is no gradient.
        seen: the window on the root forward of that batch.
        step: finished steps.

    Raises:
        TypeError: there is no sample.
    """
    if inputs is None or seen is None:
        raise TypeError("The inputs of this model cannot be cloned, so no sample of it is shown.")
    clock = subject.setting.clock
    began = clock()
    window = subject.open(plan, phase="eval", forward=seen.forward, micro=seen.micro, source="twin")
    catch = _labelled(subject.run(window, inputs, labels=None, step=step), inputs, seen)
    catch.cost_s = clock() - began
    return catch


def _labelled(catch: Catch, inputs: Inputs, seen: Window) -> Catch:
    """Label what an eager copy of one sample showed with the batch that the sample came from."""
    catch.label, catch.prediction, catch.probability = seen.verdict.read()
    catch.source = "twin"
    catch.forward, catch.micro = seen.forward, seen.micro
    for caught in [*catch.caught, *([catch.input] if catch.input else [])]:
        caught.sample, caught.batch_size = inputs.sample, inputs.batch_size
        caught.channel_zero = None  # one sample says nothing about the whole batch
    return catch
