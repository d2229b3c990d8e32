#!/usr/bin/env python3
"""Benchmarks: direct, through one sidecar, through two with mutual TLS; HTTP/1.1, answers of 64 bytes and 16 KiB.

The proxies have one processor, the load and the origin another (where there are two). Rounds alternate between the
scenarios, and the table shows medians: trust ratios inside one table. Every feature of the mesh is configured: retries,
limits, a rate limit that does not bite, request ids and trace headers; access logs are off."""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from processes import Failure, ask, eventually

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SIZES = (64, 16384)
SCENARIOS = ("direct", "one sidecar", "two, mutual TLS")
EXTENSIONS = "type.googleapis.com/envoy.extensions"
TRUST = "spiffe://bench.example/ns/default/sa/"


# -- configurations --------------------------------------------------------------------------------------------------

def bootstrap(target, downstream_tls=None, upstream_tls=None):
    """A proxy with every feature that the mesh configures."""
    config = {
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": address("127.0.0.1:0")},
        "static_resources": {
            "listeners": [{
                "name": "main",
                "address": address("127.0.0.1:0"),
                "filter_chains": [{
                    "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager()}],
                    **({"transport_socket": downstream_tls} if downstream_tls else {})}]}],
            "clusters": [{
                "name": "origin",
                "type": "STATIC",
                # Under callgrind a handshake takes a tenth of a second, and sixteen begin at once.
                "connect_timeout": "30s",
                "circuit_breakers": {"thresholds": [{
                    "max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024,
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}}]},
                "load_assignment": {"cluster_name": "origin", "endpoints": [{
                    "lb_endpoints": [{"endpoint": {"address": address(target)}}]}]},
                **({"transport_socket": upstream_tls} if upstream_tls else {})}]}}
    return json.dumps(config, indent=1)


def address(text):
    host, port = text.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def manager():
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [
            {"name": "martlet.policy", "typed_config": {
                "@type": "type.googleapis.com/martlet.v1.Policy",
                "trace_context": {"sampled": {"numerator": 1, "denominator": "HUNDRED"}, "start_w3c": True}}},
            {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
                "@type": f"{EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "bench",
                "token_bucket": {"max_tokens": 1000000, "tokens_per_fill": 1000000, "fill_interval": "0.1s"},
                "filter_enabled": always, "filter_enforced": always}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}],
        "route_config": {"name": "bench", "virtual_hosts": [{
            "name": "bench", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {
                "cluster": "origin", "timeout": "15s",
                "retry_policy": {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 2}}}]}]}}


def tls(kind, directory, own, peer):
    context = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.{kind}",
        "common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_certificates": [{
                "certificate_chain": {"filename": f"{directory}/{own}.pem"},
                "private_key": {"filename": f"{directory}/{own}.key"}}],
            "validation_context": {
                "trusted_ca": {"filename": f"{directory}/root.pem"},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": TRUST + peer}}]}}}
    context.update({"require_client_certificate": True} if kind == "DownstreamTlsContext" else {"sni": "bench.example"})
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def make_certificates(directory):
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*arguments):
        status, output = processes.run_tool(["openssl", *arguments])
        if status != 0:
            raise Failure(f"openssl {' '.join(arguments)}: {output}")

    root, root_key = f"{directory}/root.pem", f"{directory}/root.key"
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=bench", "-keyout", root_key, "-out", root)
    for name in ("caller", "callee"):
        with open(f"{directory}/{name}.ext", "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=URI:{TRUST}{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-new", *curve, "-subj", f"/CN={name}", "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.csr")
        openssl("x509", "-req", "-in", f"{directory}/{name}.csr", "-CA", root, "-CAkey", root_key, "-CAcreateserial",
                "-days", "2", "-extfile", f"{directory}/{name}.ext", "-out", f"{directory}/{name}.pem")


