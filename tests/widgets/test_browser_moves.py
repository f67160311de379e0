from nbtorchviz.widgets.browser_choice import Choice
from nbtorchviz.widgets.browser_moves import VIEWS, Moves
from nbtorchviz.widgets.selection import Selection


def test_each_move_makes_a_new_revision_and_tells_its_view():
    moves, choice = Moves(), Choice(Selection(layer="conv"))
    assert moves.selection(choice)["rev"] == 1
    moves.of_python()
    moves.of_view("left", 3)
    told = moves.selection(choice)
    assert (told["layer"], told["rev"], told["heard"]) == ("conv", 3, {"left": 3})


def test_views_that_were_reloaded_long_ago_are_forgotten():
    moves, choice = Moves(), Choice(Selection(layer="conv"))
    for view in range(VIEWS + 2):
        moves.of_view(f"view {view}", 1)
    moves.of_view("view 2", 2)
    moves.of_view("new", 1)
    heard = moves.selection(choice)["heard"]
    assert len(heard) == VIEWS
    assert heard["view 2"] == 2
    assert "view 3" not in heard
