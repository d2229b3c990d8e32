"""The processes of one cell: an origin, and for each proxy the chain that stands before it; what they cost is read from
/proc. The proxies have one processor, load and origins another, where there are two."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import processes
from hops import SERVER_NAME, free_port
from peers import Martlet, NotYet
from processes import Failure, eventually

# How long valgrind may take to start a proxy, in seconds.
WRAPPED_START_MAX = 240


class Chain:
    """Running proxies, the caller's side first. `port` is where load goes; `names` are processes."""

    def __init__(self, proxy, port, names):
        self.proxy, self.port, self.names = proxy, port, names


class Stage:
    def __init__(self, folder, binaries, tools, cpus=True):
        self.folder, self.binaries, self.tools = folder, binaries, tools
        self.processes = processes.Processes(folder)
        available = sorted(os.sched_getaffinity(0))
        alone = cpus and len(available) > 1
        self.proxy_cpus, self.load_cpus = ({available[0]}, {available[1]}) if alone else (None, None)
        self.origins = {}
        self.started = 0

    def close(self):
        self.processes.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- origins ---------------------------------------------------------------------------------------------------

    def origin(self, protocol):
        """The port of an origin that speaks it; started when first asked for."""
        if protocol not in self.origins:
            self.origins[protocol] = self.start_origin2() if protocol == "h2" else self.start_origin1()
        return self.origins[protocol]

    def start_origin1(self):
        ports = os.path.join(self.folder, "origin.ports")
        sizes = (64, 16 << 10, 1 << 20, 16 << 20)
        self.processes.start("origin", [
            os.path.join(self.binaries, "martlet-load"), "origin", "--ports-file", ports,
            *(word for size in sizes for word in ("--bytes", str(size)))], cpus=self.load_cpus)
        address = processes.parse_ports(self.processes.wait_for_file(ports))["http"]
        return int(address.rsplit(":", 1)[1])

    def start_origin2(self):
        """nghttpd: HTTP/2 without TLS, and a trailer as gRPC has it."""
        files = os.path.join(self.folder, "files")
        os.makedirs(files, exist_ok=True)
        with open(os.path.join(files, "64"), "wb") as file:
            file.write(b"x" * 64)
        port = free_port()
        self.processes.start("origin-h2", [
            "nghttpd", "--no-tls", "-d", files, "-m", "1000", "--trailer", "grpc-status: 0", "-a", "127.0.0.1", str(port)],
            cpus=self.load_cpus)
        eventually("nghttpd to listen", lambda: connects(port))
        return port

    # -- proxies ---------------------------------------------------------------------------------------------------

    def start_chain(self, proxy, hops, wrapper=(), seconds=20):
        """Starts `hops`, which are in the caller's order, from the last to the first; fails with NotYet where Martlet
        refuses the configuration."""
        names = []
        for hop in reversed(hops):
            names.insert(0, self.start_proxy(proxy, hop, wrapper, seconds))
        return Chain(proxy, hops[0].listen, names)

    def base(self, proxy):
        self.started += 1
        return os.path.join(self.folder, f"{proxy.name.split(',')[0].lower()}-{self.started}")

    def start_proxy(self, proxy, hop, wrapper=(), seconds=20, pause=0.005):
        base = self.base(proxy)
        if isinstance(proxy, Martlet):
            reason = proxy.refusal(hop, self.folder, base) if not wrapper else None
            if reason:
                raise NotYet(reason)
        name = os.path.basename(base)
        words = [*(word.replace("{name}", base) for word in wrapper), *proxy.command(hop, self.folder, base, bool(wrapper))]
        self.processes.start(name, words, cpus=self.proxy_cpus)

        def listens():
            self.processes.check()
            return connects(hop.listen)
        eventually(f"{name} to listen", listens, seconds, pause)
        return name

    def stop_chain(self, chain):
        for name in chain.names:
            self.processes.stop_one(name)

    def stop_wrapped(self, name):
        """Ends the program itself, so that the tool around it writes its counts."""
        process = self.processes.running.pop(name)
        inner = children(process.pid)
        os.kill(inner[0] if inner else process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # -- what they cost --------------------------------------------------------------------------------------------

    def pids(self, names):
        found = []
        for name in names:
            pid = self.processes.running[name].pid
            found += [pid, *descendants(pid)]
        return found

    def cpu_nanoseconds(self, names):
        """Time on a processor, user and system, of all threads of all processes."""
        total = 0
        for pid in self.pids(names):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total

    def memory_kib(self, names):
        """Resident, and of it anonymous."""
        resident = anonymous = 0
        for pid in self.pids(names):
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
            resident += int(status["VmRSS"].split()[0])
            anonymous += int(status["RssAnon"].split()[0])
        return resident, anonymous

    # -- load ------------------------------------------------------------------------------------------------------

    def run_load(self, command, seconds):
        pin = None if self.load_cpus is None else lambda: os.sched_setaffinity(0, self.load_cpus)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=seconds + 60,
                              preexec_fn=pin)
        if done.returncode != 0:
            raise Failure(f"{command[0]}: {(done.stderr or done.stdout).decode(errors='replace')[-500:]}")
        return done.stdout.decode()

    def load(self, port, load, seconds=None, requests=None):
        """Runs a load for some time, or for so many requests; the report has answers, per_second, and for HTTP/1.1 the
        latencies."""
        runner = {"h1": self.load_http1, "h2": self.load_http2, "handshakes": self.load_handshakes}[load.kind]
        return runner(port, load, seconds, requests)

    def load_http1(self, port, load, seconds, requests):
        words = [os.path.join(self.binaries, "martlet-load"), "--target", f"127.0.0.1:{port}", "--path", load.path, "--json",
                 "--connections", str(load.connections), "--warmup", "0"]
        words += ["--body", str(load.body)] if load.body else []
        words += ["--host", load.host] if load.host else []
        words += ["--rate", str(load.rate)] if load.rate else []
        words += ["--requests", str(requests)] if requests else ["--duration", str(seconds)]
        report = json.loads(self.run_load(words, seconds or 120))
        wrong = sum(report["errors"].values()) + sum(count for kind, count in report["status"].items() if kind != "2xx")
        if wrong:
            raise Failure(f"errors under load: {report['errors']} {report['status']}")
        return report

    def load_http2(self, port, load, seconds, requests):
        """h2load, which counts its own; its closed loop keeps `streams` in flight on each connection."""
        words = ["h2load", "-c", str(load.connections), "-m", str(load.streams)]
        words += ["-n", str(requests)] if requests else ["-D", f"{seconds * 1000:.0f}ms"]
        if load.is_grpc:
            message = os.path.join(self.folder, "message")
            with open(message, "wb") as file:
                file.write(b"\0\0\0\0\x20" + b"x" * 32)
            words += ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        text = self.run_load([*words, f"http://127.0.0.1:{port}{load.path}"], seconds or 120)
        counts = {kind: int(count) for count, kind in re.findall(
            r"(\d+) (total|done|succeeded|failed|errored|timeout)\b", text.split("requests:")[1].splitlines()[0])}
        time_taken = re.search(r"finished in ([\d.]+)(m?s)", text)
        if counts["failed"] or counts["errored"] or counts["timeout"] or not counts["succeeded"] or not time_taken:
            raise Failure(f"errors under load: {text}")
        taken = float(time_taken[1]) / (1000 if time_taken[2] == "ms" else 1)
        return {"answers": counts["succeeded"], "seconds": taken, "per_second": counts["succeeded"] / taken}

    def load_handshakes(self, port, load, seconds, requests):
        report = json.loads(self.run_load([
            os.path.join(self.tools, "handshakes"), str(port), f"{self.folder}/caller.pem", f"{self.folder}/caller.key",
            f"{self.folder}/root.pem", str(load.connections), str(seconds), "resumed" if load.resumed else "full"], seconds))
        if report["failed"] or not report["answers"]:
            raise Failure(f"handshakes failed: {report}")
        if load.resumed and report["resumed"] < 0.9 * report["answers"]:
            raise Failure(f"only some handshakes were resumed: {report}")
        report["per_second"] = report["answers"] / report["seconds"]
        return report

    # -- idle connections ------------------------------------------------------------------------------------------

    def idle_connections(self, port, count, tls):
        """Opens them, with one request on each, and gives them back open."""
        context = None
        if tls:
            context = ssl.create_default_context(cafile=f"{self.folder}/root.pem")
            context.load_cert_chain(f"{self.folder}/caller.pem", f"{self.folder}/caller.key")
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        opened = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), 10)
            if context:
                one = context.wrap_socket(one, server_hostname=SERVER_NAME)
            one.sendall(b"GET /64 HTTP/1.1\r\nHost: bench.example\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 64:
                more = one.recv(4096)
                if not more:
                    raise Failure("a connection ended that should stay idle")
                answer += more
            opened.append(one)
        return opened


def connects(port):
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def answers(port, host, path="/64"):
    """Whether a request to `host` is answered with 200."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request("GET", path, headers={"Host": host})
        return client.getresponse().status == 200
    finally:
        client.close()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        done = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, check=False)
        return [int(word) for word in done.stdout.split()]


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def pause_until_quiet(seconds=0.3):
    """Lets timers run out that belong to what was before."""
    time.sleep(seconds)
