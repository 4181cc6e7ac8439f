"""The server's side of a study, asked without a network."""

import json
from collections import Counter

import pytest
from simulated_raters import Client, answer_all, small_study

from fuzzing.asgi import call
from semcomm.errors import StudyError
from semcomm.ratings import Study, guarding
from semcomm.ratings.server import application


@pytest.fixture
def study(tmp_path):
    return small_study(tmp_path / "it", raters=3)


@pytest.fixture
def client(study):
    one = Client(study, "R001")
    one.post("/consent", {})
    return one


def test_consent_comes_first(study):
    one = Client(study, "R001")
    assert one.state() == {"stage": "consent"}
    assert json.loads(one.rate(0).body) == {"kept": False, "stage": "consent"}
    state = json.loads(one.post("/consent", {}).body)
    assert (state["stage"], state["position"], state["practice"], state["total"]) == ("rate", 0, 3, 13)
    again = json.loads(one.post("/consent", {}).body)
    assert again == state


def test_every_rating_once(client, study):
    assert json.loads(client.rate(0, 0.25, 0.5).body)["kept"]
    for _ in range(2):  # a double click, and another tab that is behind
        late = json.loads(client.rate(0, 0.9, 0.9).body)
        assert not late["kept"] and late["position"] == 1
    assert client.rate(5).status == 409
    assert [row[5:7] for row in study.database.answers()] in ([(0.25, 0.5)], [(0.5, 0.25)])


def test_a_score_belongs_to_its_image_whatever_the_side(client, study):
    swapped = [trial.swapped for trial in study.database.trials("R001")]
    assert set(swapped) == {True, False}
    for position in range(len(swapped)):
        assert client.rate(position, 0.2, 0.8).status == 200
    for row, side in zip(study.database.answers(), swapped):
        assert row[5:7] == ((0.8, 0.2) if side else (0.2, 0.8))
    assert client.state()["stage"] == "done"


def test_images_are_those_of_the_item_and_say_nothing(client, study):
    state = client.state()
    assert set(state["images"]) == {"original", "first", "second"}
    trial, item = study.database.trial("R001", 0)
    for slot, key in study.keys_of(trial, item).items():
        answer = call(client.app, "GET", state["images"][slot])
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert answer.body == study.path_of(key).read_bytes()
    text = json.dumps(state)
    assert item.first not in text and "noise" not in text and "kind" not in text
    for path in ("/image/0/third", "/image/99/first", "/image/99999999999999999999/first", "/image/-1/first"):
        assert client.get(path).status == 404
    for path in ("/image/0/..%2fstudy.sqlite", "/image/0/../../../secret", "/../../secret", "/image/0/study.sqlite"):
        assert client.get(path).status == 404


def test_a_check_cannot_be_told_from_an_item(client, study):
    kinds = [trial.kind for trial in study.database.trials("R001")]
    shapes = set()
    for position in range(3, len(kinds)):
        while client.state()["position"] < position:
            client.rate(client.state()["position"])
        state = client.state()
        shapes.add((tuple(state), tuple(state["images"]), state["images"]["first"].removesuffix(f"/{position}/first")))
    assert len(shapes) == 1
    same = kinds.index("identical")
    keys = study.keys_of(*study.database.trial("R001", same))
    assert keys["original"] in (keys["first"], keys["second"])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"position": 0, "first": 1.5, "second": 0, "seconds": 1}, 422),
        ({"position": 0, "first": True, "second": 0, "seconds": 1}, 422),
        ({"position": 0, "first": "0", "second": 0, "seconds": 1}, 422),
        ({"position": 0.0, "first": 0, "second": 0, "seconds": 1}, 422),
        ({"position": -1, "first": 0, "second": 0, "seconds": 1}, 422),
        ({"position": 10**40, "first": 0, "second": 0, "seconds": 1}, 422),
        ({"position": 0, "first": 0, "second": 0, "seconds": -1}, 422),
        ({"position": 0, "first": float("nan"), "second": 0, "seconds": 1}, 422),
        ({"position": 0, "first": 0, "seconds": 1}, 422),
        ({"position": 0, "first": 0, "second": 0, "seconds": 1, "more": 1}, 422),
        ([], 422),
        ({"position": 7, "first": 0, "second": 0, "seconds": 1}, 409),
    ],
)
def test_answers_that_make_no_sense(client, study, answer, status):
    assert client.post("/rating", answer).status == status
    assert study.database.answers() == []


def test_requests_that_are_refused(client, study):
    path = client.base + "/rating"
    right = json.dumps({"position": 0, "first": 0, "second": 0, "seconds": 1}).encode()
    json_ = (b"content-type", b"application/json")
    refused = {
        415: (path, right, [(b"content-type", b"text/plain")]),
        400: (path, b"{", [json_]),
        413: (path, b" " * 5000, [json_]),
        403: (path, right, [json_, (b"origin", b"http://elsewhere.example")]),
    }
    for status, (where, body, headers) in refused.items():
        assert call(client.app, "POST", where, body, headers).status == status
    assert call(client.app, "POST", path, right, [json_, (b"sec-fetch-site", b"cross-site")]).status == 403
    assert call(client.app, "PUT", path, right, [json_]).status == 405
    assert study.database.answers() == []
    proxied = application(study, "https://study.example")  # behind a proxy that names this machine as the host
    for origin, status in ((b"https://study.example", 200), (b"https://elsewhere.example", 403)):
        assert call(proxied, "POST", path, right, [json_, (b"origin", origin)]).status == status
    guarded = application(study, "http://localhost", {"localhost"})
    assert call(guarded, "GET", "/", headers=[(b"host", b"rebound.example")]).status == 400
    assert call(guarded, "GET", "/", headers=[(b"host", b"localhost:8765")]).status == 404


