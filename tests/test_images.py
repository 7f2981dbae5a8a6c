"""Images in prompts: made of files, refused where no server could read them, shown small."""

import base64
import io

import pytest
from pages import data
from pictures import data_url, part, png, question, words

import catlite
from catlite import Example, Group, Reference, Rollout, cards
from catlite.data import as_messages, text_of
from catlite.errors import ConfigError, DataError
from catlite.messages import MOST_CHARACTERS, extended, media, text_only, with_media
from catlite.parts import folded, media_type, most_tokens, previews, unfolded
from catlite.reporting import rendering

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
GIF = b"GIF89a\x01\0\x01\0\0\0\0;"


HOLDS_ITSELF = {"type": "x"}
HOLDS_ITSELF["again"] = [HOLDS_ITSELF]


# What is a prompt


def test_parts_stay_as_they_are_given():
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    file = {"type": "file", "file": {"file_id": "file-1"}, "cache_control": {"type": "ephemeral"}}
    parts = [words("Look."), part("https://example.org/a.png"), part(data_url(png())), audio, file]
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert as_messages(prompt) == prompt
    assert media(prompt) == parts[1:]
    assert text_of(prompt[1]) == "Look.\n[image]\n[image]\n[audio]\n[file]\n"
    assert text_of(prompt[0]) == "Be brief."


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([], "empty list of parts"),
        ([words(" "), words("")], "every message of the prompt is empty"),
        ([{"text": "no type"}], 'no "type"'),
        (["a text alone"], 'no "type".*got str'),
        ([{"type": "text", "content": "?"}], "has none: want"),
        ([{"type": "text", "text": b"bytes"}], "has none: want"),
        ([part("/home/me/cat.png")], r"catlite\.image\('/home/me/cat\.png'\)"),
        ([part("cat.png")], r"catlite\.image\('cat\.png'\)"),
        ([part("C:\\cat.png")], r"catlite\.image"),
        ([part("file:///tmp/cat.png")], r"catlite\.image\('/tmp/cat\.png'\)"),
        ([part(png())], "holds bytes, which cannot be sent"),
        ([part("")], "cannot read"),
        ([{"type": "image_url", "image_url": "https://example.org/a.png"}], "has no address"),
        ([{"type": "image_url"}], "has no address"),
        ([part("data:image/png,rawbytes")], "no image in base64"),
        ([part("data:text/html;base64,PGI+")], "no image in base64"),
        ([part("data:image/png;base64,@@@@")], "no image in base64"),
        ([part("data:image/png;base64,iVBO\nRw0K")], "no image in base64"),
        ([part("data:image/png;base64,====")], "no image in base64"),
        ([part("javascript:alert(1)")], "cannot read"),
        ([part("data:image/png;base64," + "A" * MOST_CHARACTERS)], "28,000,000 .20 MB"),
        ([{"type": "input_audio", "input_audio": {"data": b"\0"}}], "holds bytes, which cannot be sent"),
        ([{"type": "image", "image": object()}], r"holds object.*catlite\.image"),
        ([{"type": "image"}], 'calls "image_url"'),
        ([{"type": "x", "y": float("nan")}], "holds nan, which cannot be sent"),
        ([{"type": "x", 1: "y"}], "the key 1, which is no text"),
        ([HOLDS_ITSELF], "more than 50 lists"),
        ([words("x" * (MOST_CHARACTERS + 1))], "make it smaller"),
    ],
)
def test_a_part_that_no_server_can_read_is_refused(parts, why):
    with pytest.raises(ConfigError, match=why):
        as_messages([{"role": "user", "content": parts}])


@pytest.mark.parametrize("value", [b"bytes", float("inf"), {1: "one"}])
def test_a_field_beside_the_content_is_checked_as_well(value):
    with pytest.raises(ConfigError, match="message 0 "):
        as_messages([{"role": "user", "content": "What?", "extra": value}])


