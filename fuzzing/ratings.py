"""Targets of studies of raters: requests to the server, settings, lists of images, files of people's scores."""

import json
from collections.abc import Sequence
from functools import cache

from fuzzing.asgi import call
from fuzzing.files import JSON_WORDS, YAML_WORDS
from fuzzing.streams import wavy_image
from fuzzing.target import Target, file_of, scratch
from semcomm.errors import StudyError
from semcomm.images import write_image
from semcomm.metrics.sess.human import read_human
from semcomm.ratings import Settings, Study, guarding
from semcomm.ratings.server import application
from semcomm.ratings.settings import load_settings, text_of
from semcomm.ratings.sources import from_list
from semcomm.ratings.study import Shown

TOKEN, ADMIN = b"{token}", b"{admin}"
"""Stand-ins for the right tokens in an input: a fuzzer cannot guess them, and one who has a link could send these."""
STATUSES = {200, 303, 400, 403, 404, 405, 408, 409, 413, 415, 422, 429}


@cache
def _study() -> tuple[Study, object]:
    image = wavy_image(30, 40)
    shown = [Shown(lambda: image, lambda: image, lambda: image, {"names": ["a", "b", "c"]}) for _ in range(6)]
    study = Study.make(
        scratch() / "study", Settings(items_per_rater=3, repeats=1, identical=1, simulated=True), shown, 1
    )
    guarding.BURST = guarding.RATE = 1e12
    return study, application(study, "http://localhost", {"localhost"})


def _request(data: bytes) -> None:
    """Method and path, headers, an empty line, body; none of it opens, changes or breaks what it should not."""
    study, app = _study()
    db = study.database
    data = data.replace(TOKEN, study.links.rater("R001").encode()).replace(ADMIN, study.links.administrator.encode())
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, path = first.decode("utf-8", "replace").partition(" ")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    before = db.answers()
    answer = call(app, method, path, body, headers)
    assert answer.status in STATUSES
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (study.folder / "secret").read_bytes().strip() not in answer.body and b"SQLite format" not in answer.body
    assert str(study.folder).encode() not in answer.body
    after = db.answers()
    changed = path.startswith(("/admin/", "/r/")) and method == "POST"
    assert after == before or changed
    if len(after) > len(before):
        assert after[:-1] == before and all(0 <= score <= 1 for score in after[-1][5:7])
    if answer.status != 200 and answer.status != 303:
        raise StudyError(f"refused with {answer.status}")


def _requests() -> Sequence[bytes]:
    answer = json.dumps({"position": 0, "first": 0.5, "second": 0.25, "seconds": 3.5}).encode()
    kind = b"\nContent-Type: application/json\nOrigin: http://localhost\nHost: localhost\n\n"
    return [
        b"GET /r/{token}",
        b"GET /r/{token}/state",
        b"POST /r/{token}/consent" + kind + b"{}",
        b"POST /r/{token}/rating" + kind + answer,
        b"GET /r/{token}/image/0/original\nRange: bytes=0-5\nIf-None-Match: *",
        b"GET /static/rate.js\nHost: localhost:8765",
        b"GET /admin/{admin}",
        b"POST /admin/{admin}\nContent-Type: application/x-www-form-urlencoded\n\naction=add&count=1",
        b"POST /admin/{admin}\nContent-Length: 30\nSec-Fetch-Site: same-origin\n\naction=add&count=2&code=R001",
    ]


REQUEST_WORDS = [
    *(TOKEN, ADMIN, b"/..", b"/%2e%2e/", b"%00", b"\\", b"//", b"/image/", b"/original", b"/secret", b"study.sqlite"),
    *(b"Content-Length: ", b"Transfer-Encoding: chunked", b"Origin: null", b"Host: ", b"Cookie: ", b"99999999999"),
    *(b"HEAD ", b"OPTIONS ", b"POST ", b"{{ 7 * 7 }}", b"<script>", b"' OR 1=1 --", b"action=close&code=", b"%ff"),
    *(b'"position": ', b'"first": ', b"1e999", b"NaN", b"-0.0", b"true", b"[" * 50, b"\xff", b"\xed\xa0\x80"),
]


def _settings(data: bytes) -> None:
    found = load_settings(file_of(data, "study.yaml"))
    assert load_settings(file_of(text_of(found).encode(), "again.yaml")) == found


def _good_settings() -> Sequence[bytes]:
    return [
        text_of(Settings()).encode(),
        b"kind: choices\nlanguage: de\nwords: {next: Weiter}\nexclusion: {median_seconds: 0.5}\nrepeats: 2\n",
    ]


def _list(data: bytes) -> None:
    write_image(scratch() / "a.png", wavy_image(30, 40))
    for item in from_list(file_of(data, "list.csv")):
        assert item.facts["names"]


def _human(data: bytes) -> None:
    for row in read_human(file_of(data, "human.csv"), limit=50):
        assert 0 <= row["first_score"] <= 1 and isinstance(row["reference"], str)


HUMAN = [
    b"image_a,image_b,score\na.png,b.png,0.5\na.png,c.png,1\n",
    b"image1,image2,agg_score,sampling_method\nCOCO_val2014_000000032001.jpg,COCO_val2014_000000432818.jpg,0.5,i2i_csim\n",
    b"reference,first,second,first_score,second_score\na.png,b.png,c.png,0.5,1\n",
]
LISTS = [b"reference,first,second\na.png,a.png,a.png\na.png,a.png,a.png\n", b"reference,first\na.png,a.png\n"]
CSV_WORDS = [b",", b"\n", b"\r", b'"', b"\0", b"\xef\xbb\xbf", b"../", b"nan", b"1e999", b"-1", b"\xff", b"reference"]

RATINGS = [
    Target("ratings-request", _requests, _request, REQUEST_WORDS),
    Target("ratings-settings", _good_settings, _settings, YAML_WORDS),
    Target("ratings-list", lambda: LISTS, _list, CSV_WORDS),
    Target("human-scores", lambda: HUMAN, _human, [*CSV_WORDS, *JSON_WORDS]),
]
