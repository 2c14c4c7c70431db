"""The page as a browser shows it: headless Chromium, which Debian and others have as `chromium`."""

import shutil
import time
from dataclasses import replace

import pytest
from example_report import CLASS_NAMES, COUNTS, HOSTILE, IMAGES, OUTPUTS, example_report
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dms_jax.evaluation.report.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1366,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(example_report(), path)
    return path


@pytest.fixture
def opened(browser, page):
    browser.get(page.as_uri())
    yield browser
    # Violations of the page's policy, which forbids all requests, are errors too.
    assert browser.get_log("browser") == []


def visible(browser):
    return [card for card in browser.find_elements(By.CSS_SELECTOR, "#cards .card") if card.is_displayed()]


def names(browser):
    return [card.get_attribute("title") for card in visible(browser)]


def chip(browser, group, key):
    return browser.find_element(By.CSS_SELECTOR, f'.chip[data-group="{group}"][data-key="{key}"]')


def dialog(browser):
    return browser.find_element(By.TAG_NAME, "dialog")


def press(browser, key):
    browser.switch_to.active_element.send_keys(key)


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def scroll_to(browser, element):
    # Not to the top, where the page's header is.
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)


def test_no_request_leaves_the_page(browser, page):
    browser.get_log("performance")
    browser.get(page.as_uri())
    visible(browser)[0].click()
    until(lambda: dialog(browser).get_attribute("open") is not None)
    requests = [
        line["message"] for line in browser.get_log("performance") if "Network.requestWillBeSent" in line["message"]
    ]
    foreign = [line for line in requests if '"url":"data:' not in line and page.as_uri() not in line]
    assert foreign == []
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", COUNTS)
def test_a_kind_filters(opened, kind):
    assert len(visible(opened)) == len(IMAGES)
    chip(opened, "kind", kind).click()
    assert len(visible(opened)) == COUNTS[kind]
    assert opened.find_element(By.ID, "count").text == f"{COUNTS[kind]} of {len(IMAGES)} images"
    chip(opened, "kind", kind).click()
    assert len(visible(opened)) == len(IMAGES)


def test_filters_combine_and_are_taken_back(opened):
    chip(opened, "kind", "missed").click()
    chip(opened, "kind", "alarm").click()
    assert len(visible(opened)) == 3
    chip(opened, "label", "0").click()
    assert names(opened) == ["alarm.png"]
    chip(opened, "predicted", "2").click()
    assert names(opened) == []
    opened.find_element(By.ID, "reset").click()
    assert len(visible(opened)) == len(IMAGES)
    opened.find_element(By.ID, "search").send_keys("MISSED")
    assert len(visible(opened)) == 2


def test_a_cell_of_the_confusion_matrix_shows_its_images(opened):
    chip(opened, "kind", "fine").click()
    cell = opened.find_element(By.CSS_SELECTOR, '.confusion button[data-label="1"][data-predicted="0"]')
    scroll_to(opened, cell)
    cell.click()
    assert names(opened) == ["missed.png"]


