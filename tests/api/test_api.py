# SPDX-License-Identifier: LGPL-2.1-or-later
"""The API as clients see it, over TLS, on a test double of the engine."""
import hashlib
import json
import os
import ssl
import stat
import subprocess
import threading
import time
import urllib.parse

import pytest

from server import Events, OTHER_TOKEN, Server, TOKEN, is_closed, wait_until

WEB1 = '00000000-0000-4000-8000-000000000001'


@pytest.fixture(scope='module')
def shared():
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope='module')
def impatient():
    server = Server('--request-timeout', 3)
    yield server
    server.stop()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def make():
    made = []

    def start(*options, **more):
        made.append(Server(*options, **more))
        return made[-1]
    yield start
    for server in made:
        server.stop()


def problem(reply, status, code):
    assert reply.status == status, reply.body
    assert reply.headers['Content-Type'] == 'application/problem+json'
    body = reply.json
    assert body['status'] == status
    assert body['code'] == code
    assert body['type'] == 'about:blank'
    assert body['title'] and body['detail']
    return body


def quote(name):
    return urllib.parse.quote(name, safe='')


# Every route's happy path -------------------------------------------------------------------

def test_health_needs_no_token(shared):
    reply = shared.get('/healthz', token=None)
    assert reply.status == 200 and reply.json == {'status': 'ok'}


def test_openapi_needs_no_token(shared):
    reply = shared.get('/api/v1/openapi.json', token=None)
    assert reply.status == 200
    assert reply.json['openapi'] == '3.1.0'
    assert '/api/v1/vms/{id}/migrate' in reply.json['paths']
    again = shared.get('/api/v1/openapi.json', token=None,
                       headers={'If-None-Match': reply.headers['ETag']})
    assert again.status == 304 and again.body == b''


def test_status_counts(shared):
    status = shared.get('/api/v1/status').json
    assert status['user'] == 'admin'
    assert status['hosts'] >= 4 and status['hosts_not_responding'] == 1
    assert status['vms'] == 4 and status['vms_running'] == 1
    assert status['jobs_held'] == 1 and status['jobs_active'] >= 2


def test_groups(server):
    names = [g['name'] for g in server.get('/api/v1/host-groups').json['items']]
    assert names == ['All Hosts', 'Rack 1']
    made = server.ask('POST', '/api/v1/host-groups', {'name': 'Rack 2'})
    assert made.status == 201
    where = made.headers['Location']
    assert where == '/api/v1/host-groups/' + made.json['id']
    assert server.get(where).json == made.json
    assert server.get('/api/v1/host-groups/Rack%202').json == made.json
    changed = server.ask('PATCH', where, {'name': 'Rack zwei'})
    assert changed.status == 200 and changed.json['name'] == 'Rack zwei'
    assert changed.json['parent_id'] == 'all-hosts'
    gone = server.ask('DELETE', where)
    assert gone.status == 204 and gone.body == b''
    problem(server.get(where), 404, 'not-found')
    problem(server.ask('DELETE', '/api/v1/host-groups/all-hosts'), 409, 'conflict')


def test_hosts(server):
    hosts = server.get('/api/v1/hosts').json['items']
    assert [h['name'] for h in hosts] == ['kvm1', 'kvm2', 'refuses', 'slow']
    assert 'cpu_xml' not in hosts[0]['facts']
    made = server.ask('POST', '/api/v1/hosts', {'uri': 'qemu+ssh://root@kvm9/system'})
    assert made.status == 201
    assert made.json['live_limit'] == 2 and made.json['live_migration_enabled'] is True
    assert made.json['completion_timeout_s_per_gib'] == 800 and made.json['name'] == 'kvm9'
    where = made.headers['Location']
    changed = server.ask('PATCH', where, {'live_limit': 5, 'method': 'multichannel'},
                         headers={'Content-Type': 'application/merge-patch+json'})
    assert changed.json['live_limit'] == 5 and changed.json['storage_limit'] == 2
    assert server.get('/api/v1/hosts/kvm9').json['method'] == 'multichannel'
    refreshed = server.ask('POST', where + '/refresh')
    assert refreshed.status == 200 and refreshed.json['last_seen'] == '2026-01-02T03:04:05Z'
    assert server.ask('DELETE', '/api/v1/hosts/kvm9').status == 204
    problem(server.get(where), 404, 'not-found')
    body = problem(server.ask('POST', '/api/v1/hosts', {'uri': 'qemu+ssh://unreachable/system'}),
                   502, 'unreachable')
    assert body['remedy'] == 'Check the network.'
    problem(server.ask('POST', '/api/v1/hosts', {'uri': 'xen:///'}), 400, 'invalid')
    problem(server.ask('POST', '/api/v1/hosts', {'uri': 'qemu+ssh://kvm1/system'}), 409,
            'conflict')


JOIN_TOKEN = 'godwit-join-fake'
PEM = '-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n'


def key_fingerprint(server):
    """What openssl says of the key that the server shows."""
    def run(*args, **more):
        return subprocess.run(['openssl', *args], check=True, capture_output=True, **more).stdout
    pem = ssl.get_server_certificate(('127.0.0.1', server.port)).encode()
    key = run('x509', '-pubkey', '-noout', input=pem)
    return 'sha256:' + hashlib.sha256(run('pkey', '-pubin', '-outform', 'DER', input=key)).hexdigest()


def test_join_tokens(server):
    made = server.ask('POST', '/api/v1/join-tokens', {'name': 'kvm9', 'lifetime_s': 600})
    assert made.status == 201 and made.json['token'] == JOIN_TOKEN
    assert made.json['created_by'] == 'admin' and made.json['host_id']
    assert made.json['fingerprint'] == key_fingerprint(server)
    assert server.get('/api/v1/status').json['fingerprint'] == made.json['fingerprint']
    where = made.headers['Location']
    read = server.get(where)
    assert read.status == 200 and read.json['name'] == 'kvm9' and 'token' not in read.json
    items = server.get('/api/v1/join-tokens').json['items']
    assert [t['id'] for t in items] == [made.json['id']] and 'token' not in items[0]
    assert server.ask('DELETE', where).status == 204
    problem(server.get(where), 404, 'not-found')
    problem(server.ask('DELETE', where), 404, 'not-found')
    for wrong in [{'lifetime_s': 299}, {'lifetime_s': 86401}, {'token': 'mine'}, {'host_id': 'x'},
                  {'address': 'a b'}, {'surprise': 1}]:
        problem(server.ask('POST', '/api/v1/join-tokens', wrong), 400, 'invalid')
    assert server.ask('POST', '/api/v1/join-tokens', {}, token=None).status == 401


def test_a_token_is_not_kept_for_a_retry(server):
    headers = {'Idempotency-Key': 'the same'}
    first = server.ask('POST', '/api/v1/join-tokens', {'name': 'a'}, headers=headers)
    second = server.ask('POST', '/api/v1/join-tokens', {'name': 'a'}, headers=headers)
    assert first.status == second.status == 201
    assert first.json['id'] != second.json['id']
    assert 'Idempotency-Replayed' not in second.headers


def test_an_agent_joins(server):
    host_id = server.ask('POST', '/api/v1/join-tokens', {}).json['host_id']
    body = {'token': JOIN_TOKEN, 'request': PEM, 'port': 8447, 'hostname': 'kvm9',
            'addresses': ['10.0.0.9']}
    problem(server.ask('POST', '/api/v1/agents/join', {**body, 'request': 'garbage'}, token=None),
            400, 'invalid')
    problem(server.ask('POST', '/api/v1/agents/join', {**body, 'token': 'guess'}, token=None),
            401, 'unauthorized')
    reply = server.ask('POST', '/api/v1/agents/join', body, token=None,
                       headers={'Idempotency-Key': 'kept by nobody'})
    assert reply.status == 200 and reply.json['host_id'] == host_id
    assert reply.json['certificate'] == PEM
    assert reply.json['fabric_id'] == '127.0.0.1'  # the test double tells where it came from
    again = server.ask('POST', '/api/v1/agents/join', body, token=None,
                       headers={'Idempotency-Key': 'kept by nobody'})
    problem(again, 401, 'unauthorized')
    assert JOIN_TOKEN.encode() not in again.body


