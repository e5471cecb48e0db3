"""The first screen of results/report.html as a picture: `python -m stages.publish.screenshot docs/report.png`.

Needs playwright and Chromium, which the tests need too.
"""

import argparse
import shutil
from pathlib import Path

from stages.common.artefacts import RESULTS
from stages.common.command import run
from stages.common.errors import InputError

WIDTH, HEIGHT = 1200, 860


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.publish.screenshot", description="A picture of the report.")
    parser.add_argument("path", type=Path)
    path: Path = parser.parse_args().path
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError("a screenshot needs the package playwright; pip install playwright") from None
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise InputError("a screenshot needs Chromium; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto((RESULTS / "report.html").resolve().as_uri())
        page.screenshot(path=path)
        opened.close()
    print(f"screenshot: {path} written")


if __name__ == "__main__":
    run(main)
