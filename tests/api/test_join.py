# SPDX-License-Identifier: LGPL-2.1-or-later
"""An agent joins a controller: the real programs, over TLS."""
import contextlib
import hashlib
import http.server
import json
import ssl
import stat
import subprocess
import threading

import pytest

from daemon import BUILD, SECRET, Controller


@pytest.fixture
def make(tmp_path):
    made = []

    def start(name):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Controller(folder))
        return made[-1]
    yield start
    for controller in made:
        controller.stop()


@pytest.fixture
def controller(make):
    return make('controller')


@pytest.fixture
def agent(tmp_path):
    def run(command, *args, token=None, state='agent'):
        done = subprocess.run([BUILD / 'godwit-agent', command, '--state-dir', tmp_path / state,
                               *args], input=token, capture_output=True, text=True, timeout=60)
        assert not SECRET.search(done.stdout + done.stderr)
        return done
    run.folder = tmp_path / 'agent'
    return run


def join(agent, controller, token, *more, **where):
    return agent('join', '--controller', controller.address, '--fingerprint',
                 controller.fingerprint, '--token-file', '-', *more, token=token + '\n', **where)


def fields(done):
    assert done.returncode == 0, done.stderr
    return dict(line.split(': ', 1) for line in done.stdout.splitlines())


def test_join(controller, agent):
    done = join(agent, controller, controller.join_token())
    assert done.returncode == 0, done.stderr
    host = controller.ask('GET', '/hosts/kvm1')
    said = fields(agent('status'))
    assert said['host'] == host['id'] and host['uri'].startswith('godwit://')
    assert said['certificate'] == host['agent_certificate_serial']
    assert said['expires'][:16] == host['agent_certificate_expires_at'][:16]
    assert host['status'] in ('Connecting', 'Not responding')
    state = agent.folder / 'host.json'
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.folder.stat().st_mode) == 0o700
    assert controller.ask('GET', '/join-tokens') == {'items': []}


def test_the_certificate_is_what_openssl_expects(controller, agent, tmp_path):
    assert join(agent, controller, controller.join_token()).returncode == 0
    state = json.loads((agent.folder / 'host.json').read_text())
    for name in ('ca', 'certificate', 'key'):
        (tmp_path / name).write_text(state[name])
    done = subprocess.run(['openssl', 'verify', '-CAfile', tmp_path / 'ca',
                           tmp_path / 'certificate'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = subprocess.run(['openssl', 'x509', '-noout', '-text', '-in', tmp_path / 'certificate'],
                          capture_output=True, text=True, check=True).stdout
    assert f"urn:godwit:{state['fabric_id']}:host:{state['host_id']}" in text


def test_a_token_is_good_once(controller, agent):
    token = controller.join_token()
    assert join(agent, controller, token).returncode == 0
    done = join(agent, controller, token, state='another')
    assert done.returncode == 1 and 'unknown, used or expired' in done.stderr
    assert agent('status', state='another').returncode == 3


def test_another_key_gets_no_token(controller, agent):
    token = controller.join_token()
    done = agent('join', '--controller', controller.address, '--fingerprint',
                 'sha256:' + 64 * '0', '--token-file', '-', token=token)
    assert done.returncode == 1 and 'another key' in done.stderr and 'Nothing was sent' in done.stderr
    assert join(agent, controller, token).returncode == 0


def test_two_controllers_claim_one_host(make, agent):
    first, second = make('first'), make('second')
    assert join(agent, first, first.join_token()).returncode == 0
    before = (agent.folder / 'host.json').read_bytes()
    fabric = fields(agent('status'))['fabric']
    token = second.join_token()
    for more in [[], ['--replace', 'ANOTHER']]:
        done = join(agent, second, token, *more)
        assert done.returncode == 1
        assert fabric in done.stderr and 'godwit-agent leave' in done.stderr
    assert (agent.folder / 'host.json').read_bytes() == before
    (agent.folder / 'epochs').write_text('kept')
    left = agent('leave')
    assert left.returncode == 0 and fabric in left.stdout
    assert (agent.folder / 'epochs').read_text() == 'kept'
    assert agent('status').returncode == 3 and agent('leave').returncode == 1
    assert join(agent, second, token).returncode == 0  # it was not used up before
    assert fields(agent('status'))['fabric'] != fabric


def test_join_again(controller, agent):
    assert join(agent, controller, controller.join_token()).returncode == 0
    before = fields(agent('status'))
    token = controller.ask('POST', '/join-tokens', {'host': 'kvm1'})['token']
    assert join(agent, controller, token, '--replace', before['fabric']).returncode == 0
    after = fields(agent('status'))
    assert after['host'] == before['host'] and after['certificate'] != before['certificate']


def test_a_damaged_state_is_not_overwritten(controller, agent):
    assert join(agent, controller, controller.join_token()).returncode == 0
    (agent.folder / 'host.json').write_text('{')
    token = controller.ask('POST', '/join-tokens', {'host': 'kvm1'})['token']
    done = join(agent, controller, token)
    assert done.returncode == 1 and 'may be in a fabric already' in done.stderr
    assert agent('status').returncode == 1
    assert agent('leave').returncode == 0
    assert join(agent, controller, token).returncode == 0


def test_a_state_that_cannot_be_kept_costs_no_token(controller, agent, tmp_path):
    (tmp_path / 'file').write_text('')
    token = controller.join_token()
    done = join(agent, controller, token, state='file')
    assert done.returncode == 1
    assert join(agent, controller, token).returncode == 0


@pytest.mark.parametrize('args, part', [
    (['--controller', 'a'], '--fingerprint is missing'),
    (['--controller', 'a', '--fingerprint', 'sha256:' + 64 * '0'], '--token-file is missing'),
    (['--controller', 'a/b', '--fingerprint', 'sha256:' + 64 * '0', '--token-file', '-'],
     'no address'),
    (['--controller', 'u@a', '--fingerprint', 'sha256:' + 64 * '0', '--token-file', '-'],
     'no address'),
    (['--controller', 'a', '--fingerprint', 'sha256:' + 63 * '0', '--token-file', '-'],
     'no fingerprint'),
    (['--controller', 'a', '--fingerprint', 'md5:' + 64 * '0', '--token-file', '-'],
     'no fingerprint'),
    (['--controller', 'a', '--fingerprint', 'sha256:' + 64 * 'g', '--token-file', '-'],
     'no fingerprint'),
    (['--controller', 'a', '--fingerprint', 'sha256:' + 64 * '0', '--token-file', '/nowhere'],
     "'/nowhere'"),
    (['--controller', 'a', '--fingerprint', 'sha256:' + 64 * '0', '--token-file', '/dev/zero'],
     'does not hold a join token'),
    (['--port', '70000', '--controller', 'a', '--fingerprint', 'x', '--token-file', '-'],
     'port 70000'),
    (['surplus'], "unexpected 'surplus'"),
])
def test_bad_command_lines(agent, args, part):
    done = agent('join', *args)
    assert done.returncode == 2 and part in done.stderr
    assert agent('status').returncode == 3


@pytest.mark.parametrize('token', ['', 'x', 'godwit-join-', 'godwit-join-a b', 'y' * 100000])
def test_bad_tokens(controller, agent, token):
    done = join(agent, controller, token)
    assert done.returncode in (1, 2) and 'token' in done.stderr
    assert agent('status').returncode == 3


# A controller that answers nonsense ---------------------------------------------------------

class Liar(http.server.BaseHTTPRequestHandler):
    answer = (200, 'application/json', b'{}')

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        status, kind, body = self.answer
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Location', 'https://127.0.0.1:1/')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope='module')
def liar(tmp_path_factory):
    folder = tmp_path_factory.mktemp('liar')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj', '/CN=liar',
                    '-keyout', folder / 'key', '-out', folder / 'crt'], check=True,
                   capture_output=True)
    key = subprocess.run(['openssl', 'pkey', '-in', folder / 'key', '-pubout', '-outform', 'DER'],
                         check=True, capture_output=True).stdout
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Liar)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / 'crt', folder / 'key')
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    server.address = f'127.0.0.1:{server.server_address[1]}'
    server.fingerprint = 'sha256:' + hashlib.sha256(key).hexdigest()
    yield server
    server.shutdown()
    server.server_close()


