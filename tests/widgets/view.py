"""A browser's side of a widget, without a browser."""


class View:
    """Says what a view would say."""

    def __init__(self, widget, name="view-1"):
        self.widget, self.name = widget, name
        self.say({"type": "ready", "visible": True})

    def say(self, content):
        self.widget._on_message(self.widget, {"view": self.name, **content}, [])

    def intent(self, name, value):
        self.say({"type": "intent", "name": name, "value": value})

    def action(self, action):
        self.say({"type": "action", "id": action})

    def ack(self, stream, seq):
        self.say({"type": "ack", "stream": stream, "seq": seq})
