"""The page: what it shows is what the document holds, it asks for nothing, and no word of a document becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from gated.probe.document import Attribution, Document, Example, HalfLives, Health, Layer
from gated.probe.page import render, write
from gated.views import Input, Mark
from made import documents as made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
KINDS = {"values": made.values, "tokens": made.tokens, "sound": made.sound, "print": made.print_}


@pytest.fixture(scope="module")
def tab():
    """The one tab of a browser: a browser, or a context, for each test costs more than the tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGS.split())
        yield chromium.new_page()
        chromium.close()


@pytest.fixture
def show(tab, tmp_path):
    """Opens documents from the disk; at the end of the test none has asked for anything else or complained."""
    asked, complaints, urls = [], [], []

    def judge(route):
        if route.request.url.partition("#")[0] in urls:
            return route.continue_()
        asked.append(route.request.url)
        return route.abort()

    def listen(message):
        complaints.append(message.text)

    def fail(error):
        complaints.append(str(error))

    def open_(document, width=1200, height=900, scheme="light"):
        urls.append(write(document, tmp_path / f"page{len(urls)}.html").as_uri())
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(color_scheme=scheme)
        tab.goto(urls[-1])
        tab.evaluate("if (stacks.length) draw()")
        return tab

    open_.complaints = complaints
    tab.route("**/*", judge)
    tab.on("console", listen)
    tab.on("pageerror", fail)
    yield open_
    tab.goto("about:blank")
    tab.unroute("**/*", judge)
    tab.remove_listener("console", listen)
    tab.remove_listener("pageerror", fail)
    assert asked == []
    assert complaints == []


def point(page, row, step, click=False):
    """Move to the middle of a step in a lane, by the mouse."""
    place = page.locator(f"#stack [data-row='{row}'] .rowplot")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    low, high = page.evaluate("[state.from, state.to]")
    x = box["x"] + (step + 0.5 - low) / (high - low) * box["width"]
    page.mouse.move(x, box["y"] + box["height"] / 2)
    if click:
        page.mouse.click(x, box["y"] + box["height"] / 2)


def value(page, row, host="#stack"):
    return np.float32(page.locator(f"{host} [data-row='{row}'] data").get_attribute("value"))


def ink(page, row):
    """How opaque a lane's pixels are, [h, w]."""
    code = """row => { const c = stacks[0].rows.find(r => r.key === row).canvas;
      const copy = Object.assign(document.createElement('canvas'), {width: c.width, height: c.height});
      const ctx = copy.getContext('2d', {willReadFrequently: true}); ctx.drawImage(c, 0, 0);
      const { data } = ctx.getImageData(0, 0, c.width, c.height);
      let alpha = ''; for (let k = 3; k < data.length; k += 4) alpha += String.fromCharCode(data[k]);
      return [c.height, c.width, btoa(alpha)]; }"""
    h, w, data = page.evaluate(code, row)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(h, w)