def test_bad_joins(server):
    path = '/api/v1/agents/join'
    body = {'token': JOIN_TOKEN, 'request': PEM}
    for wrong in [{}, {'token': JOIN_TOKEN}, {'request': PEM}, {**body, 'port': 0},
                  {**body, 'port': 65536}, {**body, 'port': '1'}, {**body, 'host_id': 'x'},
                  {**body, 'hostname': 'a\u0007b'}, {**body, 'addresses': 'one'}, []]:
        problem(server.ask('POST', path, wrong, token=None), 400, 'invalid')
    huge = {**body, 'request': 'A' * 70000}
    problem(server.ask('POST', path, huge, token=None), 413, 'too-large')
    assert server.get(path, token=None).status == 405


def test_guessing_is_slowed_down(server):
    path = '/api/v1/agents/join'
    body = {'token': 'guess', 'request': PEM}
    for _ in range(20):
        problem(server.ask('POST', path, body, token=None), 401, 'unauthorized')
    reply = server.ask('POST', path, body, token=None)
    problem(reply, 429, 'conflict')
    assert reply.headers['Retry-After'] == '60'
    assert server.get('/api/v1/hosts').status == 200


def test_check(shared):
    alone = shared.ask('POST', '/api/v1/hosts/kvm1/check', {})
    assert alone.status == 200
    assert alone.json['items'] == [{'name': 'reachable', 'host_id': 'h1', 'outcome': 'ok'}]
    pair = shared.ask('POST', '/api/v1/hosts/h1/check', {'peer': 'kvm2'}).json['items']
    assert pair[0]['outcome'] == 'failed' and pair[0]['observed'] == 'kvm2'
    problem(shared.ask('POST', '/api/v1/hosts/kvm1/check', {'peer': 'nobody'}), 404, 'not-found')
    problem(shared.ask('POST', '/api/v1/hosts/nobody/check', {}), 404, 'not-found')
    problem(shared.ask('POST', '/api/v1/hosts/kvm1/check', {'peer': 1}), 400, 'invalid')


def test_vms(shared):
    vms = shared.get('/api/v1/vms').json
    assert len(vms['items']) == 4 and 'next' not in vms
    assert 'cpu_xml' not in json.dumps(vms)
    assert [v['name'] for v in shared.get('/api/v1/vms?host=kvm2').json['items']] == ['twin']
    assert [v['name'] for v in shared.get('/api/v1/vms?state=running').json['items']] == ['web1']
    assert [v['name'] for v in shared.get('/api/v1/vms?name=w%2A').json['items']] == ['web1']
    assert shared.get('/api/v1/vms?name=none').json == {'items': []}
    problem(shared.get('/api/v1/vms?host=nobody'), 404, 'not-found')
    problem(shared.get('/api/v1/vms?state=flying'), 400, 'invalid')


def test_a_vm_by_uuid_name_and_host(shared):
    assert shared.get('/api/v1/vms/' + WEB1).json['name'] == 'web1'
    assert shared.get('/api/v1/vms/web1').json['uuid'] == WEB1
    odd = 'db & <b>"x"</b> 100% ü/1'
    assert shared.get('/api/v1/vms/' + quote(odd)).json['name'] == odd
    problem(shared.get('/api/v1/vms/twin'), 409, 'conflict')
    assert shared.get('/api/v1/vms/kvm2%2Ftwin').json['host_id'] == 'h2'
    problem(shared.get('/api/v1/vms/absent'), 404, 'not-found')


def test_start(server):
    reply = server.ask('POST', '/api/v1/vms/kvm2%2Ftwin/start')
    assert reply.status == 200 and reply.json['state'] == 'running'
    problem(server.ask('POST', '/api/v1/vms/absent/start'), 404, 'not-found')


def test_candidates(shared):
    items = shared.get('/api/v1/vms/web1/candidates').json['items']
    by_name = {c['host_name']: c for c in items}
    assert by_name['kvm2']['suitable'] and by_name['kvm2']['transfer'] == 'Live'
    assert by_name['refuses']['findings'][0]['requirement'] == 'R55'


def test_migrate(server):
    reply = server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'kvm2'})
    assert reply.status == 202
    job = server.get(reply.headers['Location'])
    assert job.json['id'] == reply.json['id'] and job.json['user'] == 'admin'
    assert job.json['steps'] and 'saved_xml' not in job.json
    assert server.tick() == 1


def test_migrate_dry_run_does_nothing(server):
    reply = server.ask('POST', '/api/v1/vms/web1/migrate?dry_run=true', {'destination': 'refuses'})
    assert reply.status == 200 and reply.json['candidate']['suitable'] is False
    problem(server.ask('POST', '/api/v1/vms/web1/migrate?dry_run=yes', {'destination': 'kvm2'}),
            400, 'invalid')
    assert server.tick() == 0


def test_a_refusal_lists_its_findings(server):
    body = problem(server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'refuses'}),
                   422, 'refused')
    assert body['errors'] == [{'rule': 'pci-passthrough', 'requirement': 'R55',
                               'severity': 'error', 'observed': 'PCI device 0000:03:00.0',
                               'required': 'no passed-through device', 'remedy': 'Detach it.'}]
    assert server.tick() == 0


VSM = {'destination': 'kvm2', 'options': {
    'storage': 'fast', 'disks': [{'target': 'vda', 'storage': '/dev/vg/web1'},
                                 {'target': 'vdb', 'name': 'data.raw', 'format': 'raw'}],
    'transfer': 'Live (VSM)', 'copy_all': True, 'network': True, 'flatten': True, 'start': True,
    'wait_for_merge': True, 'add_default_storage': True, 'keep_source_s': -1}}


def test_a_move_with_its_disks(server):
    plan = server.ask('POST', '/api/v1/vms/web1/migrate?dry_run=true', VSM).json['candidate']
    assert plan['transfer'] == 'Live (VSM)'
    assert plan['disks'][0]['images'][0]['to']['pool'] == 'fast'
    assert [(t['transfer'], t['available']) for t in plan['transfers']] == [
        ('Live', False), ('Live (VSM)', True), ('SAN', False)]
    assert plan['transfers'][2]['explanation'] == 'No disk is a LUN.'
    job = server.ask('POST', '/api/v1/vms/web1/migrate', VSM)
    assert job.status == 202
    chosen = server.get(job.headers['Location']).json['options']
    assert {k: chosen[k] for k in VSM['options']} == VSM['options']


@pytest.mark.parametrize('change', [
    {'disks': [{'storage': 'fast'}]}, {'disks': {'target': 'vda'}}, {'transfer': 'Fast'},
    {'keep_source_s': -2}, {'keep_source_s': 10 ** 9}, {'disks': [{'target': 'vda', 'x': 1}]},
    {'storage': 'a\x1bb'}, {'storage': 7}])
def test_wrong_options_of_a_move(shared, change):
    body = {'destination': 'kvm2', 'options': change}
    problem(shared.ask('POST', '/api/v1/vms/web1/migrate', body), 400, 'invalid')


def test_more_disks_than_a_vm_can_have(server):
    def disks(count):
        return [{'target': f'vd{n}', 'storage': 'fast'} for n in range(count)]

    def ask(where, body):
        return server.ask('POST', '/api/v1/vms/web1/' + where, body)

    for body, where in (({'destination': 'kvm2', 'options': {'disks': disks(257)}}, 'migrate'),
                        ({'disks': disks(257)}, 'migrate-storage')):
        refused = problem(ask(where, body), 400, 'invalid')
        assert "'disks' has 257 elements, must have at most 256" in refused['detail']
        assert refused['remedy']
        assert ask(where + '?dry_run=true', body).status == 400
    assert server.tick() == 0
    assert ask('migrate-storage?dry_run=true', {'disks': disks(256)}).status == 200