def test_text_stays_text_and_parts_are_added_to():
    plain = [{"role": "user", "content": "What?"}]
    assert with_media("Judge it.", plain) == "Judge it."
    picture = question()[0]["content"][0]
    assert with_media("Judge it.", question()) == [words("Judge it."), picture]
    assert extended("a", "b") == "a\n\nb"
    assert extended([picture], "b") == [picture, words("b")]


def test_a_model_of_text_gets_the_parts_joined_and_no_image():
    prompt = [{"role": "user", "content": [words("What "), words("is it?")]}]
    assert text_only(prompt, "mine") == [{"role": "user", "content": "What is it?"}]
    assert text_only("What?", "mine") == "What?"
    with pytest.raises(ConfigError, match="mine takes text alone, and message 0 has a part of the type 'image_url'"):
        text_only(question(), "mine")


# catlite.image


def test_an_image_is_made_of_a_path_of_bytes_and_of_an_address(file):
    content = png()
    wanted = part(data_url(content))
    path = file("picture.jpg", content)  # by what it holds, not by its name
    assert catlite.image(path) == catlite.image(str(path)) == catlite.image(content) == wanted
    assert catlite.image("https://example.org/a.png") == part("https://example.org/a.png")
    assert catlite.image(data_url(content), detail="low")["image_url"] == {"url": data_url(content), "detail": "low"}


def test_an_image_of_pil_is_made_png():
    pil = pytest.importorskip("PIL.Image", reason="needs Pillow")
    for mode in ("RGB", "RGBA", "L", "CMYK"):
        url = catlite.image(pil.new(mode, (3, 2)))["image_url"]["url"]
        assert media_type(base64.b64decode(url.partition(",")[2])) == "image/png"
    deep = pil.new("I;16", (1, 1), 40_000)
    content = base64.b64decode(catlite.image(deep)["image_url"]["url"].partition(",")[2])
    assert pil.open(io.BytesIO(content)).getpixel((0, 0)) == 40_000  # not cut at 255, which is white
    with pytest.raises(ConfigError, match="cannot be written as PNG"):
        catlite.image(pil.new("RGB", (0, 0)))
    for mode in ("I", "F"):  # PIL would cut 40,000 and -1 without a word
        with pytest.raises(ConfigError, match=f"has the mode '{mode}', whose values have no known range"):
            catlite.image(pil.new(mode, (1, 1), 40_000))


