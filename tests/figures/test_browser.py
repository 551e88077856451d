"""The page in a real browser: it draws, its marks answer, it keeps to itself, and it fits any screen.

Runs where Chromium and its driver are installed (Debian: chromium, chromium-driver).
"""

import json
import shutil

import pytest

from tests.figures import examples
from tinytorch.figures.page import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on the PATH")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
MARKS = ".answers_marks > *"
HANGS = 60  # seconds that nothing takes, on a busy machine either


class Browser:
    """One Chromium, and the page that is open in it."""

    def __init__(self):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
        self.driver.set_script_timeout(HANGS)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition):
        """Wait until a condition in JavaScript holds."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, HANGS, poll_frequency=0.05).until(
            lambda _: self.run(f"return {condition}")
        )

    def open(self, path, width=1200, dark=False):
        self.screen(width)
        self.colours(dark)
        self.driver.get(path.as_uri())
        self.wait("document.documentElement.dataset.drawn === 'yes'")

    def screen(self, width):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def press(self, key):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=20).send_keys(key).perform()

    def tip(self, figure=0):
        """Return the lines that a figure tells."""
        return self.run(
            "return [...document.querySelectorAll('.tip')[arguments[0]].children].map(e => e.textContent)",
            figure,
        )

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Return the addresses asked for since the last time."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "ordinary.html").write_text(page("Report", examples.blocks()))
    (folder / "hostile.html").write_text(page(examples.HOSTILE[1], examples.blocks(examples.HOSTILE)))
    return {path.stem: path for path in folder.iterdir()}


def test_every_figure_is_drawn_and_nothing_complains(browser, files):
    browser.complaints(), browser.requests()
    browser.open(files["ordinary"])
    counts = browser.run(
        f"return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg {MARKS}').length)"
    )
    assert counts == [15, 3, 16, 2, 6]
    assert browser.complaints() == []
    assert {url for url in browser.requests() if url != "data:,"} == {files["ordinary"].as_uri()}


def test_no_eval_and_no_foreign_script(browser, files):
    """The policy is in force: what it forbids fails."""
    browser.open(files["ordinary"])
    tried = """
        const element = document.createElement("script");
        element.textContent = "window.__ran = 1";
        document.body.append(element);
        element.remove();
        return window.__ran === undefined;
    """
    assert browser.run(tried)
    assert browser.run("return fetch('data:,x').then(() => false, () => true)")
    browser.complaints()  # of the browser, about what was tried


def test_hovering_tells_the_numbers(browser, files):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    browser.open(files["ordinary"])
    marks = browser.driver.find_elements(By.CSS_SELECTOR, f".plot svg {MARKS}")
    ActionChains(browser.driver, duration=20).move_to_element(marks[1]).perform()
    assert browser.tip() == [
        "kernel_1", "rate: 62 MFLOP/s", "intensity: 0.16 FLOP/B",
        "share of its roof: 2%", "bound by: memory", "shape: 1 x 1",
    ]  # fmt: skip
    box = browser.run(
        "const b = document.querySelector('.tip').getBoundingClientRect(); return [b.left, b.right]"
    )
    assert box[0] >= 0
    assert box[1] <= 1200
    ActionChains(browser.driver, duration=20).move_to_element(
        browser.driver.find_element(By.TAG_NAME, "h1")
    ).perform()
    assert browser.tip() == []


def test_a_tap_beside_a_mark_tells_its_numbers(browser, files):
    browser.open(files["ordinary"], width=390)
    browser.run("document.querySelectorAll('figure')[2].scrollIntoView()")
    at = browser.run(
        f"const plot = document.querySelectorAll('.plot')[2];"
        f"const b = plot.querySelectorAll('{MARKS}')[3].getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    browser.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        touch = [{"x": at[0], "y": at[1] + 14}]
        for kind, points in (("touchStart", touch), ("touchEnd", [])):
            browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        browser.wait("document.querySelectorAll('.tip')[2].children.length > 0")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert browser.tip(2) == ["32 KiB", "time per load: 2.2 ns"]


def test_the_keyboard_reaches_every_mark(browser, files):
    from selenium.webdriver.common.keys import Keys

    browser.open(files["ordinary"])
    browser.press(Keys.TAB)
    assert browser.tip()[0] == "kernel_0"
    assert browser.run("return document.activeElement.matches(':focus-visible')")
    ring = "return getComputedStyle(document.activeElement).strokeWidth"
    assert browser.run(ring) == "7px"
    reached = []
    for _ in range(15):
        reached.append(browser.tip()[0])
        browser.press(Keys.ARROW_RIGHT)
    assert reached == [f"kernel_{i}" for i in range(15)]
    assert browser.tip()[0] == "kernel_0"  # round again
    browser.press(Keys.END)
    assert browser.tip()[0] == "kernel_14"
    browser.press(Keys.ESCAPE)
    assert browser.tip() == []
    browser.press(Keys.TAB)  # the table, which may scroll
    assert browser.run("return document.activeElement.getAttribute('role')") == "region"
    for name in ("python loops", "4 KiB", "numpy", "numpy"):
        browser.press(Keys.TAB)
        figure = browser.run(
            "const figures = [...document.querySelectorAll('figure')];"
            "return figures.indexOf(document.activeElement.closest('figure'))"
        )
        assert browser.tip(figure)[0] == name
        browser.press(Keys.TAB)


def test_a_screen_reader_is_told_the_same(browser, files):
    browser.open(files["ordinary"])
    labelled = browser.run(
        f"return [...document.querySelectorAll('{MARKS}')].map(m => m.getAttribute('aria-label'))"
    )
    assert len(labelled) == 42
    assert all(labelled)
    assert browser.run("return document.querySelectorAll('main, h1').length") == 2
    assert browser.run("return document.querySelectorAll('.tip[role=status]').length") == 5
    for part in ("h2", "table", "th[scope=row]"):
        assert browser.run(f"return document.querySelectorAll('section:not(:has({part}))').length") == 0


def test_hostile_names_do_nothing_and_are_shown(browser, files):
    from selenium.webdriver.common.keys import Keys

    browser.complaints(), browser.requests()
    browser.open(files["hostile"])
    assert browser.run("return window.__hacked === undefined")
    assert (
        browser.run(
            "return document.querySelectorAll('img, b, main script:not([type=\"application/json\"])').length"
        )
        == 0
    )
    browser.press(Keys.TAB)
    for name in examples.HOSTILE[:7]:
        assert browser.tip()[0] == name
        browser.press(Keys.ARROW_RIGHT)
    assert browser.run("return window.__hacked === undefined")
    assert browser.run("return ({}).polluted === undefined && Object.keys(Object.prototype).length === 0")
    drawn = browser.run("return [...document.querySelectorAll('.plot')].map(p => p.textContent).join(' ')")
    assert "datum.told" in drawn
    assert "Größe 大きさ" in drawn
    assert browser.complaints() == []
    assert {url for url in browser.requests() if url != "data:,"} == {files["hostile"].as_uri()}


@pytest.mark.parametrize("width", [320, 360, 768])
@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_no_sideways_scrolling(browser, files, width, name):
    browser.open(files[name], width=width)
    scrolled, seen = browser.run("const d = document.documentElement; return [d.scrollWidth, d.clientWidth]")
    assert seen <= width  # less a scroll bar
    assert scrolled <= seen
    wide = "p => p.querySelector('svg').getBoundingClientRect().width - p.clientWidth"
    assert max(browser.run(f"return [...document.querySelectorAll('.plot')].map({wide})")) <= 0.5


def test_figures_follow_the_width(browser, files):
    browser.open(files["ordinary"])
    before = browser.run("return document.querySelector('.plot svg').getBoundingClientRect().width")
    browser.screen(700)
    browser.wait(f"document.querySelector('.plot svg').getBoundingClientRect().width < {before - 100}")
    browser.wait(f"document.querySelectorAll('.plot {MARKS}[tabindex=\"0\"]').length === 5")


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_names_beside_points_do_not_cover_each_other(browser, files, width):
    browser.open(files["ordinary"], width=width)
    boxes = browser.run("""
        return [...document.querySelector('.plot').querySelectorAll('text')]
            .filter(t => t.textContent.startsWith('kernel_') && !t.getAttribute('stroke'))
            .map(t => t.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])
    """)
    assert len(boxes) >= 5
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            across = min(a[2], b[2]) - max(a[0], b[0])
            down = min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 1 or down <= 3  # boxes of text hold a line's leading as well


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_light_and_dark(browser, files, dark):
    browser.open(files["ordinary"], dark=dark)
    paper, ink, hint = browser.run("""
        const body = getComputedStyle(document.body);
        return [body.backgroundColor, body.color, getComputedStyle(document.querySelector('.hint')).color];
    """)
    assert (luminance(paper) < 0.1) == dark
    assert contrast(paper, ink) >= 4.5
    assert contrast(paper, hint) >= 4.5
    drawn = browser.run("""
        return [...document.querySelectorAll('.plot svg text')].map(t => getComputedStyle(t).fill)
    """)
    assert all(contrast(paper, fill) >= 4.5 for fill in set(drawn))


def test_dark_comes_and_goes_while_the_page_is_open(browser, files):
    from selenium.webdriver.common.keys import Keys

    browser.open(files["ordinary"])
    browser.press(Keys.TAB)
    browser.press(Keys.ARROW_RIGHT)
    colour = "getComputedStyle(document.querySelector('.plot svg .role-axis-label text')).fill"
    light = browser.run(f"return {colour}")
    browser.complaints()
    browser.colours(dark=True)
    browser.wait(f"document.querySelector('.plot svg .role-axis-label text') && {colour} !== '{light}'")
    assert luminance(browser.run(f"return {colour}")) > 0.5
    browser.wait("document.activeElement.closest('.answers_marks') !== null")
    assert browser.tip()[0] == "kernel_1"  # where the reader was
    browser.colours(dark=False)
    browser.wait(f"document.querySelector('.plot svg .role-axis-label text') && {colour} === '{light}'")
    assert browser.complaints() == []


def luminance(colour):
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)