def test_candidates_with_storage(shared):
    rows = shared.get('/api/v1/vms/web1/candidates?storage=fast').json['items']
    assert {r['transfer'] for r in rows} == {'Live (VSM)'}
    rows = shared.get('/api/v1/vms/web1/candidates?copy_all=true').json['items']
    assert {r['transfer'] for r in rows} == {'Live (VSM)'}
    problem(shared.get('/api/v1/vms/web1/candidates?copy_all=x'), 400, 'invalid')
    assert shared.get('/api/v1/vms/web1/candidates?brief=true').status == 200
    problem(shared.get('/api/v1/vms/web1/candidates?brief=x'), 400, 'invalid')


def test_placements(shared):
    """What `godwit explain VM` shows: candidates, never brief."""
    where = '/api/v1/vms/web1/placements'
    rows = shared.get(where).json['items']
    assert rows == shared.get('/api/v1/vms/web1/candidates').json['items']
    assert all(row['rating']['factors'] and row['transfers'] for row in rows)
    brief = shared.get('/api/v1/vms/web1/candidates?brief=true').json['items']
    assert [row['host_id'] for row in brief] == [row['host_id'] for row in rows]
    assert not any(row.get('transfers') for row in brief)
    refused = next(row for row in rows if not row['suitable'])
    assert refused['rating']['stars'] == 0 and refused['findings'][0]['rule'] == 'pci-passthrough'
    assert all(f['observed'] and f['required'] and f['remedy'] for f in refused['findings'])
    assert {r['transfer'] for r in shared.get(where + '?storage=fast').json['items']} == {
        'Live (VSM)'}
    problem(shared.get(where + '?copy_all=x'), 400, 'invalid')
    problem(shared.get(where + '?brief=true'), 400, 'invalid')
    problem(shared.get('/api/v1/vms/absent/placements'), 404, 'not-found')
    paths = shared.get('/api/v1/openapi.json', token=None).json['paths']
    assert paths['/api/v1/vms/{id}/placements']['get']['operationId'] == 'listPlacements'


def test_rules(server):
    shown = server.get('/api/v1/rules').json['items']
    assert [(r['name'], r['kind'], r['required'], len(r['vms'])) for r in shown] == [
        ('webs', 'apart', True, 2)]
    conflicts = server.get('/api/v1/rule-conflicts').json['items']
    assert [(c['rule_id'], c['rule_name'], len(c['vms'])) for c in conflicts] == [
        (shown[0]['id'], 'webs', 2)]
    wanted = {'name': 'on ssd', 'kind': 'run-on', 'vms': [WEB1], 'host_tags': ['ssd', 'rack=3']}
    made = server.ask('POST', '/api/v1/rules', wanted)
    assert made.status == 201 and made.json['required'] is False
    where = made.headers['Location']
    assert where == '/api/v1/rules/' + made.json['id']
    assert server.get('/api/v1/rules/on%20ssd').json == made.json
    tag = server.get(where).headers['ETag']
    changed = server.ask('PATCH', where, {'host_tags': ['nvme'], 'disabled': True},
                         headers={'If-Match': tag})
    assert changed.json['host_tags'] == ['nvme'] and changed.json['disabled'] is True
    assert changed.json['vms'] == [WEB1]
    problem(server.ask('PATCH', where, {'disabled': False}, headers={'If-Match': tag}), 412,
            'conflict')
    assert server.ask('DELETE', where).status == 204
    problem(server.get(where), 404, 'not-found')


@pytest.mark.parametrize('wrong', [
    {'name': 'x', 'kind': 'apart', 'vms': [WEB1]}, {'name': 'x', 'kind': 'near', 'vms': [WEB1]},
    {'kind': 'apart', 'vms': [WEB1, WEB1]}, {'name': 'x', 'kind': 'run-on', 'vms': [WEB1]},
    {'name': 'x', 'kind': 'run-on', 'vms': [WEB1], 'host_tags': ['a b']},
    {'id': 'mine', 'name': 'x', 'kind': 'apart', 'vms': [WEB1, WEB1]},
    {'name': 'x', 'kind': 'apart', 'vms': {'a': 1}}, {'name': 'x', 'kind': 'apart', 'vms': [7, 8]}])
def test_wrong_rules(shared, wrong):
    problem(shared.ask('POST', '/api/v1/rules', wrong), 400, 'invalid')
    assert len(shared.get('/api/v1/rules').json['items']) == 1


def test_a_group_s_policy_is_merged(server):
    where = '/api/v1/host-groups/g1'
    assert 'placement' not in server.get(where).json
    changed = server.ask('PATCH', where, {'placement': {'goal': 'fill', 'cpu_weight': 80}}).json
    assert changed['placement']['goal'] == 'fill' and changed['placement']['cpu_weight'] == 80
    assert changed['placement']['memory_weight'] == 50
    changed = server.ask('PATCH', where, {'placement': {'cpu_reserve_percent': 10}}).json
    assert changed['placement']['goal'] == 'fill' and changed['placement']['cpu_weight'] == 80
    for wrong in {'cpu_weight': 101}, {'cpu_weight': -1}, {'cpu_weight': 1.5}, {'goal': 'spread'}:
        problem(server.ask('PATCH', where, {'placement': wrong}), 400, 'invalid')
    assert 'placement' not in server.ask('PATCH', where, {'placement': None}).json
    made = server.ask('POST', '/api/v1/host-groups', {'name': 'Rack 9',
                                                      'placement': {'disk_weight': 0}}).json
    assert made['placement']['disk_weight'] == 0 and made['placement']['network_weight'] == 50


def test_tags_and_reserves_of_a_host(server):
    changed = server.ask('PATCH', '/api/v1/hosts/kvm1', {
        'tags': ['ssd', 'rack=3'], 'cpu_reserve_percent': 10, 'memory_reserve_kib': 4194304,
        'disk_reserve_bytes': 1 << 30})
    assert changed.status == 200
    host = server.get('/api/v1/hosts/kvm1').json
    assert host['tags'] == ['ssd', 'rack=3'] and host['memory_reserve_kib'] == 4194304
    for wrong in {'cpu_reserve_percent': 101}, {'tags': 'ssd'}, {'maintenance': 'none'}:
        problem(server.ask('PATCH', '/api/v1/hosts/kvm1', wrong), 400, 'invalid')


def test_maintenance(server):
    where = '/api/v1/hosts/kvm1/maintenance'
    assert server.ask('POST', where, {'on': True}).json['maintenance'] == 'entering'
    assert server.get('/api/v1/hosts/kvm1').json['maintenance'] == 'entering'
    assert server.ask('POST', where, {'on': False}).json['maintenance'] == 'none'
    for wrong in {}, {'on': 'yes'}, {'on': True, 'off': False}:
        problem(server.ask('POST', where, wrong), 400, 'invalid')
    problem(server.ask('POST', '/api/v1/hosts/none/maintenance', {'on': True}), 404, 'not-found')


def test_what_could_not_leave(shared):
    rows = {r['vm_name']: r for r in shared.get('/api/v1/hosts/kvm1/leaving').json['items']}
    assert rows['web1']['leaves'] and rows['web1']['nearest']['host_name'] == 'kvm2'
    stuck = rows['db & <b>"x"</b> 100% ü/1']
    assert not stuck['leaves'] and stuck['why'] and stuck['nearest']['findings']
    problem(shared.get('/api/v1/hosts/none/leaving'), 404, 'not-found')


