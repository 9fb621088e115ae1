"""A pytest plugin: kazoo's tests run against servers that already serve.

SERVED_HOSTS    HOST:PORT of each server, separated by commas
SERVED_CONTROL  a command with {order} (stop or start) and {number} (of the server, from 1); tests that stop a
                server are skipped without it
SERVED_RESULT   where the outcome of every test is written, as JSON
"""
import json
import os
import shlex
import socket
import subprocess
import time

import kazoo.testing.harness as harness
import pytest


class Server:
    """One server, as kazoo's harness wants to see it."""

    def __init__(self, number, address):
        self.number = number
        self.address = address
        self.host, _, port = address.rpartition(":")
        self.client_port = int(port)
        self.running = True

    @property
    def secure_address(self):
        pytest.skip("no TLS port is served")

    def order(self, order):
        command = os.environ.get("SERVED_CONTROL")
        if not command:
            pytest.skip("nothing stops and starts these servers")
        words = shlex.split(command.format(order=order, number=self.number))
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.order("stop")
        self.running = False

    def run(self):
        if self.running:
            return
        self.order("start")
        self.running = True
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self.serves():
            time.sleep(0.1)

    def serves(self):
        try:
            with socket.create_connection((self.host, self.client_port), 1) as connection:
                connection.settimeout(2)
                connection.sendall(b"srvr")
                return b"Mode:" in connection.recv(4096)
        except OSError:
            return False

    def get_logs(self, num_lines=100):
        return []


class Cluster:
    """All of them."""

    def __init__(self, addresses):
        self.servers = [Server(number, address) for number, address in enumerate(addresses, 1)]

    def __getitem__(self, index):
        return self.servers[index]

    def __iter__(self):
        return iter(self.servers)

    def start(self):
        for server in self:
            server.run()

    def stop(self):
        """The servers outlive the tests."""

    terminate = reset = stop

    def get_logs(self):
        return []

    def get_ssl_client_configuration(self):
        pytest.skip("no TLS port is served")


CLUSTER = Cluster(os.environ["SERVED_HOSTS"].split(","))
harness.get_global_cluster = lambda: CLUSTER

OUTCOMES = {}


def pytest_runtest_logreport(report):
    """Keeps the worst of a test's set-up, call and tear-down."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "expected to fail"
        OUTCOMES[report.nodeid] = ["left out", reason.removeprefix("Skipped: ")]
    elif report.failed:
        OUTCOMES[report.nodeid] = ["failed", str(report.longrepr).strip().splitlines()[-1]]
    elif report.when == "call":
        OUTCOMES.setdefault(report.nodeid, ["passed", ""])


def pytest_sessionfinish():
    with open(os.environ["SERVED_RESULT"], "w") as result:
        json.dump(OUTCOMES, result)
