# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fabrics made by chance (bench/make_fabric.c), in the simulator of the real program."""
import collections
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon import BUILD, Controller

PROGRAM = BUILD / 'bench/make-fabric'


def make(*options):
    return subprocess.run([PROGRAM, *options], capture_output=True, timeout=120)


def made(*options):
    done = make(*options)
    assert done.returncode == 0 and not done.stderr
    return done.stdout


@pytest.fixture
def simulated(tmp_path):
    """Starts godwitd on a fabric; returns it, the file and the setup."""
    begun = []

    def start(*options):
        file, setup = tmp_path / 'fabric.json', tmp_path / 'setup.json'
        assert made(*options, '-o', file, '--setup', setup) == b''
        begun.append(Controller(tmp_path, '--simulate', file))
        return begun[0], json.loads(file.read_text()), json.loads(setup.read_text())
    yield start
    for controller in begun:
        controller.stop()


def post_all(controller, kind, bodies):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda body: controller.ask('POST', '/' + kind, body), bodies))


def test_the_same_seed_gives_the_same_file(tmp_path):
    setups = [tmp_path / name for name in 'abc']
    first, again, other = (made('--hosts', '40', '--seed', seed, '--setup', setup)
                           for seed, setup in zip(('7', '7', '8'), setups))
    assert first == again and first != other
    texts = [setup.read_bytes() for setup in setups]
    assert texts[0] == texts[1] != texts[2]


def test_sizes_are_skewed_and_shares_are_several():
    file = json.loads(made('--hosts', '200', '--vms', '2000', '--hosts-per-share', '50'))
    vms = [vm for host in file['hosts'] for vm in host['vms']]
    assert len(file['hosts']) == 200 and len(vms) == 2000
    gib = sorted(vm['memory_kib'] >> 20 for vm in vms)
    assert gib[0] == 1 and gib[-1] == 64 and gib[len(gib) // 2] <= 4
    assert {host['facts']['memory_kib'] >> 20 for host in file['hosts']} == {64, 128, 256, 512,
                                                                             1024}
    shares = collections.Counter(pool['source'] for host in file['hosts']
                                 for pool in host['facts']['pools'] if pool['type'] == 'netfs')
    assert sorted(shares.values()) == [50, 50, 50, 50]
    assert any(vm['state'] == 'off' for vm in vms)


@pytest.mark.parametrize('options,said', [
    (['--hosts', '1001'], '--hosts is 1001, must be 1 to 1000'),
    (['--vms', '-1'], '--vms is -1'),
    (['--rules', '3', '--hosts-per-rack', '0'], '--hosts-per-rack'),
    (['more'], "'more' is no option"),
    (['--speed', '1'], '--speed'),
])
def test_wrong_options(options, said):
    done = make(*options)
    assert done.returncode == 2 and said in done.stderr.decode() and not done.stdout


def test_a_file_that_cannot_be_written(tmp_path):
    done = make('--hosts', '4', '-o', tmp_path / 'absent' / 'fabric.json')
    assert done.returncode == 1 and 'cannot be written' in done.stderr.decode()
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([PROGRAM, '--hosts', '4'], stdout=full, stderr=subprocess.PIPE,
                              timeout=60)
    assert done.returncode == 1 and b'No space left' in done.stderr


def test_a_setup_is_taken(simulated):
    """All of it, by the API; and every host is a place for a VM, or it is said why not (R33)."""
    controller, file, setup = simulated('--hosts', '40', '--vms', '400', '--hosts-per-share', '10')
    assert len(setup['host-groups']) == 2 and setup['rules']
    for kind in ('host-groups', 'hosts', 'rules'):
        assert len(post_all(controller, kind, setup[kind])) == len(setup[kind])
    listed = controller.ask('GET', '/host-groups')['items']
    groups = {group['id']: group['name'] for group in listed}
    hosts = controller.ask('GET', '/hosts?limit=100')['items']
    assert {host['name']: (groups[host['group_id']], host['tags']) for host in hosts} == {
        host['name']: (host['group_id'], host['tags']) for host in setup['hosts']}
    assert {rule['kind'] for rule in controller.ask('GET', '/rules?limit=100')['items']} == {
        rule['kind'] for rule in setup['rules']}
    where = f"/vms/{setup['rules'][0]['vms'][0]}"
    placements = controller.ask('GET', where + '/placements')['items']
    assert len(placements) == 40 and any(row['suitable'] for row in placements)
    for row in placements:
        assert row['suitable'] or (row['rating']['stars'] == 0 and row['findings'])
    assert any(len(row['findings']) > 1 for row in placements), 'all reasons, not only the first'


@pytest.mark.parametrize('every', [20, pytest.param(1, marks=pytest.mark.long)])
def test_a_thousand_hosts_with_ten_thousand_vms(simulated, every):
    """The simulator has all of them; the controller manages every one, or one of each rack."""
    controller, file, setup = simulated('--hosts', '1000', '--vms', '10000')
    assert len(file['hosts']) == 1000 and sum(len(host['vms']) for host in file['hosts']) == 10000
    assert len(setup['hosts']) == 1000 and len(setup['host-groups']) == 50
    added = setup['hosts'][::every]
    post_all(controller, 'host-groups', setup['host-groups'])
    post_all(controller, 'hosts', added)
    known = {vm['uuid'] for host in file['hosts'][::every] for vm in host['vms']}
    rules = [rule for rule in setup['rules'] if known.issuperset(rule['vms'])]
    assert every > 1 or rules == setup['rules']
    post_all(controller, 'rules', rules)
    hosts = controller.ask('GET', '/hosts?limit=10000')['items']
    assert len(hosts) == len(added) and all(host['status'].startswith('OK') for host in hosts)
    vms = controller.ask('GET', '/vms?limit=10000')['items']
    assert {vm['uuid'] for vm in vms} == known
    assert len(controller.ask('GET', '/rules?limit=10000')['items']) == len(rules)
    first = file['hosts'][0]['vms'][0]['uuid']
    best = controller.ask('GET', f'/vms/{first}/candidates?brief=true')['items']
    assert len(best) == len(added) and best[0]['suitable']