def test_a_group_s_balance_is_merged(server):
    where = '/api/v1/host-groups/g1'
    assert 'balance' not in server.get(where).json
    assert server.get(where + '/balance').json['mode'] == 'off'
    changed = server.ask('PATCH', where, {'balance': {'mode': 'recommend', 'threshold': 30}}).json
    assert changed['balance']['mode'] == 'recommend' and changed['balance']['threshold'] == 30
    assert changed['balance']['moves_at_most'] == 10
    changed = server.ask('PATCH', where, {'balance': {'schedule': 'sat 01:00-02:00'}}).json
    assert changed['balance']['threshold'] == 30
    assert changed['balance']['schedule'] == 'sat 01:00-02:00'
    changed = server.ask('PATCH', where, {'balance': {'schedule': 'always'}}).json
    assert changed['balance']['schedule'] == 'always'
    assert server.get(where + '/balance').json['mode'] == 'recommend'
    for wrong in ({'threshold': 101}, {'threshold': -1}, {'minimum_gain': 0.5}, {'mode': 'often'},
                  {'moves_at_most': 0}, {'vm_cool_down_s': 1e99}, {'zone': 'UTC'}):
        problem(server.ask('PATCH', where, {'balance': wrong}), 400, 'invalid')
    both = {'balance': {'threshold': 101}, 'placement': {'goal': 'fill'}}
    problem(server.ask('PATCH', where, both), 400, 'invalid')
    assert 'placement' not in server.get(where).json
    assert 'balance' not in server.ask('PATCH', where, {'balance': None}).json
    problem(server.get('/api/v1/host-groups/nowhere/balance'), 404, 'not-found')


def test_ratings_and_automatic_placement(server):
    rated = {c['host_name']: c['rating'] for c in
             server.get('/api/v1/vms/web1/candidates').json['items']}
    assert rated['kvm2']['stars'] == 4.0 and rated['kvm1']['stars'] == 2.5
    assert rated['refuses']['stars'] == 0 and rated['kvm2']['factors'][0]['name'] == 'memory'
    plan = server.ask('POST', '/api/v1/vms/web1/migrate?dry_run=true',
                      {'destination': 'Rack 1'}).json
    assert plan['candidate']['host_name'] == 'kvm2' and plan['candidate']['rating']['stars'] == 4.0
    job = server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'Rack 1'})
    assert job.status == 202 and job.json['destination_host_id'] == 'h2'
    server.ask('POST', '/api/v1/host-groups', {'name': 'Empty'})
    problem(server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'Empty'}), 422,
            'refused')
    problem(server.ask('POST', '/api/v1/vms/web1/migrate', {}), 400, 'invalid')


def test_migrate_storage(server):
    where = '/api/v1/vms/web1/migrate-storage'
    wanted = {'storage': 'fast', 'format': 'qcow2', 'disks': [{'target': 'vdb', 'storage': '/x'}],
              'flatten': True, 'bandwidth_mibps': 100, 'keep_source_s': 60,
              'add_default_storage': True, 'wait_for_merge': True}
    plan = server.ask('POST', where + '?dry_run=true', wanted)
    assert plan.status == 200 and plan.json['candidate']['transfer'] == 'Storage'
    assert plan.json['candidate']['disks'][0]['how'] == 'block copy'
    assert server.tick() == 0
    key = {'Idempotency-Key': 'one'}
    job = server.ask('POST', where, wanted, headers=key)
    assert job.status == 202 and job.json['kind'] == 'vm-migrate-storage'
    assert job.headers['Location'] == '/api/v1/jobs/' + job.json['id']
    assert server.ask('POST', where, wanted, headers=key).json == job.json and server.tick() == 1
    refused = problem(server.ask('POST', where, {'storage': 'full'}), 422, 'refused')
    assert [f['rule'] for f in refused['errors']] == ['storage-space']
    problem(server.ask('POST', where, {'storage': 'fast', 'bandwidth_mibps': -1}), 400, 'invalid')
    problem(server.ask('POST', where + '?dry_run=maybe', wanted), 400, 'invalid')
    problem(server.ask('POST', '/api/v1/vms/none/migrate-storage', wanted), 404, 'not-found')
    listed = next(j for j in server.get('/api/v1/jobs').json['items'] if j['id'] == job.json['id'])
    assert listed['tasks'] == [] and len(listed['disks']) == 1
    assert len(server.get(job.headers['Location']).json['tasks']) == 1


def test_storage_locations(shared):
    rows = shared.get('/api/v1/hosts/kvm1/storage-locations').json['items']
    assert [(r['pool'], r['is_default'], r['available_bytes'], r['promised_bytes'])
            for r in rows] == [('pool of h1', True, 1000, 400)]
    problem(shared.get('/api/v1/hosts/none/storage-locations'), 404, 'not-found')


def test_default_storage_of_a_host(server):
    changed = server.ask('PATCH', '/api/v1/hosts/kvm1',
                         {'default_storage': ['fast', '/srv/images'], 'keep_source_s': 0})
    assert changed.status == 200
    host = server.get('/api/v1/hosts/kvm1').json
    assert host['default_storage'] == ['fast', '/srv/images'] and host['keep_source_s'] == 0
    server.ask('PATCH', '/api/v1/hosts/kvm1', {'live_limit': 3})
    assert server.get('/api/v1/hosts/kvm1').json['default_storage'] == ['fast', '/srv/images']
    for wrong in {'default_storage': 'fast'}, {'keep_source_s': -1}, {'default_storage': [1]}:
        problem(server.ask('PATCH', '/api/v1/hosts/kvm1', wrong), 400, 'invalid')
    made = server.ask('POST', '/api/v1/hosts', {'uri': 'qemu+ssh://root@kvm9/system'})
    assert made.json['keep_source_s'] == 86400


def test_undo(server):
    plan = server.ask('POST', '/api/v1/jobs/AAAA02/undo?dry_run=true').json
    assert plan['possible'] and plan['steps'] == ['copy back what changed', 'start it there']
    plan = server.ask('POST', '/api/v1/jobs/AAAA03/undo?dry_run=true').json
    assert not plan['possible'] and plan['why_not'] == 'the job has not ended'
    key = {'Idempotency-Key': 'undo'}
    job = server.ask('POST', '/api/v1/jobs/AAAA02/undo', headers=key)
    assert job.status == 202 and job.json['undoes'] == '01AAAAAAAAAAAAAAAAAAAAAA02'
    assert server.get(job.headers['Location']).json['undoes'] == job.json['undoes']
    assert server.ask('POST', '/api/v1/jobs/AAAA02/undo', headers=key).json == job.json
    problem(server.ask('POST', '/api/v1/jobs/AAAA03/undo'), 409, 'conflict')
    problem(server.ask('POST', '/api/v1/jobs/nonsense/undo'), 404, 'not-found')
    problem(server.ask('POST', '/api/v1/jobs/AAAA02/undo', {'force': True}), 400, 'invalid')


def test_an_undo_that_preflight_refuses_lists_its_findings(server):
    body = problem(server.ask('POST', '/api/v1/jobs/AAAA04/undo'), 422, 'refused')
    assert [e['requirement'] for e in body['errors']] == ['R55']
    assert body['errors'][0]['observed'] == 'PCI device 0000:03:00.0'


def test_kept_volumes(server):
    listed = server.get('/api/v1/kept-volumes?limit=2').json
    assert [k['id'][-2:] for k in listed['items']] == ['03', '02']
    rest = server.get('/api/v1/kept-volumes?limit=2&cursor=' + quote(listed['next'])).json
    assert [k['id'][-2:] for k in rest['items']] == ['01'] and 'next' not in rest
    assert 'expires_s' not in rest['items'][0]
    assert len(server.get('/api/v1/kept-volumes?vm=web1').json['items']) == 2
    assert len(server.get('/api/v1/kept-volumes?host=kvm1').json['items']) == 1
    problem(server.get('/api/v1/kept-volumes?host=none'), 404, 'not-found')
    where = '/api/v1/kept-volumes/01KEPTAAAAAAAAAAAAAAAAAA01'
    assert server.get(where).json['volume']['name'] == 'old.qcow2'
    problem(server.ask('DELETE', where, headers={'If-Match': '"x"'}), 412, 'conflict')
    events = Events(server)
    assert events.event()['event'] == 'ready'
    job = server.ask('DELETE', where)
    assert job.status == 202 and job.json['kind'] == 'volume-remove'
    assert job.headers['Location'] == '/api/v1/jobs/' + job.json['id']
    told = events.event()
    events.close()
    assert told['event'] == 'kept'
    assert json.loads(told['data']) == {'id': '01KEPTAAAAAAAAAAAAAAAAAA01', 'removed': True}
    problem(server.get(where), 404, 'not-found')
    problem(server.ask('DELETE', where), 404, 'not-found')


