from dataclasses import replace

import pytest

from nbtorchviz.events import ForwardFailed
from nbtorchviz.session.status import Facts, describe, idle_after

TRAINING = Facts(
    model="Net",
    step=468,
    mode="live",
    forward_age_s=0.01,
    matched_age_s=0.01,
    step_age_s=0.01,
    frame_age_s=0.1,
    latency_ms=42.3,
    cost=0.008,
)


def test_training_that_is_seen_live_needs_no_words():
    chip, status = describe(TRAINING)
    assert (chip["mode"], chip["latency_ms"], chip["cost"]) == ("live", 42, 0.008)
    assert status is None


@pytest.mark.parametrize(
    ("change", "mode", "title"),
    [
        (
            {"forward_age_s": None, "step_age_s": None, "mode": "waiting", "step": 0},
            "waiting",
            "Waiting for the first step of Net.",
        ),
        (
            {"forward_age_s": None, "compiled": "model.compile(): it hides its batches"},
            "live",
            "Net trains, step 468, but its forwards go unheard.",
        ),
        ({"paused": True}, "paused", "Paused at step 468."),
        (
            {"unmatched": 20, "matched_age_s": 0.5},
            "evaluating",
            "Evaluating: no training forward for 2 s; picture of step 468.",
        ),
        (
            {"unmatched": 3, "matched_age_s": 7.0},
            "evaluating",
            "Evaluating: no training forward for 7 s; picture of step 468.",
        ),
        ({"frame_age_s": 12.0}, "stale", "Stale: no new picture for 12 s (budget)."),
        (
            {"gone": True, "successor": "Net"},
            "model gone",
            "Model gone. A new Net has taken its place.",
        ),
        ({"gone": True}, "model gone", "Model gone."),
        (
            {"mode": "idle", "forward_age_s": None, "step_age_s": None},
            "waiting",
            "Waiting for the next step of Net.",  # a widget that was opened after training
        ),
        ({"closed": True}, "closed", "Session closed."),
        ({"closed": True, "step_age_s": 60.0}, "closed", "Session closed."),
    ],
)
def test_each_state_has_its_sentence(change, mode, title):
    chip, status = describe(replace(TRAINING, **change))
    assert chip["mode"] == mode
    assert status["title"] == title


def test_a_short_evaluation_is_not_announced():
    assert describe(replace(TRAINING, unmatched=3, matched_age_s=0.5))[1] is None


def test_gone_model_offers_to_follow_the_new_one():
    status = describe(replace(TRAINING, gone=True, successor="Net"))[1]
    assert [action["label"] for action in status["actions"]] == [
        "Follow the new Net",
        "Keep this picture",
    ]


def test_failed_forward_shows_what_ran_before_it():
    failure = ForwardFailed(
        layer="fc",
        error="RuntimeError: shapes",
        title="Forward failed at fc (Linear 256→10: got 64×2304).",
        detail="256 channels × 3 × 3 pixels = 2304 reach it after pool3.",
        trail=(("flatten", "Flatten", "64×2304"), ("fc", "Linear", "64×2304 given")),
    )
    chip, status = describe(replace(TRAINING, failure=failure))
    assert chip["mode"] == "forward failed"
    assert status["lines"] == [failure.detail]
    assert status["table"][-1][0] == "fc"


def test_training_that_ended_is_finished_not_stale():
    chip, status = describe(replace(TRAINING, step_age_s=60.0, frame_age_s=60.0, ended="stopped"))
    assert chip["mode"] == "finished"
    assert "stopped" in chip["why"]
    assert status is None


def test_slow_background_run_is_never_called_idle():
    chip, _ = describe(replace(TRAINING, running=True, mode="background", step_age_s=5.0))
    assert chip["mode"] == "background"


def test_missing_steps_and_compilation_are_told_on_the_chip():
    chip, _ = describe(replace(TRAINING, boundary="forward", compiled="compiled: eager twin."))
    assert "each forward counts as a step" in chip["why"]
    assert "eager twin" in chip["why"]


def test_own_faults_are_shown_with_where_to_read_them():
    status = describe(replace(TRAINING, faults=("hook of conv: ValueError: x",)))[1]
    assert status["level"] == "error"
    assert "session.faults" in status["lines"][-1]


def test_background_run_that_raised_says_what_and_how_to_see_the_traceback():
    facts = replace(TRAINING, run_error="ValueError: no data", ended="failed", step_age_s=9.0)
    chip, status = describe(facts)
    assert status["title"] == "Training ended with ValueError: no data"
    assert status["code_line"] == "session.run.join()"
    assert chip["mode"] == "error"


def test_long_steps_are_no_end_of_training():
    slow = replace(TRAINING, step_age_s=9.0, frame_age_s=9.0, idle_after_s=idle_after(8.0))
    assert describe(slow)[0]["mode"] == "live"
    assert describe(replace(slow, step_age_s=25.0))[0]["mode"] == "idle"
    assert (idle_after(0.01), idle_after(1e4)) == (3.0, 120.0)
