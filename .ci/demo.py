#!/usr/bin/env python3
"""The demo: a small brokerage in a mesh, on one host, every port free.

portal calls orders, orders calls quotes (two versions) and payments; each is a process with a sidecar of its own, and
the control plane is between. The script drives real traffic and shows one thing after the other, each by what is seen
on the wire. It ends with a table of what was expected and what was seen; the exit status says whether they agree."""

import argparse
import collections
import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import threading
import time

import processes
from processes import Client, Failure, ask, eventually, run_tool

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRUST_DOMAIN = "brokerage.example"

# name of the instance: (what the process is, its version, the Service it belongs to)
INSTANCES = {
    "portal": ("portal", "v1", "portal"),
    "orders": ("orders", "v1", "orders"),
    "quotes-v1": ("quotes", "v1", "quotes-v1"),
    "quotes-v2": ("quotes", "v2", "quotes-v2"),
    "payments": ("payments", "v1", "payments"),
}


class Demo:
    def __init__(self, binaries):
        self.binaries = os.path.abspath(binaries)
        self.directory = tempfile.mkdtemp(prefix="martlet-demo-")
        self.processes = processes.Processes(self.directory)
        self.mesh = os.path.join(self.directory, "mesh")
        self.apps = {}      # instance -> HOST:PORT of the application
        self.sidecars = {}  # instance -> the ports of its sidecar
        self.control = {}
        self.rows = []

    # -- bringing it up ------------------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.directory, name)

    def binary(self, name):
        return os.path.join(self.binaries, name)

    def start(self):
        began = time.monotonic()
        say(f"starting in {self.directory}")
        self.start_services()
        self.start_control()
        for instance in INSTANCES:
            self.start_sidecar(instance)
        for instance in INSTANCES:
            self.await_sidecar(instance)
        for instance in INSTANCES:
            ask(f"http://{self.apps[instance]}/admin/outbound?to={self.sidecars[instance]['outbound']}", "POST")
        eventually("all sidecars to acknowledge the configuration", self.all_acknowledged, 20)
        eventually("the first answer through the whole mesh", lambda: self.visit().status == 200, 20)
        say(f"{len(INSTANCES)} services, {len(INSTANCES)} sidecars and the control plane are up after "
            f"{time.monotonic() - began:.1f} s")

    def start_services(self):
        for instance, (service, version, _) in INSTANCES.items():
            self.processes.start(instance, [
                self.binary("martlet-demo-service"), "--service", service, "--version", version,
                "--ports-file", self.path(instance + ".ports")])
        for instance in INSTANCES:
            text = self.processes.wait_for_file(self.path(instance + ".ports"))
            self.apps[instance] = processes.parse_ports(text)["http"]

    def start_control(self):
        shutil.copytree(os.path.join(ROOT, "mesh-config", "mesh"), self.mesh)
        self.processes.start("control", [
            self.binary("martlet-control"), "--config", self.mesh, "--data-dir", self.path("data"),
            "--xds-address", "127.0.0.1:0", "--ca-address", "127.0.0.1:0", "--xds-tls-address", "127.0.0.1:0",
            "--http-address", "127.0.0.1:0", "--ports-file", self.path("control.ports")])
        self.control = processes.parse_ports(self.processes.wait_for_file(self.path("control.ports")))
        eventually("the control plane to be ready", lambda: self.ask_control("/readyz").status == 200)

    def start_sidecar(self, instance):
        service = INSTANCES[instance][2]
        status, output = run_tool(
            [self.binary("martlet"), "token", "create", f"default/{service}",
             "--control-url", f"http://{self.control['http']}"], MARTLET_ADMIN_TOKEN_FILE=self.path("data/admin-token"))
        if status != 0:
            raise Failure(f"martlet token create: {output}")
        token = self.path(instance + ".token")
        with open(token, "w", encoding="utf-8") as file:
            os.chmod(token, 0o600)
            file.write(output.strip().splitlines()[-1])
        bootstrap = self.path(instance + ".yaml")
        with open(bootstrap, "w", encoding="utf-8") as file:
            file.write("\n".join([
                "control: 127.0.0.1",
                f"xds-port: {self.control['xds_tls'].rsplit(':', 1)[1]}",
                f"ca-port: {self.control['ca'].rsplit(':', 1)[1]}",
                f"service: default/{service}",
                f"app: [{{port: {self.apps[instance].rsplit(':', 1)[1]}, protocol: http}}]",
                f"token-file: {token}",
                f"trust-bundle: {self.path('data/trust-bundle.pem')}",
                "address: 127.0.0.1",
                *(f"{name}: 127.0.0.1:0" for name in ("admin", "inbound", "outbound", "health", "metrics")),
                f"ports-file: {self.path(instance + '-sidecar.ports')}",
                f"cache-dir: {self.path(instance + '.cache')}",
                "intercept: none", ""]))
        self.processes.start(instance + "-sidecar", [
            self.binary("martlet-proxy"), "--mesh", bootstrap, "--concurrency", "1"])

    def await_sidecar(self, instance):
        text = self.processes.wait_for_file(self.path(instance + "-sidecar.ports"))
        ports = processes.parse_ports(text)
        eventually(f"the sidecar of {instance} to be ready",
                   lambda: ask(f"http://{ports['admin']}/ready").status == 200, 20)
        # Ports of listeners that came over xDS are known only now.
        with open(self.path(instance + "-sidecar.ports"), encoding="utf-8") as file:
            ports.update(processes.parse_ports(file.read()))
        ports["inbound"] = self.inbound(instance, ports)
        self.sidecars[instance] = ports

    def inbound(self, instance, ports):
        """Where other sidecars dial this instance: its listener for the application's port."""
        app_port = self.apps[instance].rsplit(":", 1)[1]
        for name, address in ports.items():
            if name.startswith("inbound") and name.endswith(app_port):
                return address
        listed = ask(f"http://{ports['admin']}/listeners").text
        found = [line.split("::", 1)[1] for line in listed.splitlines() if line.startswith("inbound")]
        if not found:
            raise Failure(f"the sidecar of {instance} lists no inbound listener: {listed}")
        return found[0]

    # -- talking to it -------------------------------------------------------------------------------------------

    def ask_control(self, path):
        return ask(f"http://{self.control['http']}{path}")

    def visit(self, method="GET", path="/", fields=None):
        """A visitor of the portal, from outside and in the clear."""
        return ask(f"http://{self.sidecars['portal']['inbound']}{path}", method,
                   {"Host": "portal.default", **(fields or {})}, body=b"" if method == "POST" else None)

    def counts(self, instance):
        return ask(f"http://{self.apps[instance]}/counts").json

    def tell(self, instance, order):
        answer = ask(f"http://{self.apps[instance]}/admin/{order}", "POST")
        if answer.status != 200:
            raise Failure(f"{instance} does not take {order}: {answer.text}")

    def edit(self, name, change):
        """Replaces a resource file whole, as an editor does."""
        path = os.path.join(self.mesh, name)
        text = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
        temporary = path + ".new~"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(change(text) if callable(change) else change)
        os.replace(temporary, path)

    def proxies(self):
        return self.ask_control("/api/v1/proxies").json

    def revision(self):
        return self.proxies()["revision"]

    def all_acknowledged(self, at_least=0):
        state = self.proxies()
        behind = [proxy for proxy in state["proxies"]
                  if proxy["revisionAcknowledged"] < max(at_least, 1) or not all(one["isInStep"] for one in proxy["types"])]
        return state["revision"] >= at_least and len(state["proxies"]) == len(INSTANCES) and not behind

    def change(self, name, change):
        """Edits a file and waits until all sidecars have acknowledged what came of it; the seconds that took."""
        before = self.revision()
        began = time.monotonic()
        self.edit(name, change)
        eventually(f"{name} to be acknowledged by all sidecars", lambda: self.all_acknowledged(before + 1), 10, 0.005)
        return time.monotonic() - began

    # -- showing it ----------------------------------------------------------------------------------------------

    def expect(self, what, expected, seen, is_good):
        self.rows.append((what, expected, str(seen), bool(is_good)))
        print(f"    {'ok  ' if is_good else 'FAIL'} {what}: {seen}", flush=True)

    def show(self):
        for step in (self.show_identities, self.show_split, self.show_trace, self.show_retries,
                     self.show_single_payments, self.show_shedding, self.show_faults, self.show_reloads):
            say(step.__doc__.strip().rstrip("."))
            step()
            self.processes.check()

    def show_identities(self):
        """Identities, from the certificates in use."""
        for instance, (_, _, service) in INSTANCES.items():
            name = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/{service}"
            _, shown = run_tool(["openssl", "s_client", "-connect", self.sidecars[instance]["inbound"], "-showcerts"])
            _, names = run_tool(["openssl", "x509", "-noout", "-ext", "subjectAltName"], shown)
            seen = re.findall(r"URI:(\S+)", names)
            self.expect(f"{instance}'s certificate names", name, " ".join(seen) or "none", seen == [name])
        _, shown = run_tool(
            ["openssl", "s_client", "-connect", self.sidecars["payments"]["inbound"], "-ign_eof"],
            "POST /payments HTTP/1.1\r\nHost: payments.default\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        refused = "HTTP/1.1 " not in shown and "alert" in shown.lower()
        reason = re.search(r"alert [\w ]+", shown.lower())
        self.expect("payments, called without a certificate", "a TLS alert, no answer",
                    reason.group(0).strip() if reason and refused else shown.strip()[-60:], refused)
        try:
            plain = str(ask(f"http://{self.sidecars['payments']['inbound']}/headers", timeout=5).status)
        except OSError as error:
            plain = f"closed ({type(error).__name__})"
        except processes.http.client.HTTPException as error:
            plain = f"closed ({type(error).__name__})"
        self.expect("payments, called in the clear", "closed", plain, plain.startswith("closed"))

    def show_split(self):
        """A weighted split, 90 to 10."""
        client = Client(self.sidecars["orders"]["outbound"])
        seen = collections.Counter()
        for _ in range(1000):
            answer = client.ask("GET", "/quotes/ACME", "quotes.default")
            seen[answer.json["version"] if answer.status == 200 else answer.status] += 1
        self.expect("1000 quotes from v1 : v2", "900 : 100, each within 40", f"{seen['v1']} : {seen['v2']}",
                    abs(seen["v1"] - 900) <= 40 and seen["v1"] + seen["v2"] == 1000)

    def show_trace(self):
        """One trace through all hops."""
        def heads(answer):
            yield answer["headers"]
            for inner in answer["calls"]:
                yield from heads(inner)

        def identifiers(answer):
            seen = [{name.lower(): value for name, value in one.items()} for one in heads(answer.json)]
            return [one.get("traceparent", "-" * 40).split("-")[1] for one in seen]

        trace = "0af7651916cd43dd8448eb211c80319c"
        given = identifiers(self.visit("GET", "/trace", {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
        self.expect("trace ids at the four services, one given", f"4 times {trace[:8]}…",
                    f"{len(given)} times {' '.join(sorted({one[:8] for one in given}))}…", given == [trace] * 4)
        begun = identifiers(self.visit("GET", "/trace"))
        self.expect("trace ids at the four services, none given", "4 times one id, made by the mesh",
                    f"{len(begun)} times {' '.join(sorted({one[:8] for one in begun}))}…",
                    len(begun) == 4 and len(set(begun)) == 1 and len(begun[0]) == 32)

    def show_retries(self):
        """Quotes fail half of their requests, and the portal sees none of it."""
        quotes = ("quotes-v1", "quotes-v2")
        before = {one: self.counts(one) for one in quotes}
        for one in quotes:
            self.tell(one, "fail?ratio=0.5")
        client = Client(self.sidecars["portal"]["inbound"])
        statuses = collections.Counter(client.ask("GET", "/", "portal.default").status for _ in range(200))
        for one in quotes:
            self.tell(one, "fail?ratio=0")
        after = {one: self.counts(one) for one in quotes}
        failed = sum(after[one]["failed"] - before[one]["failed"] for one in quotes)
        asked = sum(after[one]["requests"] - before[one]["requests"] for one in quotes)
        self.expect("failed answers of quotes", "about half of them", f"{failed} of {asked}", failed >= 150)
        self.expect("what 200 visitors of the portal saw", "200 times 200",
                    ", ".join(f"{count} times {status}" for status, count in statuses.items()), statuses == {200: 200})

    def show_single_payments(self):
        """A POST is not sent twice, though payments fail."""
        before = self.counts("payments")
        self.tell("payments", "fail?ratio=1")
        statuses = collections.Counter(
            self.visit("POST", "/buy", {"x-payment-id": f"payment-{number}"}).status for number in range(20))
        self.tell("payments", "fail?ratio=0")
        after = self.counts("payments")
        sent, twice = after["requests"] - before["requests"], after["paymentsTwice"]
        self.expect("20 purchases while payments answer 500", "20 failures at the portal",
                    ", ".join(f"{count} times {status}" for status, count in statuses.items()), statuses[500] == 20)
        self.expect("times that the 20 payments came", "20, none of them twice", f"{sent}, {twice} of them twice",
                    sent == 20 and twice == 0)

    def show_shedding(self):
        """Payments hang, and the breaker sheds what is too much."""
        self.tell("payments", "hang?on=1")

        def pay(number):
            began = time.monotonic()
            answer = ask(f"http://{self.sidecars['orders']['outbound']}/payments", "POST",
                         {"Host": "payments.default", "x-payment-id": f"hanging-{number}"}, body=b"")
            return answer.status, answer.fields.get("x-envoy-overloaded"), time.monotonic() - began

        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            results = list(pool.map(pay, range(40)))
        self.tell("payments", "hang?on=0")
        shed = [seconds for status, overloaded, seconds in results if status == 503 and overloaded]
        rest = collections.Counter(status for status, overloaded, _ in results if not overloaded)
        self.expect("of 40 payments at once, shed with 503 and x-envoy-overloaded", "28 to 32 (limit: 8 requests, 4 waiting)",
                    len(shed), 28 <= len(shed) <= 32)
        self.expect("the shed ones waited", "under 1 s", f"{max(shed, default=0) * 1000:.0f} ms at most",
                    shed and max(shed) < 1)
        self.expect("the admitted ones, which hang", "504 after the time-out",
                    ", ".join(f"{count} times {status}" for status, count in rest.items()), set(rest) == {504})
        answer = eventually("payments to be served again", lambda: self.visit("POST", "/buy").status == 200, 5)
        self.expect("a purchase after payments recovered", "200", 200 if answer else "none", answer)

    def show_faults(self):
        """Faults are made up for those who ask for them, and for nobody else."""
        quotes = f"http://{self.sidecars['orders']['outbound']}/quote"

        def seen(fields):
            began = time.monotonic()
            status = ask(quotes, "GET", {"Host": "quotes-v1.default", **fields}).status
            return status, time.monotonic() - began

        before = seen({})[0]
        failed, plain = seen({"x-try-faults": "yes"}), seen({})
        self.expect("a request that asks for the fault of the FaultPolicy", "418 after 200 ms",
                    f"{failed[0]} after {failed[1] * 1000:.0f} ms", failed[0] == 418 and failed[1] >= 0.2)
        self.expect("the same request without", f"{before} at once", f"{plain[0]} after {plain[1] * 1000:.0f} ms",
                    plain[0] == before and plain[1] < 0.2)

    def show_reloads(self):
        """Policies are edited while visitors come; no request is lost."""
        traffic = Traffic(self.sidecars["portal"]["inbound"])
        traffic.start()
        took = [self.change("limit.yaml", LIMIT)]
        self.expect("a policy edited in a file, acknowledged by all sidecars", "within 1 s", f"{took[0] * 1000:.0f} ms",
                    took[0] < 1)
        answers = [ask(f"http://{self.sidecars['orders']['outbound']}/payments", "POST",
                       {"Host": "payments.default", "x-payment-id": f"limited-{number}"}, body=b"") for number in range(20)]
        statuses = collections.Counter(answer.status for answer in answers)
        self.expect("20 payments under a limit of 5 a minute", "5 times 200, 15 times 429",
                    ", ".join(f"{count} times {status}" for status, count in statuses.items()), statuses == {200: 5, 429: 15})
        told = {name: value for answer in answers if answer.status == 429 for name, value in answer.fields.items()}
        self.expect("what a limited answer tells", "x-ratelimit-limit, retry-after",
                    ", ".join(f"{name}: {told[name]}" for name in ("x-ratelimit-limit", "retry-after") if name in told) or "nothing",
                    "x-ratelimit-limit" in told)
        before = self.revision()
        self.edit("limit.yaml", LIMIT.replace("requests: 5", "request: 5"))
        refusal = eventually("the broken file to be reported", lambda: self.ask_control("/api/v1/status").json.get("refused"))
        self.expect("a broken file", "refused by file and line, nothing changes", refusal["errors"][0][:90],
                    "limit.yaml:" in refusal["errors"][0] and self.revision() == before)
        took += [self.change("limit.yaml", LIMIT.replace("requests: 5", "requests: 50"))]
        for number in range(8):
            weight = 90 if number % 2 else 50
            took.append(self.change("routes.yaml", lambda text, weight=weight: re.sub(
                r"(quotes-v1, port: 80, weight: )\d+(.*\n.*weight: )\d+",
                lambda found: f"{found[1]}{weight}{found[2]}{100 - weight}", text)))
        traffic.stop()
        self.expect(f"{len(took)} reloads, slowest", "within 1 s", f"{max(took) * 1000:.0f} ms", max(took) < 1)
        self.expect("visitors during the reloads", "some hundreds, every one 200", traffic.summary(),
                    traffic.statuses[200] > 100 and len(traffic.statuses) == 1)

    # -- the end -------------------------------------------------------------------------------------------------

    def print_table(self):
        widths = [min(60, max(len(row[column]) for row in self.rows)) for column in range(3)]
        print()
        print(f"  {'what':{widths[0]}}  {'expected':{widths[1]}}  {'seen':{widths[2]}}")
        for what, expected, seen, is_good in self.rows:
            print(f"  {what:{widths[0]}}  {expected:{widths[1]}}  {seen:{widths[2]}}  {'ok' if is_good else 'FAIL'}")
        bad = sum(1 for row in self.rows if not row[3])
        print(f"\n  {len(self.rows)} expectations, {bad} not met" if bad else f"\n  all {len(self.rows)} expectations met")
        return bad == 0

    def print_addresses(self):
        print(f"\n  control plane   http://{self.control['http']}   (resources: {self.mesh})")
        for instance in INSTANCES:
            ports = self.sidecars[instance]
            print(f"  {instance:12}    app {self.apps[instance]}  inbound {ports['inbound']}  "
                  f"outbound {ports['outbound']}  admin http://{ports['admin']}")
        print(f"\n  try  curl -H 'Host: portal.default' http://{self.sidecars['portal']['inbound']}/trace"
              "\n  Ctrl-C ends it all", flush=True)


LIMIT = """\
apiVersion: martlet.mesh/v1
kind: RateLimitPolicy
metadata: {name: payments}
spec:
  targetRef: {kind: Service, name: payments}
  local: {requests: 5, per: 1m, burst: 5}
"""


class Traffic:
    """Visitors of the portal, one after the other on a few connections, counted."""

    def __init__(self, address, connections=4):
        self.statuses = collections.Counter()
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(address,), daemon=True) for _ in range(connections)]

    def run(self, address):
        client = Client(address)
        while not self.is_over.is_set():
            try:
                status = client.ask("GET", "/", "portal.default").status
            except (OSError, processes.http.client.HTTPException) as error:
                status = type(error).__name__
            with self.lock:
                self.statuses[status] += 1
            time.sleep(0.002)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(15)

    def summary(self):
        return ", ".join(f"{count} times {status}" for status, count in self.statuses.items())


def say(text):
    print(f"==> {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", default=os.path.join(ROOT, ".build", "release"))
    parser.add_argument("--keep", action="store_true", help="leave the mesh running until Ctrl-C")
    options = parser.parse_args()
    demo = Demo(options.binaries)
    try:
        demo.start()
        demo.show()
        is_good = demo.print_table()
        if options.keep:
            demo.print_addresses()
            while True:
                time.sleep(1)
                demo.processes.check()
    except (Failure, OSError, KeyError, ValueError) as error:
        print(f"\ndemo: {type(error).__name__ if not isinstance(error, Failure) else 'failed'}: {error}", file=sys.stderr)
        is_good = False
    if not is_good:
        demo.processes.print_tails()
    demo.processes.stop()
    if is_good:
        shutil.rmtree(demo.directory, ignore_errors=True)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
