#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures the API on a test double of the engine: requests per second, 10,000 VMs, followers.

Run after a build: bench/api.py [BUILD]. The client is curl, so that this script is not what is
measured; it shares the machine with the server."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / 'build')
os.environ['API_SERVER'] = str(BUILD / 'tests/api-server')
sys.path.insert(0, str(ROOT / 'tests/api'))
from server import Events, Server, TOKEN  # noqa: E402


def curl(server, *arguments):
    header = os.path.join(server.folder.name, 'header')
    with open(header, 'w') as file:
        file.write('Authorization: Bearer ' + TOKEN + '\n')
    return subprocess.run(['curl', '-sS', '--cacert', server.ca, '-H', '@' + header, *arguments],
                          check=True, capture_output=True, text=True).stdout


def requests_per_second(server, path, count, clients):
    # A fragment is not sent: the same request so many times, on one connection for each client.
    url = f'https://localhost:{server.port}{path}#[1-{count}]'
    began = time.monotonic()
    config = ['curl', '-sS', '--cacert', server.ca, '-H',
              '@' + os.path.join(server.folder.name, 'header'), '-o', '/dev/null', url]
    running = [subprocess.Popen(config) for _ in range(clients)]
    assert all(process.wait() == 0 for process in running)
    return count * clients / (time.monotonic() - began)


def main():
    server = Server('--vms', 10000)
    url = f'https://localhost:{server.port}/api/v1/vms?limit=10000'
    curl(server, '-o', '/dev/null', url)
    body = os.path.join(server.folder.name, 'body')
    times = [float(curl(server, '-o', body, '-w', '%{time_total}', url)) for _ in range(5)]
    items = len(json.load(open(body))['items'])
    results = {
        'vms': items,
        'vms_bytes': os.path.getsize(body),
        'vms_seconds_median_of_5': round(statistics.median(times), 3),
        'rss_kib_after_lists': server.rss_kib(),
    }
    for path in '/healthz', '/api/v1/hosts/kvm1', '/api/v1/status':
        for clients in 1, 4:
            results[f'requests_per_second {path} {clients} client(s)'] = round(
                requests_per_second(server, path, 5000, clients))
    before = server.rss_kib()
    followers = [Events(server) for _ in range(100)]
    [f.event() for f in followers]
    began = time.monotonic()
    server.tick()
    [f.event() for f in followers]
    results['event_to_100_followers_ms'] = round((time.monotonic() - began) * 1000, 1)
    results['rss_kib_100_followers'] = server.rss_kib()
    results['rss_kib_before_them'] = before
    [f.close() for f in followers]
    server.stop()

    small = Server()
    idle = small.rss_kib()
    followers = [Events(small) for _ in range(100)]
    [f.event() for f in followers]
    results['rss_kib_4_vms_idle'] = idle
    results['rss_kib_4_vms_100_followers'] = small.rss_kib()
    [f.close() for f in followers]
    small.stop()
    print(json.dumps(results, indent=2))


if __name__ == '__main__':
    main()
