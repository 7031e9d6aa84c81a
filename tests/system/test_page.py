"""The page at GET / in a real browser, on the real server."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Keys
from selenium.webdriver.support.ui import Select

from feature_checks.bundle import Bundle
from tests.support.browser import SIZES, Page, Scheme
from tests.support.live_server import LiveServer, live
from tests.support.waiting import until

REVIEWS = ["The zoom is superb.", 'It\'s broke <b>within</b> a "week" $HOME.', "It has two buttons."]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[LiveServer]:
    """The real server on the tiny model; it takes corrections."""
    folder = tmp_path_factory.mktemp("server")
    with live(folder, MODEL_URI=str(tiny_bundle.folder), FEEDBACK="on") as running:
        yield running


def score(page: Page, server: LiveServer, texts: list[str]) -> None:
    """Open the page, score the texts, and wait for the results."""
    page.open(server.http)
    page.find("#texts").send_keys("\n".join(texts))
    page.find("#score").click()
    page.wait_for_text("#status", "Answered by version")


def logged(server: LiveServer, kind: str) -> list[dict[str, Any]]:
    """Return the lines of the prediction log whose files are of this kind."""
    files = sorted((server.log.parent / "predictions").rglob(f"*{kind}*"))
    return [json.loads(line) for file in files if file.is_file() for line in file.read_text("utf-8").splitlines()]


def test_three_reviews_are_scored_as_the_api_scores_them(page: Page, server: LiveServer) -> None:
    score(page, server, [REVIEWS[0], "", *REVIEWS[1:], "  "])
    reply = httpx.post(f"{server.http}/v1/models/sentiment:predict", json={"instances": REVIEWS})
    expected = reply.json()["predictions"]
    items = page.find_all("#list > li")
    assert [item.find_element("css selector", ".text").text for item in items] == REVIEWS
    for item, prediction in zip(items, expected, strict=True):
        assert item.find_element("css selector", ".label").text == prediction["label"]
        confidence = item.find_element("css selector", ".confidence").text
        assert confidence == f"confidence {100 * prediction['confidence']:.1f} %"
        bars = item.find_elements("css selector", ".bar")
        shown = [bar.text.split("\n") for bar in bars]
        assert shown == [[name, f"{100 * share:.1f} %"] for name, share in prediction["probabilities"].items()]
        for bar, share in zip(bars, prediction["probabilities"].values(), strict=True):
            track, fill = (bar.find_element("css selector", part).rect["width"] for part in (".track", ".fill"))
            assert fill == pytest.approx(max(2, share * track), abs=1)
    assert f"version {reply.headers['x-model-version']} " in page.find("#status").text
    assert page.console_errors() == []


def test_the_curl_command_sends_just_this_request(page: Page, server: LiveServer) -> None:
    score(page, server, REVIEWS)
    command = page.find("#command").text
    assert shlex.split(command)[:3] == ["curl", "-s", f"{server.http}/v2/models/sentiment/infer"]
    reply = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=True).stdout)
    labels = [element.text for element in page.find_all("#list .label")]
    assert reply["outputs"][0]["data"] == labels
    page.find("#copy").click()
    page.wait_for_text("#copied", "C")
    assert page.find("#copied").text in ("Copied.", "Selected. Press Ctrl + C to copy.")


def test_sentences_and_words_are_coloured_on_request(page: Page, server: LiveServer) -> None:
    review = "Das 👍 zoom is superb! It's broke <b>within</b> a week. It has two buttons."
    page.open(server.http)
    # Selenium types no character beyond the Basic Multilingual Plane.
    page.driver.execute_script("arguments[0].value = arguments[1]", page.find("#texts"), f"It works.\n{review}")
    page.find("#score").click()
    page.wait_for_text("#status", "Answered by version")
    item = page.find_all("#list > li")[1]
    item.find_element("css selector", ".explain").click()
    page.wait_for_text("#list > li:nth-child(2) .explained", "word")
    content = {"instances": [review], "outputs": ["sentences", "evidence"]}
    (expected,) = httpx.post(f"{server.http}/v1/models/sentiment:predict", json=content).json()["predictions"]
    shown = item.find_elements("css selector", ".sentences > li")
    for line, sentence in zip(shown, expected["sentences"], strict=True):
        part = review[sentence["start"] : sentence["end"]]
        assert line.text == f"{sentence['label']} {100 * sentence['confidence']:.1f} % {part}"
        assert line.get_attribute("class") == sentence["label"]
    evidence = expected["evidence"]
    words = [word for word in sorted(evidence["words"], key=lambda word: word["start"]) if word["effect"] >= 0.01]
    assert words
    marks = item.find_elements("css selector", "mark")
    assert [(mark.text, mark.get_attribute("class")) for mark in marks] == [
        (word["text"], evidence["label"]) for word in words
    ]
    assert item.find_elements("css selector", ".explain") == []
    page.assert_sound()
    assert page.console_errors() == []


def test_a_text_in_another_language_is_unsure_on_the_page(page: Page, server: LiveServer) -> None:
    score(page, server, ["Die Kamera ist nach zwei Wochen kaputt gegangen und niemand antwortet."])
    page.find(".explain").click()
    page.wait_for_text(".explained", "Decision: unsure, because the text is in the language de;")


def test_a_correction_lands_in_the_feedback_log(page: Page, server: LiveServer) -> None:
    score(page, server, REVIEWS)
    item = page.find_all("#list > li")[1]
    button = item.find_element("css selector", ".correction button")
    button.click()
    assert item.find_element("css selector", ".sent").text == "Choose the right label first."
    Select(item.find_element("css selector", "select")).select_by_visible_text("neutral")
    button.click()
    page.wait_for_text("#list > li:nth-child(2) .sent", "Correction stored: neutral.")
    until(lambda: logged(server, "feedback"))
    correction = logged(server, "feedback")[-1]
    assert (correction["item"], correction["label"]) == (1, "neutral")
    prediction = [line for line in logged(server, "predictions") if line["request_id"] == correction["request_id"]]
    assert [line["text"] for line in prediction if line["item"] == 1] == [REVIEWS[1]]


def test_the_keyboard_alone_is_enough(page: Page, server: LiveServer) -> None:
    page.open(server.http)

    def tab_to(name: str) -> None:
        for _ in range(30):
            if page.focused.accessible_name == name:
                return
            page.press(Keys.TAB)
        raise AssertionError(f"Tab never reached {name!r}")

    tab_to("Reviews, one per line")
    page.press("Good.", Keys.ENTER, "Bad.", Keys.ENTER, "A box.")
    tab_to("Score reviews")
    page.press(Keys.ENTER)
    page.wait_for_text("#status", "3 reviews: ")
    assert page.focused.get_attribute("id") == "results-heading"
    tab_to("Wrong? Right label for review 3")
    page.press("pos")
    tab_to("Send correction for review 3")
    page.press(Keys.ENTER)
    page.wait_for_text("#list > li:nth-child(3) .sent", "Correction stored: positive.")
    tab_to("Copy command")
    outline = page.focused.value_of_css_property("outline-style")
    assert outline == "solid"
    assert page.console_errors() == []


def test_control_and_enter_score_from_the_text_field(page: Page, server: LiveServer) -> None:
    page.open(server.http)
    page.find("#texts").send_keys("Good.", Keys.CONTROL, Keys.ENTER)
    page.wait_for_text("#status", "1 review: ")


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_axe_finds_no_fault_and_nothing_overflows(page: Page, server: LiveServer, width: int, scheme: Scheme) -> None:
    page.set_viewport(width)
    page.set_colour_scheme(scheme)
    page.open(server.http)
    page.assert_sound()
    page.find("#score").click()
    page.wait_for_text("#problem", "There is nothing to score.")
    page.assert_sound()
    score(page, server, [*REVIEWS, "unbroken" * 100])
    page.assert_sound()
    assert page.faults() == []
    page.open(f"{server.http}/docs")
    page.assert_sound()


def test_many_reviews_are_counted_and_the_first_are_shown(page: Page, server: LiveServer) -> None:
    page.open(server.http)
    page.driver.execute_script("document.getElementById('texts').value = 'Good.\\n'.repeat(1234)")
    page.find("#score").click()
    page.wait_for_text("#status", "1,234 reviews: ")
    assert page.find("#status").text.endswith("The first 200 are shown.")
    assert len(page.find_all("#list > li")) == 200


def test_errors_are_shown_in_words(page: Page, tmp_path: Path, tiny_bundle: Bundle) -> None:
    with live(tmp_path / "limited", MODEL_URI=str(tiny_bundle.folder), RATE_LIMIT="1/hour", MAX_TEXTS="3") as limited:
        score(page, limited, ["Good."])
        page.find("#score").click()
        page.wait_for_text("#problem", "You have sent too many requests. Try again in ")
        assert page.focused.get_attribute("id") == "problem"
        assert not page.find("#results").is_displayed()
        limited.stop()
        page.find("#score").click()
        page.wait_for_text("#problem", "The server cannot be reached.")
    with live(tmp_path / "empty", ready=False, MODEL_URI=str(tmp_path / "none"), MAX_TEXTS="3") as empty:
        until(lambda: empty.status("/v2/health/live") == 200, 120)
        page.open(empty.http)
        assert "no version is ready" in page.find("#version").text
        assert page.find_all("select") == []
        page.find("#texts").send_keys("Good.")
        page.find("#score").click()
        page.wait_for_text("#problem", "The model is not ready or is too busy. Try again in ")
        page.find("#texts").send_keys("\n1\n2\n3")
        page.find("#score").click()
        page.wait_for_text("#problem", "This is more than the server takes in one request.")


def test_the_browser_of_these_tests_sees_faults(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        '<!doctype html><html><meta http-equiv="content-security-policy" content="img-src \'none\'">'
        '<body><img src="x.png"><p style="color:#ccc;background:#fff;width:3000px">Pale</p>'
        "<script>absent()</script>",
        encoding="utf-8",
    )
    page.open(broken)
    errors = " ".join(page.console_errors())
    assert "absent is not defined" in errors
    assert "Content Security Policy" in errors
    assert page.overflow() > 1000
    assert {"html-has-lang", "image-alt", "color-contrast"} <= {fault.rule for fault in page.faults()}
    with pytest.raises(AssertionError):
        page.assert_sound()