def test_jobs(server):
    jobs = server.get('/api/v1/jobs').json['items']
    assert [j['id'][-2:] for j in jobs] == ['04', '03', '02', '01']
    assert all(j['steps'] == [] for j in jobs) and 'hidden' not in json.dumps(jobs)
    held = server.get('/api/v1/jobs?state=held').json['items']
    assert [j['vm_name'] for j in held] == ['web1']
    active = server.get('/api/v1/jobs?active=true').json['items']
    assert [j['state'] for j in active] == ['copying', 'held']
    assert len(server.get('/api/v1/jobs?vm=old').json['items']) == 1
    assert server.get('/api/v1/jobs/AAAA01').json['steps'][0]['why'] == 'both run'
    problem(server.get('/api/v1/jobs/ZZZZ'), 404, 'not-found')
    problem(server.get('/api/v1/jobs/AAAAAAAA'), 404, 'not-found')
    problem(server.get('/api/v1/jobs?active=1'), 400, 'invalid')


def test_job_actions(server):
    changed = server.ask('PATCH', '/api/v1/jobs/AAAA03', {'bandwidth_mibps': 0})
    assert changed.status == 200 and changed.json['options']['bandwidth_mibps'] == 0
    changed = server.ask('PATCH', '/api/v1/jobs/AAAA03', {'max_downtime_ms': 500})
    assert changed.json['options'] == {**changed.json['options'], 'max_downtime_ms': 500}
    assert server.ask('POST', '/api/v1/jobs/AAAA03/post-copy').status == 202
    settled = server.ask('POST', '/api/v1/jobs/AAAA01/settle', {'keep': 'destination'})
    assert settled.status == 202 and settled.json['state'] == 'done'
    problem(server.ask('POST', '/api/v1/jobs/AAAA01/settle', {'keep': 'source'}), 409, 'conflict')
    problem(server.ask('POST', '/api/v1/jobs/AAAA03/settle', {'keep': 'both'}), 400, 'invalid')
    cancelled = server.ask('POST', '/api/v1/jobs/AAAA03/cancel')
    assert cancelled.status == 202 and cancelled.json['cancel_requested'] is True
    assert cancelled.headers['Location'].endswith('AAAA03')
    problem(server.ask('POST', '/api/v1/jobs/AAAA03/cancel'), 409, 'conflict')


def test_shares(server):
    assert [s['name'] for s in server.get('/api/v1/shares').json['items']] == ['images']
    assert server.get('/api/v1/shares/images').json['proved'] is True
    made = server.ask('POST', '/api/v1/shares', {
        'name': 'iso', 'members': [{'host_id': 'h1', 'pool': 'iso'}]})
    assert made.status == 202 and made.json['kind'] == 'share-prove'
    assert made.headers['Location'] == '/api/v1/jobs/' + made.json['id']
    assert server.ask('POST', '/api/v1/shares/iso/prove').status == 202
    assert server.ask('DELETE', '/api/v1/shares/iso').status == 204
    problem(server.get('/api/v1/shares/iso'), 404, 'not-found')


# Lists --------------------------------------------------------------------------------------

def test_pages_join_to_the_whole(make):
    server = make('--vms', 250)
    whole = server.get('/api/v1/vms?limit=10000').json
    assert len(whole['items']) == 254 and 'next' not in whole
    seen, cursor, pages = [], '', 0
    while True:
        page = server.get('/api/v1/vms?limit=60' + cursor).json
        seen += page['items']
        pages += 1
        if 'next' not in page:
            break
        assert len(page['items']) == 60
        cursor = '&cursor=' + quote(page['next'])
    assert pages == 5 and seen == whole['items']
    assert len(server.get('/api/v1/vms').json['items']) == 100


def test_pages_survive_the_loss_of_their_last_item(server):
    first = server.get('/api/v1/hosts?limit=2').json
    assert [h['name'] for h in first['items']] == ['kvm1', 'kvm2']
    assert server.ask('DELETE', '/api/v1/hosts/kvm2').status == 204
    rest = server.get('/api/v1/hosts?cursor=' + quote(first['next'])).json
    assert [h['name'] for h in rest['items']] == ['refuses', 'slow']
    jobs = server.get('/api/v1/jobs?limit=1').json
    older = server.get('/api/v1/jobs?cursor=' + quote(jobs['next'])).json['items']
    assert [j['id'][-2:] for j in older] == ['03', '02', '01']


@pytest.mark.parametrize('query', ['limit=0', 'limit=10001', 'limit=-1', 'limit=x', 'limit=',
                                   'cursor=x', 'cursor=%5B%5D', 'cursor=bnVsbA..', 'what=1',
                                   'limit=1&limit=2', 'cursor=' + 'A' * 4000])
def test_bad_queries_are_refused(shared, query):
    problem(shared.get('/api/v1/vms?' + query), 400, 'invalid')


def test_a_list_that_did_not_change_is_not_sent_again(server):
    first = server.get('/api/v1/vms')
    tag = first.headers['ETag']
    again = server.get('/api/v1/vms', headers={'If-None-Match': tag})
    assert again.status == 304 and again.body == b''
    server.tick()
    assert server.get('/api/v1/vms', headers={'If-None-Match': tag}).status == 200


# Changing safely ----------------------------------------------------------------------------

def test_if_match(server):
    tag = server.get('/api/v1/hosts/kvm1').headers['ETag']
    assert server.get('/api/v1/hosts/kvm1', headers={'If-None-Match': tag}).status == 304
    # What a host reports changes all the time, and is no reason to refuse.
    assert server.ask('POST', '/api/v1/hosts/kvm1/refresh').status == 200
    assert server.get('/api/v1/hosts/kvm1', headers={'If-None-Match': tag}).status == 200
    first = server.ask('PATCH', '/api/v1/hosts/kvm1', {'live_limit': 3}, headers={'If-Match': tag})
    assert first.status == 200 and first.headers['ETag'] != tag
    problem(server.ask('PATCH', '/api/v1/hosts/kvm1', {'live_limit': 4},
                       headers={'If-Match': tag}), 412, 'conflict')
    problem(server.ask('DELETE', '/api/v1/hosts/kvm1', headers={'If-Match': tag}), 412, 'conflict')
    assert server.get('/api/v1/hosts/kvm1').json['live_limit'] == 3
    second = server.ask('PATCH', '/api/v1/hosts/kvm1', {'live_limit': 4},
                        headers={'If-Match': '"x", ' + first.headers['ETag']})
    assert second.status == 200
    assert server.ask('DELETE', '/api/v1/hosts/kvm1', headers={'If-Match': '*'}).status == 204


def test_changes_at_once_lose_nothing(server):
    fields = ['live_limit', 'storage_limit', 'progress_timeout_s', 'bandwidth_mibps'] * 4
    errors = []

    def change(field, value):
        reply = server.ask('PATCH', '/api/v1/hosts/kvm1', {field: value})
        if reply.status != 200 or reply.json[field] != value:
            errors.append(reply.body)

    threads = [threading.Thread(target=change, args=(f, 7)) for f in fields]
    [t.start() for t in threads]
    [t.join() for t in threads]
    host = server.get('/api/v1/hosts/kvm1').json
    assert not errors and [host[f] for f in fields] == [7] * len(fields)


def test_idempotency_key(server):
    def move(key, destination='kvm2', token=TOKEN):
        return server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': destination},
                          headers={'Idempotency-Key': key}, token=token)
    first, again = move('k1'), move('k1')
    assert first.status == again.status == 202
    assert again.json == first.json and again.headers['Location'] == first.headers['Location']
    assert again.headers['Idempotency-Replayed'] == 'true'
    assert first.headers['Idempotency-Replayed'] is None
    assert server.tick() == 1
    body = problem(move('k1', 'slow'), 422, 'conflict')
    assert 'new key' in body['remedy']
    assert move('k1', token=OTHER_TOKEN).json['user'] == 'other'
    assert move('k2').json['id'] != first.json['id']
    assert server.tick() == 3
    # What was refused may be asked again.
    problem(move('k3', 'refuses'), 422, 'refused')
    assert move('k3').status == 202
    problem(move('x' * 256), 400, 'invalid')
    problem(server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'kvm2'},
                       headers={'Idempotency-Key': ''}), 400, 'invalid')


