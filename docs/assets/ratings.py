"""The images of the raters' page in docs/ratings.md.

    python docs/assets/ratings.py STUDY

takes a new study of triplets, begins it as its first rater, and writes `docs/assets/ratings/*.jpg`. It needs the extras
`ratings` and `test` and Chromium.
"""

import shutil
import sys
import threading
import time
from pathlib import Path

import uvicorn
from playwright.sync_api import sync_playwright

from semcomm.ratings import Study
from semcomm.ratings.server import application, listening

OUT = Path(__file__).parent / "ratings"
VIEWS = {"page": (1280, 640, "light"), "phone": (360, 740, "dark")}


def main() -> None:
    """Serve the study, go to the first item that counts, and take the images."""
    study = Study(sys.argv[1])
    socket = listening("127.0.0.1", 0)
    address = f"http://127.0.0.1:{socket.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(application(study, address), log_level="error", lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [socket]}).start()
    while not server.started:
        time.sleep(0.01)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height, scheme) in VIEWS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, is_mobile=width < 600
            )
            page.goto(f"{address}/r/{study.links.rater('R001')}")
            page.wait_for_selector("#consent:not([hidden]), #trial:not([hidden])")
            if page.is_visible("#begin"):
                page.keyboard.press("Enter")
            page.wait_for_selector("#trial:not([hidden])")
            while page.is_visible("#practice"):
                for key in ("9", "Tab", "5", "Enter"):
                    page.keyboard.press(key)
                page.wait_for_timeout(500)
            for key in ("8", "Shift+ArrowRight", "Tab", "4"):
                page.keyboard.press(key)
            page.screenshot(path=OUT / f"{name}.jpg", type="jpeg", quality=82)
        browser.close()
    server.force_exit = server.should_exit = True


if __name__ == "__main__":
    main()