def test_a_cell_without_images_shows_none(browser, tmp_path):
    """Also where no image at all is predicted so: there is nothing to filter by then."""
    report = example_report()
    cards = tuple(card for card in report.gallery.cards if card.predicted[-1] != 1)
    write_report(replace(report, gallery=replace(report.gallery, cards=cards)), tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    cell = browser.find_element(By.CSS_SELECTOR, '.confusion button[data-label="2"][data-predicted="1"]')
    scroll_to(browser, cell)
    cell.click()
    assert names(browser) == []
    assert browser.find_element(By.ID, "count").text == f"0 of {len(cards)} images"
    chip(browser, "label", "0").click()
    assert len(names(browser)) == 4
    browser.find_element(By.ID, "reset").click()
    assert len(names(browser)) == len(cards)
    assert browser.get_log("browser") == []


def test_pictures_of_cards_load_when_they_come_near(opened):
    images = opened.find_elements(By.CSS_SELECTOR, "#cards li:first-child img")
    assert [image.get_property("naturalWidth") for image in images] == [0] * 3
    scroll_to(opened, images[0])
    until(lambda: all(image.get_property("naturalWidth") == 32 for image in images))


def test_an_image_opens_with_all_steps_and_its_numbers(opened):
    chip(opened, "label", "1").click()
    shown = names(opened)
    visible(opened)[0].click()
    large = dialog(opened)
    assert large.find_element(By.TAG_NAME, "h2").text == shown[0]
    steps = [image for image in large.find_elements(By.TAG_NAME, "img") if image.get_attribute("alt").startswith("S")]
    assert [image.get_attribute("alt") for image in steps] == ["S2 (final map)", "S0", "S1"]
    assert len(steps) == OUTPUTS
    until(lambda: all(image.get_property("naturalWidth") == 32 for image in steps))
    facts = dict(
        zip(*([cell.text for cell in large.find_elements(By.TAG_NAME, tag)] for tag in ("dt", "dd")), strict=True)
    )
    assert facts["true class"] == "crack"
    assert facts["P(free)"] == "0.9000"
    assert facts["IoU"] == "0.0000"


def test_the_keyboard_moves_among_the_filtered_images_and_closes(opened):
    chip(opened, "label", "1").click()
    shown = names(opened)
    visible(opened)[0].send_keys(Keys.ENTER)
    title = dialog(opened).find_element(By.TAG_NAME, "h2")
    assert title.text == shown[0]
    press(opened, Keys.ARROW_LEFT)
    assert title.text == shown[0]
    for name in (*shown[1:], shown[-1]):
        press(opened, Keys.ARROW_RIGHT)
        assert title.text == name
    outlines = dialog(opened).find_element(By.CSS_SELECTOR, ".outlines")
    assert outlines.is_displayed()
    press(opened, "o")
    assert not outlines.is_displayed()
    press(opened, Keys.ESCAPE)
    until(lambda: dialog(opened).get_attribute("open") is None)
    # The card that was looked at last is where the keyboard goes on.
    until(lambda: opened.switch_to.active_element.get_attribute("title") == shown[-1])


def test_dark_maps_are_stretched_on_demand(opened):
    opened.find_element(By.ID, "search").send_keys("missed too")
    visible(opened)[0].click()
    images = dialog(opened).find_elements(By.CSS_SELECTOR, ".map")
    filters = {image.value_of_css_property("filter") for image in images}
    press(opened, "s")
    (stretched,) = {image.value_of_css_property("filter") for image in images}
    press(opened, "s")
    assert filters == {image.value_of_css_property("filter") for image in images} == {"none"}
    # Its largest value is 90.
    assert float(stretched.removeprefix("brightness(").removesuffix(")")) == pytest.approx(255 / 90, abs=0.01)


def test_hostile_names_are_shown_as_text(opened):
    assert HOSTILE in names(opened)
    visible(opened)[names(opened).index(HOSTILE)].click()
    assert dialog(opened).find_element(By.TAG_NAME, "h2").text == HOSTILE
    assert CLASS_NAMES[2] in [cell.text for cell in dialog(opened).find_elements(By.TAG_NAME, "dd")]
    assert opened.title == "BDMS on <mtdd>"
    assert opened.find_elements(By.CSS_SELECTOR, "dialog b, #cards b, script[src]") == []


def test_every_control_has_a_name(opened):
    def check(controls):
        assert controls
        for control in controls:
            assert control.accessible_name.strip(), control.get_attribute("outerHTML")

    check(opened.find_elements(By.CSS_SELECTOR, "main button:not(.card), main input"))
    # Chromium names what it has laid out.
    scroll_to(opened, visible(opened)[-1])
    check(visible(opened))
    # Which then are out of reach.
    visible(opened)[0].click()
    check(dialog(opened).find_elements(By.TAG_NAME, "button"))