def test_the_same_key_at_once_begins_one_move(server):
    replies = []

    def move():
        replies.append(server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'slow'},
                                  headers={'Idempotency-Key': 'at once'}))
    threads = [threading.Thread(target=move) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert {r.status for r in replies} == {202}
    assert len({r.json['id'] for r in replies}) == 1
    assert server.tick() == 1


# Who may ask ---------------------------------------------------------------------------------

@pytest.mark.parametrize('value', [
    None, 'Bearer', 'Bearer ', 'Bearer wrong', 'Basic Zm9vOmJhcg==', TOKEN, 'Bearer ' + TOKEN[:-1],
    'Bearer ' + TOKEN + ' x', 'Bearer ' + 'a' * 5000], ids=range(9))
def test_tokens_are_needed(shared, value):
    reply = shared.get('/api/v1/status', headers={'Authorization': value}, token=None)
    body = problem(reply, 401, 'unauthorized')
    assert reply.headers['WWW-Authenticate'].startswith('Bearer')
    assert 'og in again' in body['remedy']
    assert TOKEN not in reply.body.decode()


def test_every_route_but_three_needs_a_token(shared):
    paths = shared.get('/api/v1/openapi.json', token=None).json['paths']
    open_ones = []
    for path, methods in paths.items():
        for method in methods:
            reply = shared.ask(method.upper(), path.replace('{id}', 'kvm1'), token=None)
            if reply.status != 401:
                open_ones.append(path)
    assert sorted(open_ones) == ['/api/v1/agents/join', '/api/v1/openapi.json', '/healthz']


def test_a_token_in_the_url_is_not_taken(shared):
    problem(shared.get('/api/v1/status?token=' + TOKEN, token=None), 401, 'unauthorized')


@pytest.mark.parametrize('origin', ['https://evil.example', 'null', 'https://localhost:1',
                                    'https://localhost'])
def test_other_sites_are_refused(shared, origin):
    problem(shared.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'kvm2'},
                       headers={'Origin': origin}), 403, 'forbidden')


def test_a_rebound_name_is_refused(shared):
    name = f'evil.example:{shared.port}'
    problem(shared.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'kvm2'},
                       headers={'Origin': 'https://' + name, 'Host': name}), 403, 'forbidden')


def test_the_own_origin_is_served(shared):
    for name in 'localhost', '127.0.0.1', '[::1]':
        name += f':{shared.port}'
        reply = shared.get('/api/v1/status', headers={'Origin': 'https://' + name, 'Host': name})
        assert reply.status == 200
        assert reply.headers['Access-Control-Allow-Origin'] is None


def test_security_headers(shared):
    for reply in shared.get('/api/v1/status'), shared.get('/api/v1/none'):
        assert reply.headers['X-Content-Type-Options'] == 'nosniff'
        assert reply.headers['Cache-Control'] == 'no-store'
        assert "default-src 'none'" in reply.headers['Content-Security-Policy']


# Bad requests --------------------------------------------------------------------------------

def test_unknown_paths(shared):
    for path in '/', '/api', '/api/v1', '/api/v2/hosts', '/api/v1/hosts/', '/api/v1/vms/a/b/c', \
            '/API/v1/hosts', '//api/v1/hosts', '/api/v1/hosts/kvm1/', '/{id}':
        problem(shared.get(path), 404, 'not-found')


def test_wrong_methods(shared):
    for method, path, allow in [('PUT', '/api/v1/hosts', 'GET, HEAD, POST'),
                                ('DELETE', '/api/v1/vms/web1', 'GET, HEAD'),
                                ('GET', '/api/v1/jobs/x/cancel', 'POST'),
                                ('OPTIONS', '/api/v1/shares', 'GET, HEAD, POST'),
                                ('BREW', '/healthz', 'GET, HEAD')]:
        reply = shared.ask(method, path)
        problem(reply, 405, 'unsupported')
        assert reply.headers['Allow'] == allow


@pytest.mark.parametrize('path', [
    '/api/v1/vms/..%2f..%2fetc%2fpasswd', '/api/v1/vms/%2e%2e', '/../../../etc/passwd',
    '/api/v1/vms/../status', '/api/v1/./status', '/api/v1/vms/%00', '/api/v1/vms/a%0d%0aX:%20y',
    '/api/v1/vms/%', '/api/v1/vms/%4', '/api/v1/vms/%zz', '/api/v1/vms/%ff%fe', '/api/v1/vms/%7f',
    '/api/v1/vms?name=%00', '/api/v1/vms?%zz', '/api/v1/vms/%c0%ae%c0%ae'])
def test_hostile_paths(shared, path):
    reply = shared.get(path)
    assert reply.status in (400, 404)
    problem(reply, reply.status, 'invalid' if reply.status == 400 else 'not-found')
    assert b'root:' not in reply.body


def test_wrong_content_type(shared):
    for kind in None, 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', '':
        problem(shared.ask('POST', '/api/v1/host-groups', '{"name":"x"}',
                           headers={'Content-Type': kind}), 415, 'invalid')
    for kind in 'application/json; charset=utf-8', 'Application/JSON':
        problem(shared.ask('POST', '/api/v1/host-groups', '{}', headers={'Content-Type': kind}),
                400, 'invalid')


@pytest.mark.parametrize('body', [
    '', '{', '[]', '1', 'null', '"x"', '{"name":"a","name":"b"}', '{"name":1}', '{"nam":"a"}',
    '{"name":"a","id":"mine"}', '{"name":"\\u0000"}', '{"name":"a\\u0007b"}', '{"name":"\\ud800"}',
    b'{"name":"\xff"}', '{"name":"a"} x', '{}', '{"name":""}', '{"name":" a"}',
    '{"name":"%s"}' % ('x' * 300), '[' * 100000, '{"a":' * 50000], ids=range(21))
def test_bad_bodies(shared, body):
    problem(shared.ask('POST', '/api/v1/host-groups', body), 400, 'invalid')


def test_bodies_where_none_is_taken(server):
    problem(server.ask('POST', '/api/v1/jobs/AAAA03/cancel', {'force': True}), 400, 'invalid')
    assert server.ask('POST', '/api/v1/jobs/AAAA03/cancel', {}).status == 202
    assert server.ask('GET', '/api/v1/status', '').status == 200


def test_read_only_and_out_of_bounds(shared):
    for change in {'status': 'OK'}, {'facts': {}}, {'live_limit': -1}, {'live_limit': 65}, \
            {'live_limit': 1.5}, {'live_limit': '2'}, {'method': 'fast'}, {'unknown': 1}, [], \
            {'live_limit': 10 ** 30}:
        reply = shared.ask('PATCH', '/api/v1/hosts/kvm1', change)
        body = problem(reply, 400, 'invalid')
        assert body['instance'] == '/api/v1/hosts/kvm1'


def test_names_of_all_kinds(server):
    for name in '<script>alert(1)</script>', '"; DROP TABLE hosts; --', '../../etc', 'ü 鸟 🐦', \
            '%00', 'a' * 255, "it's", '{id}', 'a/b', '?x=1&y', 'a\\b':
        made = server.ask('POST', '/api/v1/host-groups', {'name': name})
        assert made.status == 201 and made.json['name'] == name
        assert server.get('/api/v1/host-groups/' + quote(name)).json['name'] == name
    problem(server.ask('POST', '/api/v1/host-groups', {'name': 'ü' * 300}), 400, 'invalid')
    body = problem(server.get('/api/v1/hosts/' + quote('<script>"\\')), 404, 'not-found')
    assert '<script>"\\' in body['detail']