def shares(layer, unit, t):
    """w_s by the definition, one s at a time."""
    keep, written = np.float32(layer.keep[unit]).astype(float), np.float32(layer.write[unit]).astype(float)
    ahead = range(t, len(keep)) if layer.reverse else range(t, -1, -1)
    w = np.zeros(len(keep))
    for s in ahead:
        w[s] = written[s] * np.prod(keep[t:s] if layer.reverse else keep[s + 1 : t + 1])
    return w


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(1600, "light"), (400, "dark")])
def test_every_kind_of_input_is_drawn_from_a_disk_and_asks_for_nothing(show, kind, width, scheme):
    """Opened from a file, narrow or wide, every lane has something drawn in it, nothing is wider than the window."""
    page = show(made.document(KINDS[kind]()), width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for row in page.evaluate("stacks[0].rows.map(row => row.key)"):
        assert ink(page, row).max() > 0, row
    for section in ("steps", "memory", "flow", "health", "inputs", "history"):
        assert page.locator(f"#{section}").is_visible()
    lefts = page.evaluate("stacks.flatMap(s => s.rows.map(r => r.canvas.getBoundingClientRect().left))")
    assert len({round(x) for x in lefts}) == 1


def test_the_policy_lets_only_its_own_script_run(show):
    """The page's policy names its script and style by their SHA-256; another script that got in would not run."""
    text = render(made.document(made.tokens()))
    policy = re.search(r'Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        own = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(own) == 1
        assert base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode() in policy
    assert not re.search(r"(src|href)=\"(?!data:,|#)", text)
    page = show(made.document(made.tokens()))
    heard = page.evaluate("""() => new Promise(done => {
      addEventListener('securitypolicyviolation', e => done(e.effectiveDirective), {once: true});
      const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);
      setTimeout(() => done('nothing'), 2000); })""")
    assert heard.startswith("script-src")
    assert page.evaluate("window.ran") is None
    assert "Content Security Policy" in show.complaints.pop()


def test_an_array_that_is_shown_twice_travels_once():
    """Every array travels once, and is little-endian float32."""
    same = np.arange(5.0)[None]
    layer = Layer("l", "LSTM", 1, (0,), {"f": same, "i": same}, keep=same, write=same * 2)
    text = render(Document("", "", (), (Example("e", Input("values", 5, values={"x": same[0]}), (layer,)),)))
    blocks = re.findall(r'<script type="text/plain" id="a\d+">([^<]*)</script>', text)
    assert [np.frombuffer(base64.b64decode(b), "<f4").tolist() for b in blocks] == [[0, 1, 2, 3, 4], [0, 2, 4, 6, 8]]


def test_units_layers_and_directions_change_lanes_and_values(show):
    """Whatever is chosen, lanes are drawn anew and the values beside them are the arrays' at the step pointed at."""
    first, second = made.both(60, of=40)
    third = made.lstm(60, 3, name="encoder, layer 2", seed=7)
    example = Example("e", Input("values", 60, values={"x": np.arange(60.0)}), (first, second, third))
    page = show(made.document(example))

    def told(layer, unit, step):
        point(page, "f", step)
        for letter in "ifgoch":
            assert value(page, letter) == np.float32(layer.values[letter][unit, step])
        return ink(page, "f")

    pictures = [told(first, 0, 20)]
    page.get_by_label("Next unit").click()
    pictures.append(told(first, 1, 20))
    page.locator("#unit").select_option(label="9")
    pictures.append(told(first, 3, 33))
    page.get_by_role("button", name="Backward").click()
    pictures.append(told(second, 3, 33))
    page.locator("#layer").select_option(index=1)
    assert page.locator("#layer option").count() == 2
    assert not page.locator("#direction").is_visible()
    pictures.append(told(third, 0, 5))
    assert len({p.tobytes() for p in pictures}) == 5
    page.locator("#gate").select_option("o")
    point(page, "units", 12)
    box = page.locator("#stack [data-row=units] .rowplot").bounding_box()
    page.mouse.click(box["x"] + 50, box["y"] + box["height"] * 0.99)
    assert page.locator("#unit").input_value() == "2"
    told(third, 2, 44)


def test_a_step_of_a_layer_covers_its_stride(show):
    """With a stride of 4, step 4k to 4k + 3 of the input read step k of the layer, and beyond its last step nothing."""
    layer = made.lstm(10, 2, stride=4.0)
    page = show(made.document(Example("e", Input("values", 42, values={"x": np.zeros(42)}), (layer,))))
    for step in (0, 3, 4, 39):
        point(page, "f", step)
        assert value(page, "f") == np.float32(layer.values["f"][0, step // 4])
    point(page, "f", 41)
    assert np.isnan(value(page, "f"))


@pytest.mark.parametrize("reverse", [False, True])
def test_what_the_cell_holds_is_the_product_of_gates_times_what_was_written(show, reverse):
    """The bars at t are w_s, keep over (s, t] times write_s; with what the first state left they are c_t."""
    layer = made.lstm(80, 3, reverse=reverse)
    page = show(made.document(Example("e", Input("values", 80, values={"x": np.zeros(80)}), (layer,))))
    page.keyboard.press("Escape")
    page.locator("#unit").select_option("1")
    for t in (0, 17, 79):
        point(page, "g", t)
        found = page.evaluate("stacks[0].rows.find(r => r.key === 'contributions').result")
        drawn = np.array(found["shares"])
        np.testing.assert_allclose(drawn, shares(layer, 1, t), rtol=1e-12)
        steps = 80 - t if reverse else t + 1
        rest = 0.25 * np.prod(layer.keep[1][t:] if reverse else layer.keep[1][:steps])
        assert found["sum"] + rest == pytest.approx(layer.values["c"][1, t], abs=1e-5)
        assert value(page, "contributions") == np.float32(drawn[t])
        picture = ink(page, "contributions") > 0
        wide = picture.shape[1] / 80
        tall = np.array([picture[:, int((s + 0.5) * wide)].sum() for s in range(80)])
        height = (picture.shape[0] - 2) * np.abs(drawn) / (max(0, drawn.max()) - min(0, drawn.min()))
        np.testing.assert_allclose(tall, height, atol=2.5)


def test_a_click_pins_the_step_and_escape_lets_go(show):
    """While a step is pinned its values stay, and the share of the step under the pointer is shown; Escape unpins."""
    layer = made.lstm(50)
    page = show(made.document(Example("e", Input("values", 50, values={"x": np.arange(50.0)}), (layer,))))
    point(page, "input:x", 30, click=True)
    point(page, "f", 27)
    assert value(page, "input:x") == 30
    assert page.locator(".readout .pin").is_visible()
    assert value(page, "contributions") == pytest.approx(shares(layer, 0, 30)[27], rel=1e-6)
    assert "Share of step 27" in page.locator("#note").inner_text()
    page.keyboard.press("Escape")
    point(page, "f", 26)
    assert value(page, "input:x") == 26
    lines = page.evaluate("stacks.map(s => s.cursor.getBoundingClientRect()).map(b => [b.left, b.height])")
    box = page.locator("#stack [data-row=f] .rowplot").bounding_box()
    assert lines[0][0] == pytest.approx(box["x"] + 26 / 50 * box["width"], abs=1)
    assert lines[0][1] > 400


def test_a_hundred_thousand_steps_hide_no_spike_and_are_exact_from_near(show):
    """A spike of one step is seen among 100,000, and from near the step read is that step, to the last bit."""
    spike = 31_415
    example = made.long(spike=spike)
    page = show(made.document(example, half_lives=(), flow=(), health=(), history=()))
    for row in ("input:signal", "o"):
        picture = ink(page, row) > 0
        column = int((spike + 0.5) / 100_000 * picture.shape[1])
        top = picture[: picture.shape[0] // 3].any(0)
        assert top[column - 1 : column + 2].any(), row
        assert top.sum() <= 3, row
    taken = page.evaluate("() => { draw(); const t = performance.now(); draw(); return performance.now() - t }")
    assert taken < 5000
    page.evaluate(f"see({spike} - 40, {spike} + 40); draw()")
    for step in (spike - 1, spike, spike + 1):
        point(page, "input:signal", step)
        assert value(page, "input:signal") == (5.0 if step == spike else 0.5)
        assert value(page, "c") == np.float32(example.layers[0].values["c"][0, step])
    assert f"{spike + 1:,}" in page.locator("#readout .place").inner_text()


def test_zoom_by_axis_wheel_buttons_and_keys(show):
    """A drag along the axis takes what it covers, a drag of a lane moves it, wheel, buttons and keys go in and out."""
    page = show(made.document(made.values(200)))
    view = lambda: tuple(page.evaluate("[state.from, state.to]"))  # noqa: E731
    box = page.locator("#stack [data-row=axis] .rowplot").bounding_box()
    at = lambda step: (box["x"] + step / 200 * box["width"], box["y"] + 10)  # noqa: E731
    page.mouse.move(*at(50.2))
    page.mouse.down()
    page.mouse.move(*at(70))
    page.mouse.move(*at(99.7))
    page.mouse.up()
    assert view() == (50, 100)
    page.mouse.dblclick(*at(100))
    assert view() == (0, 200)
    page.mouse.wheel(0, -100)
    page.wait_for_function("state.to - state.from < 200")
    low, high = view()
    assert low < 100 < high
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Zoom out").click()
    assert view() == (0, 200)
    page.get_by_role("button", name="Zoom in").click()
    assert view() == (50, 150)
    lane = page.locator("#stack [data-row='input:sales'] .rowplot").bounding_box()
    page.mouse.move(lane["x"] + lane["width"] * 0.75, lane["y"] + 9)
    page.mouse.down()
    page.mouse.move(lane["x"] + lane["width"] * 0.6, lane["y"] + 9)
    page.mouse.move(lane["x"] + lane["width"] * 0.5, lane["y"] + 9)
    page.mouse.up()
    assert view() == pytest.approx((75, 175), abs=0.5)
    assert not page.locator(".readout .pin").is_visible()
    page.locator("#stack").focus()
    for _ in range(12):
        page.keyboard.press("+")
    low, high = view()
    assert high - low == 4
    page.keyboard.press("0")
    assert view() == (0, 200)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#readout .place").inner_text() == "2024-01-02"
    page.keyboard.press("ArrowDown")
    assert page.locator("#unit").input_value() == "1"


def test_a_unit_is_chosen_from_its_half_life(show):
    """A click on a unit that the example holds shows it; units that never forget stand at ∞."""
    page = show(made.document(made.values()))
    chart = page.locator("#memories .chart").nth(1)
    chart.locator("circle[data-unit='7']").click()
    assert page.locator("#layer").input_value() == "1"
    assert page.evaluate("unit()") == 7
    assert "Unit 7" in chart.locator("p.now").inner_text()
    first = page.locator("#memories .chart").nth(0)
    assert first.locator("circle").count() == 32
    heights = {u: float(first.locator(f"circle[data-unit='{u}']").get_attribute("cy")) for u in (3, 20, 5)}
    assert heights[3] == heights[20] < heights[5]
    first.locator("summary").click()
    assert first.locator("td").nth(1).inner_text() == "∞"


def test_curves_of_the_gradient_have_their_values_by_lag(show):
    """The legend tells each curve's norm at the lag pointed at, and hides a curve."""
    document = made.document()
    page = show(document)
    page.locator("#flows svg[role=img]").focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    told = [float(x) for x in page.eval_on_selector_all("#flows .legend data", "all => all.map(d => d.value)")]
    norms = [v for f in document.flow for v in f.norms.values()]
    np.testing.assert_allclose(told, [np.float32(v[90]) for v in norms], rtol=1e-6)
    before = page.locator("#flows path").count()
    assert not page.locator("#flow-layer").is_visible()
    page.locator("#flows .legend button").nth(0).click()
    assert page.locator("#flows path").count() < before
    for said in (f.summary for f in document.flow):
        assert page.get_by_text(said).is_visible()


def test_curves_are_shown_by_layer(show):
    """Where several layers have curves, one layer's are shown, or all."""
    document = made.document()
    twice = (*document.flow, *(replace(f, layer="decoder") for f in document.flow))
    page = show(replace(document, flow=twice))
    assert page.locator("#flows .legend button").count() == 5
    page.locator("#flow-layer").select_option("decoder")
    assert page.locator("#flows .legend button").count() == 5
    page.locator("#flow-layer").select_option("All layers")
    assert page.locator("#flows .legend button").count() == 10


def test_another_example_keeps_the_layer_and_a_click_finds_units_of_others(show):
    """Another example shows the same layer and unit, and a unit of a layer that only another example has opens that."""
    here = Example("one", Input("values", 20, values={"x": np.zeros(20)}), made.both(20))
    there = Example("two", Input("values", 9, values={"x": np.zeros(9)}), (made.gru(9, name="decoder"), *made.both(9)))
    page = show(made.document(here, there, half_lives=(HalfLives("decoder", np.arange(1.0, 17), ""),)))
    page.get_by_role("button", name="Backward").click()
    page.locator("#unit").select_option(label="7")
    page.locator("#example").select_option("two")
    assert page.evaluate("[layer().name, unit(), state.to]") == ["encoder, layer 1, backward", 7, 9]
    page.locator("#example").select_option("one")
    page.locator("circle[data-unit='2']").click()
    assert page.evaluate("[example().name, layer().name, unit()]") == ["two", "decoder", 2]


def test_attributions_are_those_of_the_output_chosen(show):
    """The bars beside the input are the shares of the selected output, and their sum is shown."""
    example = made.tokens()
    page = show(made.document(example))
    page.locator("#output").select_option("1")
    point(page, "f", 4)
    assert value(page, "shares", "#shares") == np.float32(example.attributions[1].shares[4])
    sums = page.eval_on_selector_all("#difference data", "all => all.map(d => Number(d.value))")
    np.testing.assert_allclose(sums, [0.9, 0.1, 0.8, example.attributions[1].shares.sum()], rtol=1e-5)


def test_sections_without_data_are_absent(show):
    """A document that holds nothing but a title shows nothing but the title."""
    page = show(Document("Only a title", "task", (), ()))
    assert page.locator("section").count() == 0
    assert page.locator("nav a").count() == 0
    only = Example("e", Input("values", 3, values={"x": np.zeros(3)}), ())
    page = show(Document("t", "", (), (only,)))
    assert page.locator("section").count() == 1
    assert not page.locator("#unit").is_visible()
    cell = Layer("rnn", "RNN", 2, (1,), {"h": np.zeros((1, 3))})
    page = show(Document("t", "", (), (Example("e", only.input, (cell,)),)))
    assert page.locator("[data-row=contributions]").count() == 0
    page = show(Document("t", "", (), (Example("empty", Input("tokens", 0), ()),)))
    assert page.locator("h1").inner_text() == "t"


HOSTILE = (
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "\"'`><svg onload=window.ran=1> {{script}} $& \\u003c <!-- ]]>",
    "\u202eright to left\u2067 שלום 👩‍👩‍👧 \u2028\u2029\x00\ud800",
    "__proto__",
)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_stay_words(show, word):
    """A name with markup, quotes, other directions or half a character is shown as it is, wherever it stands."""
    t = np.zeros(4)
    given = Input(
        "tokens",
        4,
        word,
        (word, "NaN", "", word),
        values={word: np.array([np.nan, np.inf, -np.inf, 1])},
        marks=(Mark(0, 3, word),),
        output=word,
    )
    layer = Layer(word, word, 2, (1,), {word: t[None], "constructor": t[None]}, state=word, keep=t[None], write=t[None])
    example = Example(word, given, (layer,), (Attribution(word, np.inf, np.nan, t),))
    memory = HalfLives(word, np.array([np.inf, 0.0, np.nan]), word)
    health = Health(word, word, np.nan, 0.5, 1.0, word)
    document = made.document(
        example, example, title=word, task=word, summary=(word,), half_lives=(memory,), health=(health,)
    )
    document = replace(document, history=({"step": 1, word: 2.0}, {"step": 2.0, word: np.inf}))
    page = show(document)
    assert page.evaluate("window.ran") is None
    assert page.locator("img, main script").count() == 0
    assert page.evaluate("Object.prototype.value") is None
    seen = word.replace("\x00", "\ufffd").replace("\ud800", "?")
    squeezed = lambda text: re.sub(r"\s+", " ", text).strip()  # noqa: E731
    assert squeezed(page.locator("h1").text_content()) == squeezed(seen)
    assert page.evaluate("DOC.examples[0].name") == json.loads(json.dumps(word)).replace("\ud800", "\ufffd")
    assert page.locator("#example option").count() == 2
    assert page.locator("#result").evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
    point(page, "f" if page.locator("[data-row=f]").count() else "axis", 1)
    assert page.locator("#readout data").nth(0).inner_text() == "∞"


CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const ctx = canvas.getContext('2d', {willReadFrequently: true});
  const over = (below, colour) => {
    for (const c of [`rgb(${below})`, colour]) { ctx.fillStyle = c; ctx.fillRect(0, 0, 1, 1); }
    return [...ctx.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!e.getClientRects().length || e.closest('[aria-hidden=true]') || e.matches('option, script, title')) continue;
    if (!e.matches('select') && ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    let below = [255, 0, 255];
    const line = [];
    for (let p = e; p; p = p.parentElement) line.unshift(getComputedStyle(p).backgroundColor);
    for (const colour of line) below = over(below, colour);
    const style = getComputedStyle(e), text = over(below, e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), e.tagName + ' ' + e.textContent.slice(0, 30)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(show, scheme):
    """Text has a contrast of 4.5 or more against what it stands on, as the system's scheme and by the toggle."""
    page = show(made.document(made.values()), scheme=scheme)
    other = {"light": "Dark", "dark": "Light"}[scheme]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):
        page.evaluate("document.querySelectorAll('details').forEach(d => (d.open = true))")
        found = page.evaluate(CONTRAST)
        assert len(found) > 100
        assert [entry for entry in found if entry[0] < 4.5] == []
        while other not in page.locator("#theme").inner_text():
            page.locator("#theme").click()
        page.evaluate("draw()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper


def test_writing_replaces_a_page_in_one_step(tmp_path):
    """A page is written over an older one, folders are made, and nothing else is left there."""
    path = tmp_path / "new" / "page.html"
    for title in ("one", "two"):
        assert write(Document(title, "", (), ()), path) == path
    assert '<h1 dir="auto">two</h1>' in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
