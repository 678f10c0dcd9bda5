# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts godwitd in a folder of its own and talks to it; for tests of the real program."""
import json
import os
import pathlib
import re
import ssl
import subprocess
import time
import urllib.request

BUILD = pathlib.Path(os.environ.get('GODWIT_BUILD')
                     or pathlib.Path(__file__).resolve().parents[2] / 'build')
SECRET = re.compile(r'godwit-join-[0-9a-f]{8}|PRIVATE KEY')


class Controller:
    def __init__(self, folder, *options):
        self.folder = folder
        self.log = folder / 'log'
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                [BUILD / 'godwitd', '--state-dir', folder / 'state', '--port', '0',
                 *options], stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while 'fingerprint' not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        text = self.log.read_text()
        self.port = int(re.search(r'127\.0\.0\.1:(\d+)', text).group(1))
        self.fingerprint = re.search(r'sha256:[0-9a-f]{64}', text).group(0)
        self.context = ssl.create_default_context(cafile=folder / 'state/tls/ca.pem')
        self.token = (folder / 'state/admin.token').read_text().strip()

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f'https://{self.address}/api/v1{path}', method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={'Authorization': 'Bearer ' + self.token, 'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, context=self.context, timeout=20) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def join_token(self, **more):
        return self.ask('POST', '/join-tokens', {'name': 'kvm1', **more})['token']

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0
        assert not SECRET.search(self.log.read_text())