def test_the_digits_of_an_image_are_read_once(monkeypatch):
    url = data_url(png())
    monkeypatch.setattr("catlite.messages._images", set())
    as_messages([{"role": "user", "content": [part(url)]}])
    monkeypatch.setattr("catlite.messages._BASE64", b"")  # a second reading would find it wrong
    as_messages([{"role": "user", "content": [part(url)]}])
    with pytest.raises(ConfigError, match="no image in base64"):
        as_messages([{"role": "user", "content": [part(url + "A")]}])


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"no image", "no PNG, JPEG, GIF or WebP"),
        (SVG, "no PNG"),
        (b"", "no PNG"),
        ("missing.png", "no such file"),
        ("data:image/svg+xml,<svg>", "no image in base64"),
        (data_url(SVG, "image/svg+xml"), "holds no PNG"),
        (data_url(SVG), "holds no PNG"),
        ("file:///tmp/a.png", r"catlite\.image\('/tmp/a\.png'\)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(21_000_000), "are the most"),
        (7, "not int"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image_is_refused(source, why):
    with pytest.raises(ConfigError, match=why):
        catlite.image(source)


def test_a_folder_and_an_unknown_detail_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="it is no file"):
        catlite.image(tmp_path)
    with pytest.raises(ConfigError, match='want "low"'):
        catlite.image(png(), detail="medium")


# In a budget


@pytest.mark.parametrize(
    ("model", "detail", "most"),
    [
        ("gpt-4o-2024-08-06", "high", 1445),
        ("openai/gpt-4o", None, 1445),
        ("gpt-4o", "low", 85),
        ("gpt-4o-mini", "auto", 48_169),
        ("gpt-4o-mini", "low", 2833),
        ("gpt-4.1-mini", "high", 2489),
        ("o3", "high", 1275),
        ("o3x", "high", 50_000),
        ("Qwen/Qwen3-VL-8B", "low", 50_000),
        ("", None, 50_000),
    ],
)
def test_the_most_that_an_image_takes(model, detail, most):
    assert most_tokens(catlite.image(png(), detail), model) == most


def test_no_part_is_free():
    assert most_tokens({"type": "input_audio", "input_audio": {"data": "A" * 5000}}, "gpt-4o") == 5000
    assert most_tokens({"type": "input_audio"}, "gpt-4o") == 1_000_000
    assert most_tokens({"type": "file", "file": {"file_id": "file-1"}}, "gpt-4o") == 1_000_000


# By digest


def test_long_data_is_folded_and_put_back():
    prompt = [{"role": "system", "content": "x" * 5000}, *question("y" * 5000, png(64, 64))]
    kept = {}
    short = folded(prompt, kept)
    assert short[0] == prompt[0]
    assert short[1]["content"][1] == prompt[1]["content"][1]  # text is never folded
    ((name, content),) = kept.items()
    assert short[1]["content"][0] == part(name)
    assert content == prompt[1]["content"][0]["image_url"]["url"]
    assert unfolded(short, kept) == prompt
    assert folded(short) == short


# On a page


def test_a_small_image_is_shown_as_it_is_and_a_large_one_smaller():
    small, large = png(), png(300, 300)
    assert previews(question(content=small))[0]["source"] == data_url(small)
    (shown,) = previews(question(content=large))
    assert shown["text"] == "PNG image, 271 kB"
    assert len(shown.get("source", "")) < 80_000  # without Pillow it has none
    assert previews("What?") == previews([{"role": "user", "content": "What?"}]) == []


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://user:secret@example.org/private.png?token=1", "image at example.org"),
        ("http://[broken", "image at an unknown address"),
        (data_url(SVG, "image/svg+xml"), "image that is not shown"),
        (data_url(SVG, "image/png"), "image that is not shown"),
        (data_url(b"\x89PNG\r\n", "image/png"), "image that is not shown"),
        ("data:image/png;base64,AAAAA", "image that cannot be read"),
    ],
)
def test_what_is_not_an_image_of_pixels_is_never_a_source(url, text):
    assert previews([{"role": "user", "content": [part(url), words("?")]}]) == [{"text": text}]


def test_a_prompt_that_no_model_is_asked_has_no_image_on_a_page():
    assert previews([{"role": "user", "content": [part('data:image/png;base64,AA"><script>alert(1)</script>')]}]) == []


def test_an_image_that_pillow_cannot_read_is_only_named():
    broken = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
    assert previews(question(content=broken)) == [{"text": "PNG image, 101 kB"}]


def test_a_card_shows_the_image_and_escapes_everything_else():
    hostile = {"type": "<script>alert(1)</script>", "x": 1}
    prompt = [{"role": "user", "content": [catlite.image(png()), part("https://example.org/<b>.png"), hostile]}]
    group = Group(Example(prompt), (Rollout("A cat."),))
    card = cards.html(Reference("A cat.", None, "Synthesis", group))
    assert f'<img src="{data_url(png())}" alt="PNG image, 1 kB"' in card
    assert "[image at example.org]" in card
    assert "<script>" not in card
    assert "&lt;script&gt;" in card
    assert "[image]" in repr(Example(prompt))
    assert "<img" not in cards.html(Reference("A cat.", None, "Synthesis", Group(Example("What?"), ())))


