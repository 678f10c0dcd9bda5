# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import pathlib
import subprocess

import pytest

import fake as fakes

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("GODWIT", str(ROOT / "build" / "godwit"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    fakes.make_certificates(path)
    (path / "token").write_text(fakes.TOKEN + "\n")
    (path / "token").chmod(0o600)
    return path


@pytest.fixture
def fake(folder):
    server = fakes.Fake(folder).start()
    yield server
    server.stop()
    assert server.wrong == [], "the program sent what a controller refuses"


@pytest.fixture
def environment(folder, tmp_path):
    def make(url, **more):
        env = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": str(tmp_path / "config"), "TZ": "UTC", "TERM": "xterm",
            "GODWIT_SERVER": url, "GODWIT_CA": str(folder / "ca.pem"),
            "GODWIT_TOKEN_FILE": str(folder / "token"),
            # A proxy that does not exist: using it would fail every test.
            "https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(more)
        return env
    return make


class Run:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr


@pytest.fixture
def godwit(fake, environment):
    def run(*args, timeout=60, **more):
        done = subprocess.run([PROGRAM, *args], env=environment(fake.url, **more),
                              capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        assert fakes.TOKEN not in done.stdout + done.stderr, "the token was printed"
        return Run(done)
    return run


@pytest.fixture
def golden():
    """Compares with tests/cli/golden/NAME; GODWIT_UPDATE_GOLDEN=1 writes it, to be reviewed."""
    def compare(name, text):
        path = pathlib.Path(__file__).parent / "golden" / name
        if os.environ.get("GODWIT_UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()
    return compare
