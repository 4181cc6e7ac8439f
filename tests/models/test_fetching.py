"""Fetching from a stand-in for the hub, on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tiny_models
import torch
from safetensors.torch import load_file

from semcomm.errors import ModelError
from semcomm.models import CARDS, find
from semcomm.models.fetching import fetch

COMMIT = "1234567890123456789012345678901234567890"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download needs; `files` are those of its one repository."""

    repository = "lab/tiny-clip"
    files: dict[str, bytes] = {}  # noqa: RUF012

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{self.repository}/tree/"):
            return self.say([{"type": "file", "path": n, "size": len(d), "oid": _id(d)} for n, d in self.files.items()])
        if path.startswith(f"/api/models/{self.repository}"):
            siblings = [{"rfilename": name} for name in self.files]
            return self.say({"id": self.repository, "sha": COMMIT, "siblings": siblings})
        name = path.rpartition(f"/{self.repository}/resolve/{COMMIT}/")[2]
        if name in self.files:
            return self.send(200, self.files[name], body)
        if path.startswith("/files/"):
            return self.send(200, self.files[path.removeprefix("/files/")], body)
        return self.send(404, b"", body, {"X-Error-Code": "RepoNotFound"})

    def say(self, data):
        self.send(200, json.dumps(data).encode(), True, {"Content-Type": "application/json"})

    def send(self, status, data, body, headers=None):
        self.send_response(status)
        about = {"Content-Length": len(data), "ETag": f'"{_id(data)}"', "X-Repo-Commit": COMMIT, **(headers or {})}
        for key, value in about.items():
            self.send_header(key, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def _id(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub(tmp_path):
    source = tiny_models.clip(tmp_path / "source")
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def semcomm(tmp_path, hub, *argv):
    """Run a command as a user would, on a machine that knows no hub but ours."""
    address = f"http://127.0.0.1:{hub.server_port}"
    ours = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "SEMCOMM_CACHE": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | ours | {"NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "semcomm", "models", *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_repository_is_fetched_and_then_complete(tmp_path, hub):
    hub.RequestHandlerClass.files["pytorch_model.bin"] = b"a pickle that nobody asked for"
    done = semcomm(tmp_path, hub, "fetch", Hub.repository, "--to", str(tmp_path / "here"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "here")
    names = {path.name for path in (tmp_path / "here").iterdir() if path.is_file()}
    assert names == {path.name for path in (tmp_path / "source").iterdir()}
    assert find(str(tmp_path / "here"))
    done = semcomm(tmp_path, hub, "check", str(tmp_path / "here"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "a complete CLIPModel, 78 tensors in 1 files of weights" in done.stdout


def test_a_name_finds_what_was_fetched_into_the_cache(tmp_path, hub, monkeypatch):
    done = semcomm(tmp_path, hub, "fetch", Hub.repository)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    assert str(find(Hub.repository)) == done.stdout.strip()


def test_what_cannot_be_fetched_is_one_line(tmp_path, hub):
    done = semcomm(tmp_path, hub, "fetch", "lab/nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("semcomm: error: lab/nothing: could not be fetched (")
    assert len(done.stderr.splitlines()) == 1
    del hub.RequestHandlerClass.files["model.safetensors"]
    done = semcomm(tmp_path, hub, "fetch", Hub.repository)
    assert "lab/tiny-clip: offers no safetensors; --trust-pickle" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_names_are_refused_before_the_network():
    with pytest.raises(ModelError, match="comes with semcomm"):
        fetch("efficientnet-lite0-distilled")
    with pytest.raises(ModelError, match="is no hub id"):
        fetch("a/b/c")
    with pytest.raises(ModelError, match="is no hub id"):
        fetch("clip-vit-h14")


@pytest.fixture
def alexnet(tmp_path, hub, monkeypatch):
    """The card of AlexNet, pointing at our server."""
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))
    data = tiny_models.torchvision_file(tmp_path / "alexnet.pth", "alex").read_bytes()
    hub.RequestHandlerClass.files["alexnet.pth"] = data
    source = f"http://127.0.0.1:{hub.server_port}/files/alexnet.pth"
    card = replace(CARDS["lpips-alex"], source=source, sha256=hashlib.sha256(data).hexdigest()[:8])
    monkeypatch.setitem(CARDS, card.name, card)
    return card


def test_a_published_pickle_is_verified_and_converted(tmp_path, alexnet):
    with pytest.raises(ModelError, match=r"as a pickle only .* --trust-pickle"):
        fetch("lpips-alex")
    path = fetch("lpips-alex", trust_pickle=True)
    assert find("lpips-alex") == path
    assert [p.name for p in path.parent.iterdir()] == ["lpips-alex.safetensors"]
    published = torch.load(tmp_path / "alexnet.pth", weights_only=True)
    assert all(torch.equal(tensor, published[name]) for name, tensor in load_file(path).items())
    assert fetch("lpips-alex", tmp_path / "there", trust_pickle=True) == tmp_path / "there" / path.name


def test_a_folder_that_cannot_be_written_is_named(alexnet, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"file: cannot be written .*; --to names another"):
        fetch("lpips-alex", tmp_path / "file", trust_pickle=True)


def test_a_published_pickle_that_was_changed_is_refused(alexnet, monkeypatch, tmp_path):
    monkeypatch.setitem(CARDS, "lpips-alex", replace(alexnet, sha256="00000000"))
    with pytest.raises(ModelError, match=r"not the published file .*expected \"00000000\""):
        fetch("lpips-alex", trust_pickle=True)
    monkeypatch.setitem(CARDS, "lpips-alex", replace(alexnet, source="http://127.0.0.1:9/alexnet.pth"))
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch("lpips-alex", trust_pickle=True)
    assert not list((tmp_path / "cache" / "models").iterdir())
