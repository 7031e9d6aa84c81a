"""The language of a text, the languages of a model, and the file of the bundle that names them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feature_checks.bundle import LANGUAGES, BundleError
from feature_checks.documents.languages import UNDETERMINED, Languages, detect, languages_of, load, save

TEXTS = {
    "de": "Die Kamera ist nach zwei Wochen kaputt gegangen und der Händler antwortet nicht.",
    "fr": "Je suis très satisfait de cet achat, la batterie tient longtemps et l'écran est superbe.",
    "es": "Por desgracia el cable no sirve para mi portátil, así que lo he devuelto a la tienda.",
    "it": "Sono molto soddisfatto dell'acquisto, la batteria dura a lungo e lo schermo è ottimo.",
    "pt": "Infelizmente o cabo não serve no meu computador, por isso devolvi o produto à loja.",
    "nl": "De camera ging na twee weken kapot en de verkoper reageert niet op mijn berichten.",
    "pl": "Aparat zepsuł się po dwóch tygodniach, a sprzedawca nie odpowiada na wiadomości.",
    "ru": "Камера сломалась через две недели, и продавец не отвечает на мои сообщения.",
    "ja": "残念ながらケーブルが私のノートパソコンに合わなかったので、店に返品しました。",
    "zh": "相机用了两个星期就坏了，我给卖家发了很多消息，他一直没有回复，非常失望，以后再也不会在这家店买东西了。",
}
ENGLISH = [
    "the zoom is superb", "It broke within a week.", "Great camera, I love it!!!", "lol this is soo good :)",
    "@bob omg battery died AGAIN #fail", "battery life", "5 stars", "does not work", "works fine on my nokia n95",
]  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_in_another_language_is_recognised(language: str) -> None:
    assert detect(TEXTS[language]) == language
    assert language in Languages().reason(detect(TEXTS[language]))


@pytest.mark.parametrize("text", ENGLISH)
def test_a_short_english_text_is_not_taken_for_another_language(text: str) -> None:
    assert Languages().reason(detect(text)) == ""


@pytest.mark.parametrize("text", ["", "😀", "123", "\ud800", "\x00", "x" * 20_000])
def test_whatever_has_no_language_has_an_answer(text: str) -> None:
    assert isinstance(detect(text), str)


def test_a_model_that_knows_more_languages_answers_them() -> None:
    many = languages_of([text for text in TEXTS.values() for _ in range(3)] + ENGLISH)
    assert set(TEXTS) <= set(many.supported)
    assert many.reason("de") == ""
    assert many.reason("fi") != ""
    assert languages_of(ENGLISH * 20 + [TEXTS["de"]]).supported == ("en",)  # one stray text does not add a language
    assert languages_of(["1", "2"]) == Languages()


def test_the_bundle_names_the_languages(tmp_path: Path) -> None:
    assert load(tmp_path) == Languages(("en",))
    save(Languages(("de", "en")), tmp_path)
    assert load(tmp_path) == Languages(("de", "en"))
    assert load(tmp_path).reason(UNDETERMINED) == ""


@pytest.mark.parametrize("content", ["[]", '{"supported": []}', '{"supported": "en"}', "{", '{"supported": [1]}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / LANGUAGES).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match=re.escape(LANGUAGES)):
        load(tmp_path)
