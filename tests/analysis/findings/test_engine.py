"""What is told, in which order, and under which name."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nbtorchviz.analysis.findings import Findings
from nbtorchviz.events import (
    FindingRaised,
    LayerInfo,
    LayerStatisticsCaptured,
    ModelAttached,
    OverheadMeasured,
    RunStarted,
)
from tests.analysis.findings.events import (
    HEALTHY,
    MODEL,
    forward,
    listening,
    logged,
    observe,
    of_rows,
    row,
    stepped,
)

CONV_VANISHES = {"conv_weight": {"gradient": 1e-6}}


def test_the_sentence_and_its_evidence_carry_numbers_and_steps():
    findings = listening()
    (raised,) = observe(findings, [stepped(step, **CONV_VANISHES) for step in range(40, 141)])
    (active,) = findings.active
    assert raised.title.endswith("(steps 40-49)")
    # gradient norms of 1e-6 and 1 over 100 elements each
    assert active.title == (
        "Gradients vanish: conv gets 1 million times less than fc (steps 40-140)"
    )
    assert active.evidence.startswith("Step 140: root mean square of the weight gradient per")
    assert active.remedy.startswith("Replace the sigmoid or tanh")  # the model has a tanh
    assert (active.layer, active.since_step, active.last_step) == ("conv", 40, 140)


def test_a_finding_becomes_an_event_at_the_place_that_led_to_it():
    findings = listening()
    ill = [stepped(step, event={"elapsed_s": 2.5}, **CONV_VANISHES) for step in range(10)]
    (raised,) = observe(findings, ill)
    event = raised.event(ill[-1])
    assert isinstance(event, FindingRaised)
    assert (event.step, event.elapsed_s, event.layer) == (9, 2.5, "conv")
    assert (event.title, event.active, event.since_step) == (raised.title, True, 0)


def test_the_worst_comes_first_and_hints_last():
    findings = listening(called=False)
    twin = {"weight": 5.0, "gradient": 0.7}
    for step in range(1, 20):
        observe(
            findings,
            [
                stepped(
                    step,
                    hidden_weight=twin,
                    fc_weight=twin,
                    conv_weight={"gradient": 1e-6},
                    fc_bias={"state": "unused"},
                ),
                forward(step, off=["bn"]),
                logged(step, math.nan),
            ],
        )
    rules = [finding.rule for finding in findings.active]
    assert rules == [
        "nonfinite_loss",
        "vanishing_gradients",
        "eval_mode",
        "no_gradient",
        "duplicated_layer",
    ]
    assert [f.severity for f in findings.active] == ["problem"] * 4 + ["hint"]


@pytest.mark.parametrize("step_first", [True, False])
def test_a_dead_relu_speaks_for_all_that_follows_from_it(step_first):
    findings = listening()
    changes = []
    for step in range(30):
        zero = {f"{name}_weight": {"gradient": 0.0} for name in ("conv", "bn")}
        events = [forward(step, relu={"zero_share": 1.0}, spreads={"fc": 0.0})]
        events.insert(0 if step_first else 1, stepped(step, **zero))
        changes += observe(findings, events)
    assert [(c.rule, c.layer) for c in changes] == [("dead_relu", "relu")]


def block_model(*names):
    layers = [LayerInfo(key=name, type="Linear", depth=0, block=False) for name in names]
    return ModelAttached(model="Net", parameters=1, layers=tuple(layers))


def test_layers_with_one_illness_are_told_by_their_block():
    names = ("stem", "body.0", "body.1", "body.2", "head")
    findings = Findings()
    findings.observe(block_model(*names))

    def step(at, ill):
        rows = [row(f"{name}.{kind}") for name in names for kind in ("weight", "bias")]
        rows = [replace(r, state="no optimizer") if r.layer in ill else r for r in rows]
        return of_rows(at, rows)

    (raised,) = observe(findings, [step(at, ("body.0", "body.1", "body.2")) for at in range(5)])
    assert raised.title == "No optimizer updates body (steps 0-2)"
    assert raised.layer == "body"
    assert raised.evidence == "Step 2: body.0.weight: gradient norm 1, never applied; " + (
        "the same in 5 more."
    )
    # more layers fall ill: the sentence grows, its steps are true of all, the finding stays
    assert observe(findings, [step(at, names) for at in range(5, 15)]) == []
    assert findings.active[0].title == "No optimizer updates the whole model (steps 5-14)"
    # some recover
    assert observe(findings, [step(at, ("body.1", "head")) for at in range(15, 25)]) == []
    assert findings.active[0].title == "No optimizer updates body.1 and head (steps 5-24)"
    assert findings.active[0].layers == ("body", "body.1", "head")


def test_one_parameter_of_a_layer_is_named_itself():
    findings = listening()
    ill = [stepped(step, fc_bias={"state": "no optimizer"}) for step in range(5)]
    (raised,) = observe(findings, ill)
    assert raised.layer == "fc.bias"
    assert raised.title == "No optimizer updates fc.bias (steps 0-2)"


def test_frozen_layers_are_no_finding():
    findings = listening()
    frozen = {"state": "frozen", "gradient": math.nan, "update": 0.0}
    names = ("conv_weight", "conv_bias", "bn_weight", "bn_bias")
    for step in range(40):
        events = [stepped(step, **dict.fromkeys(names, frozen)), forward(step, off=["bn"])]
        assert observe(findings, events) == []


def test_steps_made_in_eval_mode_are_told_from_the_steps_alone():
    findings = listening()
    ill = [stepped(step, event={"phase": "eval"}) for step in range(1, 6)]
    (raised,) = observe(findings, ill)
    assert raised.title == "Training in eval mode: the whole model (steps 1-3)"
    assert raised.layer == ""


def test_an_event_without_parameters_tells_the_phase_of_a_step_and_nothing_else():
    findings = listening()
    dead = [stepped(step, conv_weight={"gradient": 1e-6}) for step in range(10)]
    observe(findings, dead)
    bare = [of_rows(step, [], phase="eval") for step in range(10, 100)]
    (raised,) = observe(findings, bare)
    assert raised.title.startswith("Training in eval mode")
    assert len(findings.active) == 2


def test_the_half_of_a_gan_that_was_not_stepped_is_not_judged():
    findings = listening(called=False)
    rest = {name: {"state": "not stepped", "gradient": math.nan} for name in ("fc_weight",)}
    unused = {"fc_weight": {"state": "unused", "gradient": math.nan}}
    events = [stepped(step, **(unused if step % 2 else rest)) for step in range(1, 30)]
    (raised,) = observe(findings, events)
    assert (raised.rule, raised.layer) == ("no_gradient", "fc.weight")


def test_rows_of_an_embedding_that_no_batch_met_need_no_update():
    findings = Findings()
    words = LayerInfo(key="words", type="Embedding", depth=0, block=False)
    findings.observe(ModelAttached(model="Net", parameters=1, layers=(words,)))
    rows = [row("words.weight", update=0.0), row("fc.weight")]
    assert observe(findings, [of_rows(step, rows) for step in range(40)]) == []


def test_dropout_switched_off_in_one_part_is_a_choice():
    findings = listening()
    events = [event for step in range(30) for event in (forward(step, off=["drop"]), stepped(step))]
    assert observe(findings, events) == []


def test_validation_between_steps_is_no_illness():
    findings = listening()
    for step in range(60):
        off = ("bn", "drop")
        evaluating = forward(step, phase="eval", off=off, relu={"zero_share": 1.0})
        assert observe(findings, [forward(step), stepped(step), evaluating, evaluating]) == []


def test_a_grad_cam_in_eval_is_no_training_in_eval():
    findings = listening()
    cam = replace(
        forward(5, phase="eval", off=("bn", "drop")),
        gradient_norms=np.ones(len(HEALTHY), "f"),
    )
    assert observe(findings, [cam] * 20) == []


def test_the_sigmoid_at_the_output_may_be_sure_of_itself():
    kinds = {"fc": "Linear", "gate": "Sigmoid", "out": "Linear", "answer": "Sigmoid"}
    sure = replace(HEALTHY["fc"], mean=0.5, std=0.499)
    event = LayerStatisticsCaptured(layers=tuple(kinds), statistics=(sure,) * 4)
    findings = Findings()
    layers = [LayerInfo(key=k, type=t, depth=0, block=False) for k, t in kinds.items()]
    findings.observe(ModelAttached(model="Net", parameters=1, layers=tuple(layers)))
    findings.observe(of_rows(0, [row("fc.weight"), row("out.weight")]))
    changes = observe(findings, [event] * 30)
    assert [(c.rule, c.layer) for c in changes] == [("saturated", "gate")]


def test_depth_is_the_order_of_the_calls_not_of_the_definition():
    findings = Findings()
    names = ("head", "middle", "stem")  # defined in this order, called in the other
    layers = tuple(reversed(names))
    statistics = (HEALTHY["fc"],) * 3
    rows = [row("head.weight"), row("middle.weight"), row("stem.weight", gradient=1e-6)]
    calls = LayerStatisticsCaptured(layers=layers, statistics=statistics)
    (raised,) = observe(findings, [block_model(*names), calls, *[of_rows(1, rows)] * 12])
    assert raised.layer == "stem"
    shuffled = [rows[2], rows[0], rows[1]]
    other = Findings()
    (same,) = observe(other, [block_model(*names), calls, *[of_rows(1, shuffled)] * 12])
    assert same == raised


def test_embeddings_and_scales_of_norms_are_no_depth():
    findings = Findings()
    kinds = {"words": "Embedding", "norm": "LayerNorm", "a": "Linear", "b": "Linear", "c": "Linear"}
    layers = [LayerInfo(key=k, type=t, depth=0, block=False) for k, t in kinds.items()]
    findings.observe(ModelAttached(model="Net", parameters=1, layers=tuple(layers)))
    small = {"words": 1e-7, "norm": 1e-7}
    rows = [row(f"{name}.weight", gradient=small.get(name, 1.0)) for name in kinds]
    rows.insert(0, row("position", gradient=1e-7))
    assert observe(findings, [of_rows(step, rows) for step in range(30)]) == []


def test_a_new_run_begins_without_findings():
    findings = listening()
    assert len(observe(findings, [logged(step, math.nan) for step in range(3)])) == 1
    (gone,) = findings.observe(RunStarted(run=1))
    assert not gone.active
    assert findings.active == ()


def test_a_loss_begun_anew_is_judged_by_itself():
    findings = listening()
    observe(findings, [logged(step, 0.1) for step in range(20)])
    again = [logged(step, 2.3, run=2) for step in range(30)]  # an untrained model again
    assert observe(findings, again) == []


def test_two_losses_that_are_nan_are_one_finding():
    findings = listening()
    both = [logged(step, math.nan, name=name) for step in range(9) for name in ("loss", "loss_b")]
    assert len(observe(findings, both)) == 1


def test_steps_the_scaler_skips_now_and_then_are_no_finding():
    findings = listening()
    skipped = {"state": "skipped (inf)", "gradient": math.inf, "nonfinite": 5, "update": 0.0}
    at = [stepped(s, fc_weight=skipped, conv_weight=skipped) for s in range(16)]
    assert observe(findings, [*at, *map(stepped, range(16, 40))]) == []
    infinite = {"gradient": math.inf, "nonfinite": 5, "update": 0.0}
    at = [stepped(s, event={"skipped": True}, fc_weight=infinite) for s in range(40, 56)]
    assert observe(findings, [*at, *map(stepped, range(56, 80))]) == []


def test_other_events_are_ignored():
    assert Findings().observe(OverheadMeasured(share=0.5)) == []
    assert Findings().active == ()


def test_without_the_optional_columns_nothing_is_said():
    findings = Findings()
    findings.observe(MODEL)
    bare = [
        LayerStatisticsCaptured(layers=tuple(HEALTHY), statistics=tuple(HEALTHY.values())),
        type(stepped(0))(parameters=("a.weight", "b.weight"), gradient_norms=np.ones(2, "f")),
    ]
    assert observe(findings, bare * 60) == []


def test_a_token_of_the_model_that_begins_at_zero_is_no_matrix():
    findings = Findings()
    findings.observe(MODEL)
    for step in range(1, 60):
        token = row("class_token", weight=0.001 * step, update=0.001 * 9)
        assert observe(findings, [of_rows(step, [token, row("fc.weight")])]) == []


def test_the_places_are_those_of_what_is_active_now():
    findings = listening()
    assert findings.places == ()
    lost = {"state": "no optimizer"}
    observe(findings, [stepped(step, hidden_weight=lost, fc_weight=lost) for step in range(5)])
    (active,) = findings.active
    assert findings.places[0] == (active.rule, active.layer)
    assert {place for _, place in findings.places} >= {"hidden.weight", "fc.weight"}
    findings.observe(RunStarted(run=2))
    assert findings.places == ()
