from nbtorchviz.session.looks import KEPT_LIMIT, Look, Looks, make_plan

LAYERS = [f"layer{i}" for i in range(20)]


def keys(plan, *, watched):
    return [want.key for want in plan.wants if want.watched is watched]


def test_newest_look_of_a_widget_counts_and_urgency_is_taken_once():
    looks = Looks()
    looks.set(1, Look("a"))
    looks.set(1, Look("b"), urgent=True)
    looks.set(2, Look("b"))
    assert looks.urgent
    assert looks.take() == ((Look("b"),), ())
    assert not looks.urgent
    looks.drop(1)
    looks.drop(2)
    assert looks.take() == ((), ())


def test_watched_layer_is_read_in_full_and_others_pooled_for_the_slider():
    plan = make_plan([Look("layer3", sample=5, gradient=True)], LAYERS, {}, extra=4)
    watched = [want for want in plan.wants if want.watched]
    assert [(w.key, w.sample, w.gradient, w.exact) for w in watched] == [("layer3", 5, True, True)]
    kept = [want for want in plan.wants if not want.watched]
    assert len(kept) == 4
    assert all(w.limit == KEPT_LIMIT and w.sample == 5 and not w.exact for w in kept)


def test_layers_never_visited_come_first():
    visited = dict.fromkeys(LAYERS[:17], 1.0)
    plan = make_plan([Look("layer0")], LAYERS, visited, extra=3)
    assert keys(plan, watched=False) == ["layer17", "layer18", "layer19"]


def test_neighbours_and_the_oldest_take_turns_so_the_whole_depth_is_refreshed():
    visited = {layer: float(100 - i) for i, layer in enumerate(LAYERS)}  # deepest is oldest
    plan = make_plan([Look("layer5")], LAYERS, visited, extra=4)
    chosen = keys(plan, watched=False)
    assert {"layer19", "layer18"} <= set(chosen)
    assert len(set(chosen) & {"layer3", "layer4", "layer6", "layer7"}) == 2


def test_rotation_reaches_every_layer():
    visited = dict.fromkeys(LAYERS, 0.0)
    seen = set()
    for tick in range(1, 30):
        plan = make_plan([Look("layer5")], LAYERS, visited, extra=3)
        for key in keys(plan, watched=False):
            visited[key] = float(tick)
            seen.add(key)
    assert seen == set(LAYERS) - {"layer5"}


def test_two_widgets_on_one_layer_share_one_want():
    plan = make_plan([Look("a"), Look("a", gradient=True)], ["a"], {}, extra=0)
    assert [(w.key, w.gradient) for w in plan.wants] == [("a", True)]


def test_who_looks_again_is_served_at_once_if_there_is_something_to_see():
    looks = Looks()
    looks.hurry(1)
    assert not looks.urgent
    looks.set(1, Look("conv"))
    looks.hurry(1)
    assert looks.urgent