def test_a_page_has_small_images_and_a_browser_fetches_none(tmp_path, monkeypatch):
    remote = [{"role": "user", "content": [part("https://example.org/a.png"), words("Where?")]}]
    task = catlite.Task("t", tuple(Example(prompt, "7") for prompt in (question(), remote, "What?", question())))

    async def grader(group, reference):
        return [1.0 for _ in group.rollouts]

    result = catlite.evaluate(task, catlite.ScriptedModel(lambda prompt, i: "7"), grader=grader, n=1)
    page = catlite.report(result, tmp_path / "page.html").read_text()
    first, second, third, last = data(page)["questions"]
    assert first["images"] == last["images"] == [{"text": "PNG image, 1 kB", "source": data_url(png())}]
    assert second["images"] == [{"text": "image at example.org"}]
    assert "images" not in third
    assert first["prompt"][0]["text"] == "[image]\nWhat is it?"
    assert "https://example.org" not in page
    monkeypatch.setattr(rendering, "IMAGE_BYTES", len(data_url(png())))
    crowded = data(catlite.report(result, tmp_path / "page.html").read_text())["questions"]
    assert [["source" in picture for picture in question.get("images", [])] for question in crowded] == [
        [True],
        [False],
        [],
        [False],
    ]


# Rows


def test_rows_have_images_in_every_form(file):
    path = file("a.png", png())
    rows = [
        {"question": "What?", "image": str(path)},
        {"question": "What?", "image": png()},
        {"question": "What?", "image": {"bytes": png(), "path": None}},
        {"question": "What?", "image": [{"bytes": None, "path": str(path)}]},
        {"question": [{"role": "system", "content": "Look."}, {"role": "user", "content": "What?"}], "image": path},
        *({"question": "No picture here.", "image": image} for image in (None, "", [], {"bytes": None, "path": None})),
    ]
    task = catlite.from_records(rows, prompt="question", images="image")
    expected = {"role": "user", "content": [catlite.image(path), words("What?")]}
    assert [example.messages[-1] for example in task.examples[:5]] == [expected] * 5
    assert {example.prompt for example in task.examples[5:]} == {"No picture here."}
    assert task.examples[0].metadata == {}


def test_parts_in_a_row_lose_the_keys_that_a_dataset_fills_in():
    parts = [{"type": "text", "text": "What?", "image_url": None}, {**part(data_url(png())), "text": None}]
    task = catlite.from_records([{"prompt": [{"role": "user", "content": parts, "name": None}]}])
    assert task.examples[0].messages == [{"role": "user", "content": [words("What?"), part(data_url(png()))]}]


def test_an_image_that_cannot_be_read_is_an_error_with_its_row():
    with pytest.raises(DataError, match=r"row 2: the image 'gone\.png' cannot be read"):
        catlite.from_records([{"prompt": "a", "i": png()}, {"prompt": "b", "i": "gone.png"}], images="i")
    with pytest.raises(DataError, match="not dict"):
        catlite.from_records([{"prompt": "a", "i": {"url": "https://example.org/a.png"}}], images="i")
    with pytest.raises(DataError, match="have no place"):
        catlite.from_records([{"prompt": [{"role": "system", "content": "a"}], "i": png()}], images="i")
    with pytest.raises(DataError, match="no column 'picture' for the images"):
        catlite.from_records([{"prompt": "a", "image": png()}], images="picture")


def test_ask_goes_to_the_text_beside_the_image():
    task = catlite.from_records(
        [{"prompt": "How many?", "i": GIF}], images="i", ask=True, answer_format="boxed", answer=None
    )
    first, asked = task.examples[0].messages[0]["content"]
    assert first == catlite.image(GIF)
    assert asked["text"].startswith("How many?")
    assert r"\boxed{}" in asked["text"]
    alone = [{"prompt": [{"role": "user", "content": [catlite.image(GIF)]}]}]
    with pytest.raises(DataError, match="nothing to ask with"):
        catlite.from_records(alone, ask=True, answer_format="boxed")