def test_http_1_0_and_head(shared):
    auth = f'Authorization: Bearer {TOKEN}\r\n\r\n'.encode()
    old = shared.raw(b'GET /api/v1/vms HTTP/1.0\r\n' + auth)
    head, _, body = old.partition(b'\r\n\r\n')
    assert b' 200 ' in head.split(b'\r\n')[0] and len(json.loads(body)['items']) == 4
    full = shared.get('/api/v1/status')
    reply = shared.ask('HEAD', '/api/v1/status')
    assert reply.status == 200 and reply.body == b''
    assert int(reply.headers['Content-Length']) == len(full.body)
    missing = shared.ask('HEAD', '/api/v1/none')
    assert missing.status == 404 and missing.body == b''


def test_a_long_list_over_http_1_0_and_head(make):
    server = make('--vms', 1000)
    auth = f'Authorization: Bearer {TOKEN}\r\n\r\n'.encode()
    old = server.raw(b'GET /api/v1/vms?limit=10000 HTTP/1.0\r\n' + auth)
    head, _, body = old.partition(b'\r\n\r\n')
    assert b'chunked' not in head and len(json.loads(body)['items']) == 1004
    assert server.ask('HEAD', '/api/v1/vms?limit=10000').body == b''


def test_absolute_targets(shared):
    request = (f'GET https://localhost:{shared.port}/healthz HTTP/1.1\r\n'
               f'Host: localhost:{shared.port}\r\nConnection: close\r\n\r\n')
    assert b' 200 ' in shared.raw(request.encode()).split(b'\r\n')[0]


@pytest.mark.parametrize('request_bytes', [
    b'GET /healthz HTTP/1.1\r\n\r\n',                          # no Host
    b'GET /' + b'a' * 60000 + b' HTTP/1.1\r\nHost: x\r\n\r\n',
    b'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ' + b'a' * 60000 + b'\r\n\r\n',
    b'GET /healthz HTTP/1.1\r\nHost: x\r\n' + b'X: a\r\n' * 9000 + b'\r\n',
    b'POST /api/v1/hosts HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n',
    b'POST /api/v1/hosts HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n',
    b'GARBAGE\r\n\r\n', b'\x00\x01\x02\r\n\r\n', b'GET\x00/ HTTP/1.1\r\n\r\n'],
    ids=['no host', 'long line', 'long header', 'many headers', 'negative length', 'huge length',
         'garbage', 'controls', 'nul'])
def test_malformed_requests(impatient, request_bytes):
    answer = impatient.raw(request_bytes)
    assert answer == b'' or answer.split(b' ')[1][:1] == b'4'
    assert impatient.get('/healthz').status == 200


def test_a_url_over_the_ceiling(shared):
    problem(shared.get('/api/v1/vms/' + 'a' * 9000), 414, 'too-large')


def test_plain_http_on_the_tls_port(shared):
    import socket
    with socket.create_connection(('127.0.0.1', shared.port), timeout=10) as sock:
        sock.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        try:
            assert b'200' not in sock.recv(4096)
        except ConnectionResetError:
            pass
    assert shared.get('/healthz').status == 200


# Too much ------------------------------------------------------------------------------------

def request_head(extra, path='/api/v1/host-groups', token=TOKEN):
    auth = f'Authorization: Bearer {token}\r\n' if token else ''
    return (f'POST {path} HTTP/1.1\r\nHost: localhost\r\n{auth}'
            f'Content-Type: application/json\r\n{extra}\r\n\r\n').encode()


def push(sock, data, times):
    """Sends until the far end has had enough; returns how much went out."""
    sent = 0
    try:
        for _ in range(times):
            sock.sendall(data)
            sent += len(data)
    except OSError:
        pass
    return sent


def test_100_mb_announced_is_refused_at_once(server):
    before = server.rss_kib()
    began = time.monotonic()
    with server.socket() as sock:
        sock.sendall(request_head('Content-Length: 104857600'))
        answer = sock.recv(65536)
    assert b' 413 ' in answer.split(b'\r\n')[0]
    assert time.monotonic() - began < 1
    with server.socket() as sock:
        sock.sendall(request_head('Content-Length: 104857600'))
        push(sock, b'x' * 65536, 1600)
    assert time.monotonic() - began < 10
    assert server.rss_kib() - before < 8 * 1024
    assert server.get('/healthz').status == 200


@pytest.mark.parametrize('token', [TOKEN, None])
def test_100_mb_in_chunks_is_cut_off(server, token):
    before = server.rss_kib()
    chunk = b'10000\r\n' + b'x' * 65536 + b'\r\n'
    with server.socket() as sock:
        sock.sendall(request_head('Transfer-Encoding: chunked', token=token))
        assert push(sock, chunk, 1600) < 50 * 1024 * 1024
    assert server.rss_kib() - before < 8 * 1024
    assert server.get('/healthz').status == 200


def test_a_body_in_chunks_somewhat_over_the_ceiling_gets_413(server):
    with server.socket() as sock:
        sock.sendall(request_head('Transfer-Encoding: chunked'))
        sock.sendall(b'200000\r\n' + b'x' * 0x200000 + b'\r\n0\r\n\r\n')
        answer = b''
        while b'}' not in answer:
            answer += sock.recv(65536)
        assert b' 413 ' in answer.split(b'\r\n')[0]
        # The connection is still good.
        sock.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        assert b' 200 ' in sock.recv(65536).split(b'\r\n')[0]


def test_a_body_at_the_ceiling_is_read(server):
    body = json.dumps({'name': 'x'}).ljust(1024 * 1024)
    assert server.ask('POST', '/api/v1/host-groups', body).status == 201
    problem(server.ask('POST', '/api/v1/host-groups', body + ' '), 413, 'too-large')


def test_expect_100_continue(server):
    body = b'{"name": "waited"}'
    with server.socket() as sock:
        sock.sendall(request_head(f'Expect: 100-continue\r\nContent-Length: {len(body)}'))
        assert sock.recv(4096).startswith(b'HTTP/1.1 100 ')
        sock.sendall(body)
        assert b' 201 ' in sock.recv(65536).split(b'\r\n')[0]
    with server.socket() as sock:
        sock.sendall(request_head('Expect: 100-continue\r\nContent-Length: 104857600'))
        assert b' 413 ' in sock.recv(65536).split(b'\r\n')[0]


def test_slow_loris_is_hung_up_on(make):
    server = make('--request-timeout', 3)
    began = time.monotonic()
    socks = [server.socket() for _ in range(3)]
    socks[0].sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n')       # headers that never end
    socks[1].sendall(request_head('Content-Length: 1000'))         # a body that never ends
    socks[2].sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')   # idle after its answer
    assert b' 200 ' in socks[2].recv(4096)
    open_ones = {0: b'X: a\r\n', 1: b'x', 2: b''}
    while open_ones and time.monotonic() - began < 12:
        for i in list(open_ones):
            try:
                socks[i].send(open_ones[i])
            except OSError:
                del open_ones[i]
                continue
            if is_closed(socks[i], 0.3):
                del open_ones[i]
    assert not open_ones
    assert 2 < time.monotonic() - began < 10
    [s.close() for s in socks]
    assert server.get('/healthz').status == 200


def test_a_handshake_that_never_comes(make):
    import socket
    server = make('--request-timeout', 2)
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        assert is_closed(sock, 8)


def test_the_limit_of_an_address(make):
    server = make('--per-address', 10)
    socks = []
    for _ in range(10):
        socks.append(server.socket())
        socks[-1].sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        assert b' 200 ' in socks[-1].recv(4096)
    with pytest.raises(OSError):
        server.get('/healthz')
    [s.close() for s in socks]

    def served():
        try:
            return server.get('/healthz').status == 200
        except OSError:
            return False
    assert wait_until(served)


# Connections ---------------------------------------------------------------------------------

