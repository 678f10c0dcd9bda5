# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts tests/unit/api_server.c and talks to it; for the tests and the measurements."""
import http.client
import json
import os
import pathlib
import select
import socket
import ssl
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
BINARY = os.environ.get('API_SERVER', str(HERE.parent.parent / 'build/tests/api-server'))
TOKEN = 'fake-administrator-token'
OTHER_TOKEN = 'fake-other-token'


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.will_close = response.will_close

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    def __init__(self, *options, plain=False):
        self.folder = tempfile.TemporaryDirectory(prefix='godwit-api-')
        self.plain = plain
        command = [BINARY, '--fabric', str(HERE / 'fabric.json'), *map(str, options)]
        command += ['--plain'] if plain else ['--certificates', self.folder.name]
        # An address sanitizer keeps freed memory for a while; the ceilings here shall still hold.
        environment = {'ASAN_OPTIONS': 'quarantine_size_mb=1', **os.environ}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read())
        self.port = int(line)
        self.ca = os.path.join(self.folder.name, 'ca.pem')

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=30)
        code = self.process.returncode
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        self.folder.cleanup()
        assert code == 0, (code, errors)
        assert errors == ''

    def tick(self):
        """Lets time pass once in the engine; returns how many moves it has begun."""
        self.process.stdin.write('tick\n')
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def context(self):
        return ssl.create_default_context(cafile=self.ca)

    def connect(self, timeout=20):
        if self.plain:
            return http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)
        return http.client.HTTPSConnection('localhost', self.port, timeout=timeout,
                                           context=self.context())

    def socket(self, timeout=20):
        raw = socket.create_connection(('127.0.0.1', self.port), timeout=timeout)
        if self.plain:
            return raw
        return self.context().wrap_socket(raw, server_hostname='localhost')

    def ask(self, method, path, body=None, headers=None, token=TOKEN, connection=None):
        own = connection or self.connect()
        sent = {} if token is None else {'Authorization': 'Bearer ' + token}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            sent['Content-Type'] = 'application/json'
        sent.update(headers or {})
        sent = {k: v for k, v in sent.items() if v is not None}
        own.request(method, path, body, sent)
        response = own.getresponse()
        reply = Reply(response, response.read())
        if connection is None:
            own.close()
        return reply

    def get(self, path, **more):
        return self.ask('GET', path, **more)

    def raw(self, data, timeout=20):
        """Sends bytes as they are; returns everything that comes back until the end."""
        with self.socket(timeout) as sock:
            try:
                sock.sendall(data)
            except OSError:
                pass  # it had enough before the end; what it said may still be read
            return read_all(sock)

    def rss_kib(self):
        for line in open(f'/proc/{self.process.pid}/status'):
            if line.startswith('VmRSS'):
                return int(line.split()[1])
        raise RuntimeError('no VmRSS')


def read_all(sock):
    data = b''
    while True:
        try:
            part = sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return data
        if not part:
            return data
        data += part


class Events:
    """A follower of /events."""

    def __init__(self, server, last=None):
        self.connection = server.connect(timeout=20)
        headers = {'Authorization': 'Bearer ' + TOKEN}
        if last is not None:
            headers['Last-Event-ID'] = str(last)
        self.connection.request('GET', '/api/v1/events', headers=headers)
        self.response = self.connection.getresponse()

    def block(self):
        """The next block: its fields, a comment under ''."""
        fields = {}
        while True:
            line = self.response.readline().decode()
            if line == '':
                raise EOFError
            line = line.rstrip('\n')
            if line == '' and fields:
                return fields
            name, _, value = line.partition(':')
            fields[name] = value.strip()

    def event(self):
        while True:
            fields = self.block()
            if 'event' in fields:
                return fields

    def close(self):
        self.connection.close()


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_closed(sock, seconds):
    """Whether the far end hangs up within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        readable, _, _ = select.select([sock], [], [], 0.2)
        if readable:
            try:
                if sock.recv(4096) == b'':
                    return True
            except (ConnectionResetError, ssl.SSLError):
                return True
    return False
