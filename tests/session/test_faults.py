from nbtorchviz.session.faults import MOST_FAULTS, Faults


def test_each_failure_is_told_once_and_an_endless_row_of_new_ones_ends():
    told = []
    faults = Faults(lambda *what: told.append(what))
    for number in range(3 * MOST_FAULTS):
        for _ in range(2):
            faults.add("hook", ValueError(f"number {number}"))
    assert len(faults.messages) == len(told) == MOST_FAULTS
