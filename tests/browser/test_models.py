"""Loops as users write them: evaluation inside, two models at once, everything in one cell."""

from tests.browser.loops import BROWSER, MODEL, SETUP, STEP

WITH_EVALUATION = f"""
{STEP}
model.eval()
with torch.no_grad():
    for _ in range(3):
        model(torch.zeros(64, 3, 16, 16))
model.train()
"""
PHASES = """
from nbtorchviz.events import ActivationCaptured
seen = set()
browser.session.bus.subscribe(ActivationCaptured, lambda event: seen.add((event.phase, event.batch_size)))
"""  # noqa: E501
GAN = """
class Generator(nn.Sequential):
    pass

class Critic(nn.Sequential):
    pass

generator = Generator(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh())
critic = Critic(nn.Linear(64, 32), nn.LeakyReLU(), nn.Linear(32, 1))
steps = {name: torch.optim.Adam(model.parameters(), lr=1e-3)
         for name, model in (("generator", generator), ("critic", critic))}
left = nbv.ActivationBrowser(generator, layer="3")
right = nbv.ActivationBrowser(critic, layer="1")
display(left)
display(right)
"""
GAN_STEP = """
fake = generator(torch.randn(32, 4))
loss = critic(fake.detach()).mean() - critic(torch.randn(32, 64)).mean()
steps["critic"].zero_grad()
loss.backward()
steps["critic"].step()
loss = -critic(generator(torch.randn(32, 4))).mean()
steps["generator"].zero_grad()
loss.backward()
steps["generator"].step()
"""


def test_pictures_stay_of_training_while_the_loop_also_evaluates(open_notebook, loop):
    page = open_notebook([MODEL + BROWSER + PHASES, loop.cell(WITH_EVALUATION)])
    page.run_all()
    loop.begun()
    page.view().scroll_into_view_if_needed()
    first = page.wait_painted(from_step=1)
    page.wait_painted(after=int(first["seq"]) + 3, from_step=int(first["step"]) + 1, mode="live")
    assert loop.until("seen") == {("train", 32)}
    assert loop.ask("(browser.frame.phase, browser.frame.statistics.std > 0)") == ("train", True)
    loop.end()
    page.wait_text(1, "ended")


def test_two_models_in_one_loop_are_both_live(open_notebook, loop):
    page = open_notebook([SETUP + GAN, loop.cell(GAN_STEP)])
    page.run_all()
    loop.begun()
    for nth, layer in ((0, "3"), (1, "1")):
        page.view(nth=nth).scroll_into_view_if_needed()
        first = page.wait_painted(nth=nth, layer=layer, from_step=1)
        step = int(first["step"]) + 1
        page.wait_painted(nth=nth, layer=layer, after=int(first["seq"]), from_step=step)
    assert loop.ask("left.session is not right.session")
    assert loop.ask("left.session.step - right.session.step") == 0
    loop.end()
    page.wait_text(1, "ended")


def test_widget_and_loop_in_one_cell_are_live(open_notebook, loop):
    page = open_notebook([MODEL, BROWSER + loop.cell()])
    page.run_all()
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(layer="conv", from_step=1)
    slider = page.view().get_by_role("slider", name="Layer")
    slider.focus()
    for layer in ("relu", "drop", "head"):
        page.page.keyboard.press("ArrowRight")
        painted = page.wait_painted(layer=layer, from_step=1)
    page.wait_painted(layer="head", after=int(painted["seq"]), from_step=int(painted["step"]) + 1)
    assert loop.ask("browser.layer") == "head"
    loop.end()
    page.wait_text(1, "ended")
