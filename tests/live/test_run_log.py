import contextlib
import gc
import io
import sys
import weakref

import pytest

from nbtorchviz.live.run_log import MAX_LINE_CHARS, MAX_LINES, RunLog, diverted_output


def test_text_arrives_in_pieces():
    log = RunLog()
    for piece in ("a", "b\nc", "\n", "d"):
        log.write(piece)
    assert log.text == "ab\nc\nd"


def test_a_carriage_return_starts_the_line_again_when_more_comes():
    log = RunLog()
    log.write("\r10%")
    log.write("\r20%")
    assert log.text == "20%"
    log.write("\r30%\r")
    assert log.text == "30%"  # not an empty line while the bar is between two updates
    log.write("\n")
    log.write("windows\r\nend")
    assert log.text == "30%\nwindows\nend"


def test_it_is_bounded():
    log = RunLog()
    for number in range(3 * MAX_LINES):
        log.write(f"{number}\n")
    assert len(log.text.splitlines()) == MAX_LINES
    log.write("x" * 10 * MAX_LINE_CHARS)
    assert len(log.text.splitlines()[-1]) == MAX_LINE_CHARS


def test_a_display_that_fails_does_not_reach_the_printing_loop():
    log = RunLog(on_change=lambda: 1 / 0)
    print("a", file=log)
    assert log.text == "a\n"
    assert log.unshown_changes > 0


def test_streams_are_restored_after_an_exception():
    before = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="x"), diverted_output(RunLog()):
        raise ValueError("x")
    assert (sys.stdout, sys.stderr) == before


def test_what_a_print_of_another_thread_may_still_write_to_outlives_the_run(monkeypatch):
    # print() borrows sys.stdout: freed in the middle of a print it ends the process.
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with diverted_output(RunLog()):
        router = weakref.ref(sys.stdout)
    gc.collect()
    assert router() is not None
    with diverted_output(RunLog()):
        assert sys.stdout is router()  # one for each original: they do not pile up


def test_a_redirection_put_on_top_meanwhile_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", below := io.StringIO())
    log, on_top = RunLog(), io.StringIO()
    diversion = diverted_output(log)
    with diversion:
        redirection = contextlib.redirect_stdout(on_top)
        redirection.__enter__()
    print("on top")
    redirection.__exit__(None, None, None)
    print("below")
    assert (on_top.getvalue(), below.getvalue(), log.text) == ("on top\n", "below\n", "")


def test_attributes_of_the_real_stream_stay_reachable(monkeypatch):
    class Stream(io.StringIO):
        parent = None

        def set_parent(self, parent):
            self.parent = parent

    monkeypatch.setattr(sys, "stdout", stream := Stream())
    with diverted_output(RunLog()):
        assert sys.stdout.encoding == "utf-8"
        assert not sys.stdout.isatty()
        sys.stdout.parent = 5
    assert stream.parent == 5