GOOD = {'host_id': '01JD4ZQ6T5J8S0M3E9V7B2K101', 'fabric_id': '01JD4ZQ6T5J8S0M3E9V7B2K102',
        'certificate': 'x', 'authority': 'y', 'ticket_key': 'eA==', 'wall_us': 1}


@pytest.mark.parametrize('answer', [
    (200, 'application/json', b''),
    (200, 'application/json', b'{}'),
    (200, 'application/json', b'[1]'),
    (200, 'application/json', b'{"host_id": 1}'),
    (200, 'application/json', json.dumps(GOOD).encode()),
    (200, 'application/json', json.dumps({**GOOD, 'host_id': None}).encode()),
    (200, 'application/json', b'"' + b'x' * 1_000_000 + b'"'),
    (301, 'text/plain', b'elsewhere'),
    (500, 'text/html', b'\x1b[31m<html>'),
    (401, 'application/problem+json', json.dumps({'code': 'unauthorized', 'detail': 'n\x1bo',
                                                  'remedy': 'r\x07'}).encode()),
])
def test_a_controller_that_lies(liar, agent, answer):
    Liar.answer = answer
    done = join(agent, liar, 'godwit-join-' + 64 * '0')
    assert done.returncode in (1, 2) and done.stderr.startswith('godwit-agent: ')
    assert '\x1b' not in done.stderr and '\x07' not in done.stderr
    assert agent('status').returncode == 3


def test_identities_that_do_not_belong_together(liar, controller, agent, tmp_path):
    """A true certificate, but of another key: who took it over would be refused by every peer."""
    assert join(agent, controller, controller.join_token()).returncode == 0
    state = json.loads((agent.folder / 'host.json').read_text())
    true = {'host_id': state['host_id'], 'fabric_id': state['fabric_id'], 'wall_us': 1,
            'certificate': state['certificate'], 'authority': state['ca'],
            'ticket_key': state['ticket_key']}
    Liar.answer = (200, 'application/json', json.dumps(true).encode())
    done = join(agent, liar, 'godwit-join-' + 64 * '0', state='another')
    assert done.returncode == 1 and 'cannot be used' in done.stderr
    assert agent('status', state='another').returncode == 3
