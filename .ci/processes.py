"""Processes, ports and small HTTP for the demo and the benchmarks: everything on loopback, every port free, every
process ended with the script. Python's standard library only."""

import atexit
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse


class Failure(Exception):
    """What was expected and did not happen, in words."""


class Processes:
    """The processes of one run, each with a log of its own in `directory`."""

    def __init__(self, directory):
        self.directory = directory
        self.running = {}
        atexit.register(self.stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: sys.exit(128 + received))

    def log_path(self, name):
        return os.path.join(self.directory, name + ".log")

    def start(self, name, command, cpus=None, **environment):
        """Starts it on these processors, or on all."""
        pin = None if cpus is None else lambda: os.sched_setaffinity(0, cpus)
        with open(self.log_path(name), "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**os.environ, **environment}, start_new_session=True, preexec_fn=pin)
        self.running[name] = process
        return process

    def check(self):
        """Fails when a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Failure(f"{name} ended with status {process.returncode}")

    def stop_one(self, name, seconds=5):
        process = self.running.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop(self):
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 3
        for process in self.running.values():
            try:
                process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = {}

    def wait_for_file(self, path, seconds=15):
        """The text of a file that one of the processes writes whole."""
        def text():
            self.check()
            with open(path, encoding="utf-8") as file:
                return file.read() or None
        return eventually(f"{path} to be written", text, seconds)

    def print_tails(self, lines=15):
        """The end of each log, for whoever has to find out what went wrong."""
        for entry in sorted(os.listdir(self.directory)):
            if not entry.endswith(".log"):
                continue
            path = os.path.join(self.directory, entry)
            with open(path, encoding="utf-8", errors="replace") as file:
                tail = file.readlines()[-lines:]
            print(f"--- {path}", file=sys.stderr)
            for line in tail:
                print("    " + line.rstrip()[:400], file=sys.stderr)


def eventually(what, condition, seconds=10, pause=0.02):
    """Asks again until `condition` gives something true; what it raises meanwhile is forgiven."""
    deadline = time.monotonic() + seconds
    reason = ""
    while True:
        try:
            result = condition()
            if result:
                return result
            reason = ""
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            reason = f" ({error})"
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain for {what}{reason}")
        time.sleep(pause)


def parse_ports(text):
    """Names and HOST:PORT of a ports file: a JSON object, or lines `name: HOST:PORT`."""
    if text.lstrip().startswith("{"):
        flat = {}
        for name, value in json.loads(text).items():
            values = value if isinstance(value, list) else [value]
            for index, one in enumerate(values):
                if isinstance(one, dict):
                    one = one.get("listen") or one.get("address")
                flat[name if index == 0 else f"{name}-{index}"] = one
        return flat
    return dict(re.findall(r"^\s*([\w.-]+):\s*\"?([^\s\"]+:\d+)\"?\s*$", text, re.MULTILINE))


class Answer:
    """Status, fields (names in lower case) and text of an answer."""

    def __init__(self, response):
        self.status = response.status
        self.fields = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.text)


class Client:
    """A connection that is kept from request to request."""

    def __init__(self, address, timeout=10):
        self.address, self.timeout = address, timeout
        self.connection = None

    def ask(self, method, path, host=None, fields=None, body=None):
        headers = dict(fields or {})
        if host:
            headers["Host"] = host
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        try:
            self.connection.request(method, path, body=body, headers=headers)
            return Answer(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def ask(url, method="GET", fields=None, body=None, timeout=10):
    """One request on a connection of its own."""
    parts = urllib.parse.urlsplit(url)
    client = Client(parts.netloc, timeout)
    try:
        return client.ask(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), None, fields, body)
    finally:
        client.close()


def run_tool(command, input_text="", seconds=20, **environment):
    """A program to its end; stdout and stderr together."""
    done = subprocess.run(
        command, input=input_text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
        env={**os.environ, **environment})
    return done.returncode, done.stdout.decode(errors="replace")
