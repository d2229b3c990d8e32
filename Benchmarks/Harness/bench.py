#!/usr/bin/env python3
"""`make bench`: Martlet beside its peers, in one run and in alternation. Scenarios and targets stand in scenarios.py,
what each proxy is told in peers.py. Writes Benchmarks/RESULTS.md, results.json, BREAKDOWN.md, chart.svg and the table
in README.md."""

import argparse
import dataclasses
import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, ".ci"))

import breakdown  # noqa: E402
import counting  # noqa: E402
import hops  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402
from processes import Failure, eventually  # noqa: E402
from stage import Stage, answers, connects, pause_until_quiet  # noqa: E402

TOOLS = os.path.join(ROOT, ".build", "peers", "tools")
ROUTES = (10, 100, 1000, 10000)
COUNTED = ("Martlet", "floor", "haproxy", "nginx", "Envoy")


class Bench:
    def __init__(self, options):
        self.options = options
        self.binaries = os.path.abspath(options.binaries)
        peers.build_tools(TOOLS)
        self.martlet = peers.Martlet(self.binaries)
        everyone = [self.martlet, peers.HAProxy(), peers.Nginx(), peers.Envoy(), peers.Floor(TOOLS), peers.SplicingFloor(TOOLS)]
        chosen = options.only_proxies.split(",") if options.only_proxies else None
        self.absent = [one.name for one in everyone if not one.is_here()]
        self.proxies = [one for one in everyone if one.is_here() and (not chosen or one.name in chosen)]
        self.versions = {one.name: one.version() for one in self.proxies if one.version() != "C"}
        self.results = {}
        self.extras = None
        self.stage = None

    # -- which cells, and who stands in them ------------------------------------------------------------------------

    def cells(self):
        wanted = [word.strip() for word in self.options.only.split(",")] if self.options.only else None

        def is_wanted(cell):
            if self.options.quick:
                return bool(cell.quick)
            return not wanted or any(word in (cell.key, cell.key.split()[0]) for word in wanted)
        return [cell for cell in scenarios.CELLS if is_wanted(cell)]

    def groups(self):
        """Cells whose figures are compared with each other alternate with each other."""
        cells = self.cells()
        groups = []
        for cell in cells:
            joins = {target.against[1:] for target in cell.targets if target.against.startswith("=")}
            home = next((group for group in groups if any(other.key in joins for other in group)), None)
            if home is None:
                groups.append([cell])
            else:
                home.append(cell)
        return groups

    def proxies_of(self, cell):
        if self.options.quick:
            return [one for one in self.proxies if one.name in ("Martlet", *cell.quick.split(","))]
        return self.proxies if cell.peers else [self.martlet]

    def hops_of(self, cell, clusters=1):
        return scenarios.hops_of(cell.shape, self.stage.origin, self.extras or (), clusters)

    def find_extras(self):
        """Which of the policies of S10 Martlet takes by now."""
        taken, refused = [], []
        for extra in scenarios.ALL_EXTRAS:
            hop = hops.Hop(hops.free_port(), self.stage.origin("h1"), extras=(extra,))
            reason = self.martlet.refusal(hop, self.stage.folder, self.stage.base(self.martlet))
            taken, refused = (taken, [*refused, extra]) if reason else ([*taken, extra], refused)
        self.extras = tuple(taken)
        return refused

    # -- running ----------------------------------------------------------------------------------------------------

    def run(self):
        for group in self.groups():
            pinned = group[0].pinned
            self.stage = Stage(tempfile.mkdtemp(prefix="martlet-bench-"), self.binaries, TOOLS, cpus=pinned)
            try:
                hops.make_certificates(self.stage.folder)
                if any(cell.shape == "policies" for cell in group):
                    refused = self.find_extras()
                    for cell in group:
                        if cell.shape == "policies":
                            self.entry(cell)["lacks"] = refused
                self.run_group(group)
                for cell in group:
                    if cell.counts and not self.options.no_counts:
                        self.count(cell)
                    if cell.counts_routes and not (self.options.no_counts or self.options.quick):
                        self.count_routes(cell)
                    if cell.counts_extras and not (self.options.no_counts or self.options.quick):
                        self.count_extras(cell)
            except BaseException:
                self.stage.processes.print_tails()
                raise
            finally:
                self.stage.close()
        return self.outcome()

    def entry(self, cell):
        return self.results.setdefault(cell.key, {"title": cell.title, "proxies": {}})

    def record(self, cell, proxy, **values):
        metrics = self.entry(cell)["proxies"].setdefault(proxy, {}).setdefault("rounds", {})
        for name, value in values.items():
            metrics.setdefault(name, []).append(value)

    def give_up(self, cell, proxy, kind, reason):
        say(f"{cell.key}, {proxy.name}: {kind}: {reason}")
        self.entry(cell)["proxies"].setdefault(proxy.name, {})[kind] = str(reason)[:300]

    def run_group(self, group):
        for cell in group:
            if cell.special:
                getattr(self, "measure_" + cell.special)(cell)
        loaded = [cell for cell in group if not cell.special]
        chains = {cell.key: self.start_chains(cell) for cell in loaded}
        pause_until_quiet()
        for number in range(self.options.rounds if loaded else 0):
            for cell in loaded:
                say(f"{cell.key}: {cell.title}: round {number + 1} of {self.options.rounds}")
                self.measure_round(cell, chains[cell.key], number)
        for kept in chains.values():
            for chain in kept:
                self.stage.stop_chain(chain)

    def start_chains(self, cell):
        chains = []
        for proxy in self.proxies_of(cell):
            hops_wanted = self.hops_of(cell)
            if not all(proxy.can(hop) for hop in hops_wanted):
                continue
            try:
                chains.append(self.stage.start_chain(proxy, hops_wanted))
            except peers.NotYet as reason:
                self.give_up(cell, proxy, "not_yet", reason)
            except Failure as reason:
                self.give_up(cell, proxy, "failed", reason)
                # What has ended must not fail the others.
                self.stage.processes.running = {
                    name: process for name, process in self.stage.processes.running.items() if process.poll() is None}
        return chains

    def measure_round(self, cell, chains, number):
        if cell.load.kind != "handshakes":
            origin = self.stage.origin("h2" if cell.shape == "h2" else "h1")
            direct = self.stage.load(origin, cell.load, self.options.seconds)
            self.record(cell, "direct", **self.figures(cell, direct, 0, None))
        turn = number % len(chains) if chains else 0
        for chain in list(chains[turn:] + chains[:turn]):
            try:
                self.stage.load(chain.port, cell.load, 0.4)
                before = self.stage.cpu_nanoseconds(chain.names)
                found = self.stage.load(chain.port, cell.load, self.options.seconds)
                spent = self.stage.cpu_nanoseconds(chain.names) - before
                self.record(cell, chain.proxy.name, **self.figures(cell, found, spent, direct if cell.load.rate else None))
            except (Failure, OSError) as reason:
                self.give_up(cell, chain.proxy, "failed", reason)
                chains.remove(chain)

    @staticmethod
    def figures(cell, found, spent, direct):
        values = {"per_second": found["per_second"]}
        if spent:
            values["cpu"] = spent / found["answers"] / 1000
            if cell.metric == "per_gib":
                values["per_gib"] = spent / found["answers"] / cell.amount * (1 << 30) / 1e6
        if cell.load.rate:
            values.update({name: found["microseconds"][name] for name in ("p50", "p90", "p99", "p99.9")})
            if direct:
                for name in ("p50", "p90"):
                    values[name + "_added"] = found["microseconds"][name] - direct["microseconds"][name]
        return values

    def alone(self, cell, clusters, measure, times):
        """One proxy after the other, each started for this, `times` over."""
        for _ in range(times):
            for proxy in self.proxies_of(cell):
                hop = self.hops_of(cell, clusters)[-1]
                if not proxy.can(hop):
                    continue
                say(f"{cell.key}: {cell.title}: {proxy.name}")
                try:
                    began = time.monotonic()
                    name = self.stage.start_proxy(proxy, hop, seconds=120, pause=0.0005)
                    try:
                        self.record(cell, proxy.name, **measure(hop, name, began))
                    finally:
                        self.stage.processes.stop_one(name)
                except peers.NotYet as reason:
                    self.give_up(cell, proxy, "not_yet", reason)
                except (Failure, OSError) as reason:
                    self.give_up(cell, proxy, "failed", reason)
                    self.stage.processes.running = {
                        kept: process for kept, process in self.stage.processes.running.items() if process.poll() is None}

    def measure_idle(self, cell):
        def measure(_hop, name, _began):
            time.sleep(1)
            resident, anonymous = self.stage.memory_kib([name])
            return {"rss_mib": resident / 1024, "anonymous_mib": anonymous / 1024}
        self.alone(cell, 1, measure, min(self.options.rounds, 3))

    def measure_ready(self, cell):
        for _ in range(max(5, self.options.rounds)):
            for proxy in self.proxies_of(cell):
                hop = self.hops_of(cell)[-1]
                if proxy.can(hop):
                    self.record(cell, proxy.name, ready_ms=self.time_to_ready(proxy, hop, "bench.example"))

    def time_to_ready(self, proxy, hop, host):
        """Milliseconds from the start to the first answer through the proxy."""
        base = self.stage.base(proxy)
        name = os.path.basename(base)
        command = proxy.command(hop, self.stage.folder, base)
        began = time.monotonic()
        self.stage.processes.start(name, command, cpus=self.stage.proxy_cpus)
        try:
            eventually(f"{proxy.name} to answer", lambda: connects(hop.listen) and answers(hop.listen, host), 120, 0.0005)
            return (time.monotonic() - began) * 1000
        finally:
            self.stage.processes.stop_one(name)

    def measure_idle_connections(self, cell):
        def measure(hop, name, _began):
            # What a start leaves behind is settled first; what the first connections make grow is not what each one costs.
            time.sleep(1)
            first = self.stage.idle_connections(hop.listen, 64, hop.accepts_tls)
            time.sleep(0.5)
            before = self.stage.memory_kib([name])[0]
            opened = self.stage.idle_connections(hop.listen, cell.amount, hop.accepts_tls)
            time.sleep(4)
            after = self.stage.memory_kib([name])[0]
            for one in [*first, *opened]:
                one.close()
            return {"kib": (after - before) / cell.amount}
        self.alone(cell, 1, measure, 1)

    def measure_clusters(self, cell):
        one = {}

        def measure_one(_hop, name, _began):
            time.sleep(1)
            return {"idle_kib": self.stage.memory_kib([name])[0]}

        def measure(hop, name, _began):
            eventually("the last host to answer", lambda: answers(hop.listen, hops.host_of(cell.amount - 1)), 120)
            time.sleep(2)
            resident = self.stage.memory_kib([name])[0]
            return {"rss_mib": resident / 1024}
        self.alone(cell, 1, measure_one, 1)
        self.alone(cell, cell.amount, measure, 1)
        for proxy in self.proxies_of(cell):
            hop = self.hops_of(cell, cell.amount)[-1]
            found = self.entry(cell)["proxies"].get(proxy.name, {}).get("rounds", {})
            if not proxy.can(hop) or "rss_mib" not in found:
                self.entry(cell)["proxies"].pop(proxy.name, None)
                continue
            one[proxy.name] = (found["rss_mib"][0] * 1024 - found["idle_kib"][0]) / cell.amount
            self.record(cell, proxy.name, kib_per_cluster=one[proxy.name])
            for _ in range(2):
                hop = self.hops_of(cell, cell.amount)[-1]
                self.record(cell, proxy.name, ready_ms=self.time_to_ready(proxy, hop, hops.host_of(cell.amount - 1)))

    def count(self, cell):
        counter = counting.Counter(self.stage, self.hops_of)
        for proxy in self.proxies_of(cell):
            if proxy.name not in COUNTED or "rounds" not in self.entry(cell)["proxies"].get(proxy.name, {}):
                continue
            for what in ("system_calls", "instructions"):
                if what == "instructions" and proxy.name == "Envoy" and not self.options.envoy_instructions:
                    continue
                say(f"{cell.key}: {what.replace('_', ' ')} of {proxy.name}")
                try:
                    if proxy is self.martlet and what == "instructions":
                        profile = counter.profile(proxy, cell)
                        self.entry(cell)["breakdown"] = breakdown.summary(profile)
                        value = profile.total
                    else:
                        value = getattr(counter, what)(proxy, cell)
                    self.entry(cell)["proxies"][proxy.name][what] = value
                except (Failure, OSError) as reason:
                    say(f"{cell.key}, {proxy.name}: {what}: {reason}")
                    self.stage.processes.running = {
                        kept: process for kept, process in self.stage.processes.running.items() if process.poll() is None}

    def count_routes(self, cell):
        """What it costs to find a route among many: the last one by path, and one of many by host."""
        found = self.entry(cell).setdefault("routes", {})
        for amount in ROUTES:
            for kind, load in (
                    ("paths", dataclasses.replace(cell.load, path=hops.path_of(amount - 1) + "orders")),
                    ("hosts", dataclasses.replace(cell.load, host=f"more{amount // 2}.default"))):
                say(f"{cell.key}: instructions with {amount:,} routes by {kind}")
                hop = dataclasses.replace(self.hops_of(cell)[0], **{kind: amount})
                counter = counting.Counter(
                    self.stage, lambda _, hop=hop: [dataclasses.replace(hop, listen=hops.free_port())])
                shares = counter.profile(self.martlet, cell, counting.counting_load(load)).categories()
                found.setdefault(kind, {})[str(amount)] = {"route": round(shares["route"]), "all": round(sum(shares.values()))}

    def count_extras(self, cell):
        """What the policies cost: none of them, each by itself, all of them."""
        found = self.entry(cell).setdefault("extras", {})
        for name, extras in (("none", ()), *((extra, (extra,)) for extra in self.extras), ("all", self.extras)):
            say(f"{cell.key}: instructions with {name}")
            counter = counting.Counter(
                self.stage, lambda _, extras=extras: scenarios.hops_of("policies", self.stage.origin, extras))
            profile = counter.profile(self.martlet, cell)
            found[name] = {"all": round(profile.total), "allocations": profile.allocations}

    def outcome(self):
        return report.finish({
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": report.machine(), "versions": self.versions,
            "rounds": self.options.rounds, "seconds": self.options.seconds, "absent": self.absent, "quick": self.options.quick,
            "cells": self.results})


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", default=os.path.join(ROOT, ".build", "release"))
    parser.add_argument("--quick", action="store_true", help="S1, S3 and S4, one cell each, the best peer only")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--only", default="", help="scenarios or cells, as S1,S3 h2")
    parser.add_argument("--only-proxies", default="", help="names, as Martlet,haproxy")
    parser.add_argument("--no-counts", action="store_true", help="leave out system calls and instructions")
    parser.add_argument("--envoy-instructions", action="store_true", help="count Envoy's too, which takes minutes")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    options = parser.parse_args()
    options.rounds = options.rounds or 3
    options.seconds = options.seconds or (2 if options.quick else 3)
    began = time.monotonic()
    try:
        outcome = Bench(options).run()
    except (Failure, OSError) as error:
        print(f"\nbench: {error}", file=sys.stderr)
        sys.exit(1)
    print("\n" + report.text_table(outcome))
    print(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    for path in report.write_all(outcome, is_whole=not (options.quick or options.only or options.only_proxies or options.no_write)):
        print(f"written: {path}")


if __name__ == "__main__":
    main()
