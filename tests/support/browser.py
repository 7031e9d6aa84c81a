"""Chromium without a window for tests: open a page, use it by keyboard, look at it, and have axe-core judge it.

The browser resolves no host name except localhost, so that a page which loads something from elsewhere fails.

Example:
    with browser(tmp_path / "profile") as page:
        page.open(tmp_path / "report.html")
        page.set_viewport(390)
        page.set_colour_scheme("dark")
        page.screenshot(tmp_path / "report.png")
        page.assert_sound()
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--force-device-scale-factor=1"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
AXE: Final = Path(".local/npm/node_modules/axe-core/axe.min.js")
SERIOUS: Final = ("serious", "critical")
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
HEIGHT: Final = 800
Scheme = Literal["light", "dark"]
SIZES: Final[tuple[tuple[int, Scheme], ...]] = ((1300, "light"), (1300, "dark"), (390, "light"), (390, "dark"))
"""Width and colour scheme of every view in which a page has to be sound."""


@dataclass(frozen=True)
class Fault:
    """A fault of accessibility that axe-core found."""

    rule: str
    impact: str
    """One of minor, moderate, serious and critical."""
    help: str
    where: tuple[str, ...]
    """CSS selectors of the elements at fault."""


class Page:
    """A browser with one tab."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, target: str | Path) -> None:
        """Open a URL or a file, and wait until it has loaded. What the console said before is forgotten."""
        self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's method has no types
        self.driver.get(target.absolute().as_uri() if isinstance(target, Path) else target)

    def set_viewport(self, width: int, height: int = HEIGHT) -> None:
        """Set the size of the page in CSS pixels; below 600 it behaves as a phone does."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", metrics)

    def set_colour_scheme(self, scheme: Scheme) -> None:
        """Set what `prefers-color-scheme` is."""
        self._command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def screenshot(self, path: Path, *, full_page: bool = True) -> Path:
        """Write the page, or only what the viewport shows, as PNG."""
        shot = self._command("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": full_page})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector. Raises NoSuchElementException."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Return every element of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def wait_for_text(self, selector: str, text: str, seconds: float = 30) -> None:
        """Wait until the element shows a text that contains `text`. Raises TimeoutException."""
        WebDriverWait(self.driver, seconds).until(
            lambda _: text in self.find(selector).text, f"{selector} never showed {text!r}"
        )

    def wait_for_count(self, selector: str, number: int, seconds: float = 30) -> None:
        """Wait until at least so many elements match. Raises TimeoutException."""
        WebDriverWait(self.driver, seconds).until(
            lambda _: len(self.find_all(selector)) >= number, f"fewer than {number} elements match {selector}"
        )

    def enter_frame(self, selector: str) -> None:
        """Look into a frame from now on, until the next `open`."""
        self.driver.switch_to.frame(self.find(selector))

    def press(self, *keys: str) -> None:
        """Send keys to what has the focus."""
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        """The element that has the focus."""
        return self.driver.switch_to.active_element

    def console_errors(self) -> list[str]:
        """Return errors and violations of the Content-Security-Policy since the last call or `open`."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def resources(self) -> list[str]:
        """Return the URLs that the page has loaded or has tried to load, without data in the page itself."""
        script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        names: list[str] = self.driver.execute_script(script)
        return [name for name in names if not name.startswith("data:")]

    def overflow(self) -> int:
        """Return by how many CSS pixels the page is wider than its viewport."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))

    def faults(self) -> list[Fault]:
        """Return what axe-core finds on the page as it is now."""
        assert AXE.exists(), f"{AXE} is missing: run `make axe`"
        run = f"""
            const done = arguments[arguments.length - 1];
            axe.run(document, {{runOnly: {json.dumps(RULES)}}}).then((found) => done(found.violations), (error) =>
                done(String(error)));
        """
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(run)
        assert isinstance(found, list), f"axe-core failed: {found}"
        return [_fault(violation) for violation in found]

    def assert_sound(self) -> None:
        """Assert no console error, no sideways scrolling, and no serious or critical fault of accessibility."""
        assert self.console_errors() == []
        assert self.overflow() == 0
        assert [fault for fault in self.faults() if fault.impact in SERIOUS] == []

    def _command(self, name: str, parameters: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)


def _fault(violation: dict[str, Any]) -> Fault:
    where = tuple(" ".join(map(str, node["target"])) for node in violation["nodes"])
    return Fault(violation["id"], violation["impact"], violation["help"], where)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Run Chromium with a profile in the folder `profile`, which must be new."""
    program, driver_program = next(filter(None, map(shutil.which, PROGRAMS)), None), shutil.which("chromedriver")
    assert program, f"no browser ({', '.join(PROGRAMS)}) on this machine: apt-get install -y chromium"
    assert driver_program, "no chromedriver on this machine: apt-get install -y chromium-driver"
    options = ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    driver = Chrome(options, ChromeService(driver_program))
    try:
        page = Page(driver)
        page.set_viewport(1300)
        yield page
    finally:
        driver.quit()