# -- one scenario ----------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, options):
        self.options = options
        self.binaries = os.path.abspath(options.binaries)
        self.directory = tempfile.mkdtemp(prefix="martlet-bench-")
        self.processes = processes.Processes(self.directory)
        cpus = sorted(os.sched_getaffinity(0))
        self.proxy_cpus, self.load_cpus = ({cpus[0]}, {cpus[1]}) if len(cpus) > 1 else (None, None)
        self.proxies = {}   # scenario -> names of its proxies
        self.targets = {}   # scenario -> HOST:PORT for the load
        self.started = 0

    def binary(self, name):
        return os.path.join(self.binaries, name)

    def start(self):
        make_certificates(self.directory)
        ports = os.path.join(self.directory, "origin.ports")
        self.processes.start("origin", [
            self.binary("martlet-load"), "origin", "--ports-file", ports,
            *(word for size in SIZES for word in ("--bytes", str(size)))], cpus=self.load_cpus)
        origin = processes.parse_ports(self.processes.wait_for_file(ports))["http"]
        self.targets["direct"], self.proxies["direct"] = origin, []
        self.origin = origin
        for scenario in SCENARIOS[1:]:
            self.proxies[scenario], self.targets[scenario] = self.start_chain(scenario)

    def start_chain(self, scenario, wrapper=(), seconds=15):
        """The proxies of a scenario, last one first; their names, and the address of the first one."""
        if scenario == "one sidecar":
            name, listener = self.start_proxy(bootstrap(self.origin), wrapper, seconds)
            return [name], listener
        callee, middle = self.start_proxy(
            bootstrap(self.origin, downstream_tls=tls("DownstreamTlsContext", self.directory, "callee", "caller")), wrapper, seconds)
        caller, listener = self.start_proxy(
            bootstrap(middle, upstream_tls=tls("UpstreamTlsContext", self.directory, "caller", "callee")), wrapper, seconds)
        return [caller, callee], listener

    def start_proxy(self, config, wrapper=(), seconds=15):
        self.started += 1
        name = f"proxy-{self.started}"
        base = os.path.join(self.directory, name)
        with open(base + ".json", "w", encoding="utf-8") as file:
            file.write(config)
        command = [*(word.replace("{name}", base) for word in wrapper), self.binary("martlet-proxy"), "-c", base + ".json",
                   "--concurrency", "1", "--admin-address-path", base + ".admin"]
        self.processes.start(name, command, cpus=self.proxy_cpus)
        admin = self.processes.wait_for_file(base + ".admin", seconds).strip()
        eventually(f"{name} to be ready", lambda: ask(f"http://{admin}/ready").status == 200, seconds, 0.002)
        listed = ask(f"http://{admin}/listeners").text
        found = re.search(r"^main::(\S+)$", listed, re.MULTILINE)
        if not found:
            raise Failure(f"{name} lists no listener: {listed}")
        return name, found[1]

    def load(self, target, size, *more):
        done = subprocess.run(
            [self.binary("martlet-load"), "--target", target, "--path", f"/{size}", "--json", *map(str, more)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            preexec_fn=None if self.load_cpus is None else lambda: os.sched_setaffinity(0, self.load_cpus))
        if done.returncode != 0:
            raise Failure(f"martlet-load: {done.stderr.decode()}")
        report = json.loads(done.stdout)
        errors = sum(report["errors"].values()) + sum(count for kind, count in report["status"].items() if kind != "2xx")
        if errors:
            raise Failure(f"errors under load: {report['errors']} {report['status']}")
        return report

    def cpu_nanoseconds(self, names):
        """Time on a processor of all threads of these processes."""
        total = 0
        for name in names:
            tasks = f"/proc/{self.processes.running[name].pid}/task"
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total

    def measure_speed(self, scenario, size):
        """Requests per second in a closed loop and CPU time for each; then latencies at a fixed rate."""
        target, names = self.targets[scenario], self.proxies[scenario]
        self.load(target, size, "--connections", 64, "--duration", 0.5, "--warmup", 0)
        before = self.cpu_nanoseconds(names)
        closed = self.load(target, size, "--connections", 64, "--duration", self.options.seconds, "--warmup", 0)
        spent = self.cpu_nanoseconds(names) - before
        fixed = self.load(target, size, "--connections", 64, "--duration", self.options.seconds, "--rate", self.options.rate,
                          "--warmup", 0.3)
        return {
            "requests_per_second": closed["per_second"],
            "cpu_microseconds": spent / 1000 / closed["answers"] if names else None,
            "p50_microseconds": fixed["microseconds"]["p50"],
            "p99_microseconds": fixed["microseconds"]["p99"]}

    def measure_counts(self, scenario, size, tool):
        """System calls or instructions for each request: the difference between many and few requests."""
        totals = [self.count(scenario, size, tool, requests) for requests in (1000, 3000)]
        return (totals[1] - totals[0]) / 2000

    def count(self, scenario, size, tool, requests):
        if tool == "strace":
            wrapper = ("strace", "-f", "-c", "-o", "{name}.counts")
        else:
            wrapper = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file={name}.counts")
        names, target = self.start_chain(scenario, wrapper, seconds=60)
        self.load(target, size, "--connections", 16, "--requests", requests)
        total = 0
        for name in names:
            self.stop_wrapped(name)
            with open(os.path.join(self.directory, name + ".counts"), encoding="utf-8") as file:
                text = file.read()
            if tool == "strace":
                found = re.search(r"^100\.00\s+\S+\s+\d+\s+(\d+)\s.*total$", text, re.MULTILINE)
            else:
                found = re.search(r"Collected\s*:\s*(\d+)", text)
            if not found:
                raise Failure(f"{tool} says no total: {text[-300:]}")
            total += int(found[1])
        return total

    def stop_wrapped(self, name):
        """Ends the program itself, so that the tool around it writes its counts."""
        process = self.processes.running.pop(name)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], stdout=subprocess.PIPE, check=False).stdout.split()
        os.kill(int(children[0]) if children else process.pid, 15)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def measure_memory(self):
        """Resident memory of an idle proxy, and how soon it was ready."""
        began = time.monotonic()
        name, _ = self.start_proxy(bootstrap(self.origin))
        ready = time.monotonic() - began
        time.sleep(0.3)
        with open(f"/proc/{self.processes.running[name].pid}/status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
        self.processes.stop_one(name)
        return {"rss_kib": int(status["VmRSS"].split()[0]), "anonymous_kib": int(status["RssAnon"].split()[0]),
                "ready_ms": ready * 1000}

    # -- all of it ---------------------------------------------------------------------------------------------------

    def count_only(self):
        """The repeatable figures alone: they tell at once what a change costs."""
        for scenario in SCENARIOS[1:]:
            counts = {tool: self.measure_counts(scenario, SIZES[0], tool) for tool in ("strace", "valgrind")}
            print(f"{scenario}, {SIZES[0]} B: {counts['valgrind']:,.0f} user instructions and "
                  f"{counts['strace']:.2f} system calls per request", flush=True)

    def run(self):
        rounds = {(scenario, size): [] for size in SIZES for scenario in SCENARIOS}
        for number in range(self.options.rounds):
            for key in rounds:
                say(f"round {number + 1} of {self.options.rounds}: {key[0]}, {key[1]} bytes")
                rounds[key].append(self.measure_speed(*key))
        results = {}
        for (scenario, size), measured in rounds.items():
            row = {name: median([one[name] for one in measured]) for name in measured[0]}
            row["rounds"] = measured
            if scenario != "direct":
                for tool, name in (("strace", "system_calls"), ("valgrind", "instructions")):
                    row[name] = None
                    if not self.options.no_counts and shutil.which(tool):
                        say(f"{name.replace('_', ' ')}: {scenario}, {size} bytes")
                        row[name] = self.measure_counts(scenario, size, tool)
            results[f"{scenario}, {size} B"] = row
        memory = self.measure_memory()
        return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "machine": machine(),
                "rate": self.options.rate, "rounds": self.options.rounds, "results": results, "idle": memory}