def test_a_link_opens_nothing_but_its_own(study):
    app = application(study, "http://localhost")
    right = study.links.rater("R001")
    wrong = [right[:-1], right + "A", right.replace("R001", "R002"), "R001", "R001-", "", study.links.rater("R999")]
    for token in [*wrong, "R001-" + "é" * 32, "\ud800"]:
        assert call(app, "GET", f"/r/{token}/state").status == 404
        assert call(app, "GET", f"/admin/{token}").status == 404
    assert call(app, "GET", f"/admin/{right}").status == 404
    assert call(app, "GET", f"/admin/{study.links.administrator}").status == 200
    assert len({study.links.rater(r.code) for r in study.database.raters()} | {study.links.administrator}) == 4
    with study.database.path.open("rb") as file:
        assert right.encode() not in file.read()


def test_too_many_requests_wait(client, monkeypatch):
    monkeypatch.setattr(guarding, "BURST", 5.0)
    monkeypatch.setattr(guarding, "RATE", 0.0)
    app = application(client.study, "http://localhost")
    statuses = Counter(call(app, "GET", client.base + "/state").status for _ in range(8))
    assert statuses == {200: 5, 429: 3}
    other = Client(client.study, "R002", app)
    assert other.get("/state").status == 200  # another rater is not held up
    guesses = Counter(call(app, "GET", f"/r/R00{n}-guess/state").status for n in range(8))
    assert guesses == {404: 5, 429: 3}


def test_buckets_fill_again_and_are_forgotten(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(guarding, "BURST", 100.0)  # fuzzing in the same process lifts the bounds
    monkeypatch.setattr(guarding, "RATE", 20.0)
    buckets = guarding.Buckets(lambda: now[0])
    assert [buckets.take("a") for _ in range(101)] == [True] * 100 + [False]
    now[0] = 1.0
    assert [buckets.take("a") for _ in range(21)] == [True] * 20 + [False]
    monkeypatch.setattr(guarding, "MOST_BUCKETS", 3)
    for name in "bcdef":
        buckets.take(name)
    assert len(buckets._left) <= 4


def test_every_answer_carries_its_headers(client):
    for path in (client.base, client.base + "/state", "/static/rate.js", "/nowhere", "/"):
        headers = call(client.app, "GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers


def test_names_are_text(tmp_path):
    hostile = '</title><script>alert("1")</script>&{{ 7 * 7 }}'
    settings = {
        "title": hostile,
        "question": hostile,
        "low": hostile,
        "instructions": hostile,
        "words": {"next": hostile},
    }
    study = small_study(tmp_path / "it", raters=1, **settings)
    client = Client(study, "R001")
    pages = [
        client.get(""),
        call(client.app, "GET", f"/admin/{study.links.administrator}"),
        call(client.app, "GET", "/"),
    ]
    for page in pages:
        text = page.body.decode()
        assert "<script>alert" not in text and "7 * 7" in text
        assert "&lt;script&gt;" in text


def test_the_administrator_makes_and_ends_links(study):
    app = application(study, "https://study.example")
    path = f"/admin/{study.links.administrator}"
    answer_all(study, "R001")
    page = call(app, "GET", path).body.decode()
    assert f"https://study.example/r/{study.links.rater('R002')}" in page and "finished" in page
    assert call(app, "POST", path, b"action=add&count=2").status == 303
    assert [rater.code for rater in study.database.raters()][-2:] == ["R004", "R005"]
    assert call(app, "POST", path, b"action=close&code=R001").status == 303
    assert Client(study, "R001").state() == {"stage": "closed"}
    assert len(study.database.answers()) == 13
    assert call(app, "POST", path, b"action=withdraw&code=R001").status == 303
    assert study.database.answers() == []
    for body in (b"action=add&count=0", b"action=add&count=99999999", b"action=close&code=R9", b"", b"\xff&=%"):
        assert call(app, "POST", path, body).status == 422
    assert call(app, "POST", path, b"a=1&" * 50).status == 422


def test_what_a_closed_link_left_is_given_to_others(study):
    shown = study.database.shown()
    one = Client(study, "R001")
    one.post("/consent", {})
    assert sum(study.database.shown().values()) == sum(shown.values()) + 6
    study.database.finish("R001")
    assert study.database.shown() == shown


def test_settings_are_fixed_by_the_first_rater(study):
    file = study.folder / "study.yaml"
    file.write_text(file.read_text().replace("ratings_per_item: 2", "ratings_per_item: 3"))
    again = Study(study.folder)
    Client(again, "R001").post("/consent", {})
    file.write_text(file.read_text().replace("identical_below: 0.8", "identical_below: 0.1"))
    with pytest.raises(StudyError, match="exclusion was"):
        Study(study.folder)


def test_pairs_and_choices(tmp_path):
    pairs = Client(small_study(tmp_path / "pairs", kind="pairs", raters=1), "R001")
    pairs.post("/consent", {})
    assert set(pairs.state()["images"]) == {"original", "first"}
    assert pairs.rate(0, 0.5, 0.5).status == 422
    assert pairs.rate(0, 0.5, None).status == 200
    choices = Client(small_study(tmp_path / "choices", kind="choices", raters=1), "R001")
    choices.post("/consent", {})
    assert choices.rate(0, 0.5, 0.5).status == 422
    assert choices.rate(0, 1, 1).status == 422
    assert choices.rate(0, 0, 1).status == 200