def test_a_connection_is_used_again(shared):
    connection = shared.connect()
    sock = None
    for i in range(50):
        method, path, body, token, status = [
            ('GET', '/api/v1/status', None, TOKEN, 200), ('GET', '/api/v1/none', None, TOKEN, 404),
            ('POST', '/api/v1/host-groups', '{', TOKEN, 400), ('GET', '/healthz', None, None, 200),
            ('POST', '/api/v1/vms/web1/migrate', '{"destination": "kvm2"}', 'wrong', 401),
        ][i % 5]
        reply = shared.ask(method, path, body, token=token, connection=connection)
        assert reply.status == status and not reply.will_close
        assert sock is None or connection.sock is sock
        sock = connection.sock
    connection.close()


def test_pipelined_requests(shared):
    one = b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    last = b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    assert shared.raw(one * 9 + last).count(b'{"status":"ok"}') == 10


def test_64_clients_at_once(make):
    server = make('--vms', 500)
    errors = []

    def client(n):
        try:
            connection = server.connect(timeout=60)
            for i in range(10):
                if server.get('/api/v1/status', connection=connection).status != 200:
                    errors.append('status')
                page = server.get('/api/v1/vms?limit=400', connection=connection)
                if len(page.json['items']) != 400:
                    errors.append('page')
                made = server.ask('POST', '/api/v1/host-groups', {'name': f'g{n}-{i}'},
                                  connection=connection)
                if made.status != 201:
                    errors.append(made.body)
            connection.close()
        except Exception as error:
            errors.append(repr(error))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(64)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert errors == []
    assert len(server.get('/api/v1/host-groups?limit=1000').json['items']) == 642


# Events --------------------------------------------------------------------------------------

def test_events_tell_changes(server):
    events = Events(server)
    assert events.response.headers['Content-Type'] == 'text/event-stream'
    assert events.event()['event'] == 'ready'
    made = server.ask('POST', '/api/v1/host-groups', {'name': 'new <b>\n'.strip()}).json
    event = events.event()
    assert event['event'] == 'group' and json.loads(event['data']) == made
    assert server.ask('DELETE', '/api/v1/host-groups/' + made['id']).status == 204
    assert json.loads(events.event()['data']) == {'id': made['id'], 'removed': True}
    server.ask('POST', '/api/v1/vms/web1/migrate', {'destination': 'kvm2'})
    event = events.event()
    assert event['event'] == 'job' and 'saved_xml' not in event['data']
    events.close()


def test_events_resume(server):
    events = Events(server)
    last = int(events.event()['id'])
    server.tick()
    event = events.event()
    assert int(event['id']) == last + 1
    events.close()
    for _ in range(5):
        server.tick()
    resumed = Events(server, last=last + 1)
    ids = [int(resumed.event()['id']) for _ in range(5)]
    assert ids == [last + 2 + i for i in range(5)]
    assert resumed.event()['event'] == 'ready'
    resumed.close()


def test_events_reset_when_lost(server):
    events = Events(server)
    last = int(events.event()['id'])
    events.close()
    for _ in range(100):  # the ring holds 64
        server.tick()
    for wanted in last, 1, last + 10 ** 9:
        events = Events(server, last=wanted)
        assert events.event()['event'] == 'reset'
        ready = events.event()
        assert ready['event'] == 'ready' and int(ready['id']) == last + 100
        server.tick()
        assert int(events.event()['id']) == last + 101
        events.close()
        last += 1


@pytest.mark.parametrize('last', ['x', '-1', '1.5', '99999999999999999999999'])
def test_events_with_a_bad_id(shared, last):
    problem(shared.get('/api/v1/events', headers={'Last-Event-ID': last}), 400, 'invalid')


def test_a_quiet_stream_is_kept_alive_and_open(make):
    server = make('--keep-alive', 1, '--request-timeout', 2)
    events = Events(server)
    assert events.event()['event'] == 'ready'
    began = time.monotonic()
    for _ in range(5):
        assert events.block() == {'': 'still here'}
    assert 4 < time.monotonic() - began < 9  # outlives the time-out of requests
    server.tick()
    assert events.event()['event'] == 'job'
    events.close()


def test_streams_have_a_limit_and_are_given_back(make):
    server = make('--streams', 3)
    followers = [Events(server) for _ in range(3)]
    assert all(f.response.status == 200 for f in followers)
    reply = server.get('/api/v1/events')
    problem(reply, 503, 'conflict')
    assert reply.headers['Retry-After'] == '5'
    assert server.get('/api/v1/status').status == 200
    followers[0].close()

    def free():
        again = Events(server)
        status = again.response.status
        again.close()
        return status == 200
    assert wait_until(free)
    [f.close() for f in followers]


def test_stopping_ends_streams_soon(make):
    server = make()
    followers = [Events(server) for _ in range(10)]
    [f.event() for f in followers]
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 4
    [f.close() for f in followers]
    server.stop = lambda: None


# TLS -----------------------------------------------------------------------------------------

def test_keys_are_private(shared):
    for name in 'server-key.pem', 'ca-key.pem':
        path = os.path.join(shared.folder.name, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_old_tls_is_refused(shared):
    import socket
    import ssl
    import warnings
    context = shared.context()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers('ALL:@SECLEVEL=0')
    with socket.create_connection(('127.0.0.1', shared.port), timeout=10) as sock:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            context.wrap_socket(sock, server_hostname='localhost')
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        context = shared.context()
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(('127.0.0.1', shared.port), timeout=10) as sock:
            for name in 'localhost', '127.0.0.1':
                assert context.wrap_socket(sock, server_hostname=name).version()
                break


def test_a_wrong_name_is_not_certified(shared):
    import socket
    import ssl
    with socket.create_connection(('127.0.0.1', shared.port), timeout=10) as sock:
        with pytest.raises(ssl.SSLCertVerificationError):
            shared.context().wrap_socket(sock, server_hostname='other.example')


def test_plain_serves_on_loopback(make):
    server = make(plain=True)
    assert server.get('/api/v1/status').status == 200


# Plans of many moves (R19, R49) -----------------------------------------------------------------


def test_a_plan_is_made_applied_paused_and_resumed(server):
    plan = server.ask('POST', '/api/v1/plans', {'kind': 'moves', 'vms': ['web1']})
    assert plan.status == 200
    assert [move['vm_uuid'] for move in plan.json['moves']] == [WEB1]
    assert plan.json['request']['vms'] == ['web1']
    job = server.ask('POST', '/api/v1/plans/apply', plan.json)
    assert job.status == 202 and job.json['plan']['moves'][0]['wave'] == 1
    where = '/api/v1/jobs/' + job.json['id']
    assert server.ask('POST', where + '/pause').json['pause_requested'] is True
    assert server.ask('POST', where + '/resume').json['pause_requested'] is False
    assert server.get(where).json['plan']['moves'][0]['vm_uuid'] == WEB1
    assert server.get(where + '?plan=true').json == server.get(where).json
    brief = server.get(where + '?plan=false')
    assert 'plan' not in brief.json and brief.json['title'] == 'Move VMs'
    assert brief.headers['ETag'] != server.get(where).headers['ETag']
    problem(server.get(where + '?plan=perhaps'), 400, 'invalid')
    listed = server.get('/api/v1/jobs').json['items']
    assert not [each for each in listed if each.get('plan')]  # it can be long


def test_a_plan_of_a_world_that_has_changed_is_refused(server):
    plan = server.ask('POST', '/api/v1/plans', {'kind': 'moves', 'vms': ['web1']}).json
    stale = {**plan, 'fingerprint': 'as it was'}
    problem(server.ask('POST', '/api/v1/plans/apply', stale), 409, 'conflict')


@pytest.mark.parametrize('body', [
    {'kind': 'flood'}, {'kind': 'moves', 'vms': 'web1'}, {'kind': 'drain', 'hosts_at_once': -1},
    {'kind': 'drain', 'nonsense': 1}])
def test_a_plan_request_that_is_none(server, body):
    problem(server.ask('POST', '/api/v1/plans', body), 400, 'invalid')


def test_what_carries_out_no_plan_is_not_paused(server):
    jobs = [job for job in server.get('/api/v1/jobs').json['items'] if job['kind'] == 'vm-migrate']
    problem(server.ask('POST', '/api/v1/jobs/%s/pause' % jobs[0]['id']), 409, 'conflict')