def median(values):
    return None if None in values else statistics.median(values)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*:\s*(.*)", file.read())
    return f"{found[1].strip() if found else os.uname().machine}, {os.cpu_count()} processors, Linux {os.uname().release}"


def say(text):
    print(f"==> {text}", flush=True)


def table(outcome):
    def cell(value, form):
        return "–" if value is None else format(value, form)

    lines = [
        f"| HTTP/1.1 | requests/s, 64 connections | p50 / p99 µs at {outcome['rate']:,}/s | CPU µs | system calls | instructions |",
        "|---|---:|---:|---:|---:|---:|"]
    for name, row in outcome["results"].items():
        lines.append(
            f"| {name} | {row['requests_per_second']:,.0f} | {row['p50_microseconds']:.0f} / {row['p99_microseconds']:.0f} "
            f"| {cell(row['cpu_microseconds'], '.1f')} | {cell(row.get('system_calls'), '.2f')} "
            f"| {cell(row.get('instructions'), ',.0f')} |")
    idle = outcome["idle"]
    lines += [
        "",
        f"CPU time, system calls and user instructions are per request, of the proxies alone (of both in a pair). Idle, a proxy has "
        f"{idle['rss_kib'] / 1024:.1f} MiB resident, of it {idle['anonymous_kib'] / 1024:.1f} MiB anonymous; it is ready "
        f"{idle['ready_ms']:.0f} ms after its start. Medians of {outcome['rounds']} alternating rounds, one processor for the proxies "
        f"and one for load and origin: {outcome['machine']}."]
    return "\n".join(lines)


def write_results(outcome, text):
    folder = os.path.join(ROOT, "bench-results")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, outcome["date"].replace(":", "").replace("+0000", "") + ".json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(outcome, file, indent=1)
    readme = os.path.join(ROOT, "README.md")
    with open(readme, encoding="utf-8") as file:
        before = file.read()
    after = re.sub(r"(<!-- bench: begin -->\n).*?(<!-- bench: end -->)", lambda found: found[1] + text + "\n" + found[2], before,
                   flags=re.DOTALL)
    with open(readme, "w", encoding="utf-8") as file:
        file.write(after)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", default=os.path.join(ROOT, ".build", "release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rate", type=int, default=2000, help="requests per second of the latency measurement")
    parser.add_argument("--only-counts", action="store_true", help="system calls and instructions, and nothing else")
    parser.add_argument("--no-counts", action="store_true", help="leave out system calls and instructions")
    parser.add_argument("--no-readme", action="store_true", help="print the table only")
    options = parser.parse_args()
    bench = Bench(options)
    try:
        bench.start()
        outcome = None if options.only_counts else bench.run()
        if options.only_counts:
            bench.count_only()
    except (Failure, OSError, KeyError, ValueError) as error:
        print(f"\nbench: {error}", file=sys.stderr)
        bench.processes.print_tails()
        sys.exit(1)
    bench.processes.stop()
    shutil.rmtree(bench.directory, ignore_errors=True)
    if outcome is None:
        return
    text = table(outcome)
    print("\n" + text)
    if not options.no_readme:
        print(f"\nwritten to README.md and {write_results(outcome, text)}")


if __name__ == "__main__":
    main()
